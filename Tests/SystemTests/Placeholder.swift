import Testing

@Test func `placeholder System`() {}
