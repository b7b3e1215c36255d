import Testing

@Test func `placeholder Messaging`() {}
