import Testing

@Test func `placeholder Analytics`() {}
