import Testing

@Test func `placeholder FastCGI`() {}
