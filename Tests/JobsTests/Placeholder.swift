import Testing

@Test func `placeholder Jobs`() {}
