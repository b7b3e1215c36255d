import Testing

@Test func `placeholder Audience`() {}
