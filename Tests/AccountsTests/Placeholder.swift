import Testing

@Test func `placeholder Accounts`() {}
