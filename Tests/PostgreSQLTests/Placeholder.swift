import Testing

@Test func `placeholder PostgreSQL`() {}
