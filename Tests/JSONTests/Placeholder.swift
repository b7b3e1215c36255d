import Testing

@Test func `placeholder JSON`() {}
