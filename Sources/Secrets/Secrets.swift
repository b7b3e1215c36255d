public enum Hash { public static func sha256(_ b: [UInt8]) -> [UInt8] { b }; public static func hmacSHA256(key: [UInt8], _ b: [UInt8]) -> [UInt8] { b } }
public func constantTimeEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool { a == b }
public func base64URLEncode(_ b: [UInt8]) -> String { "" }
public func base64URLDecode(_ s: String) -> [UInt8]? { nil }
public enum APIKeyFormat { public enum Kind { case apiKey, session }; public static func kind(of: String) -> Kind? { nil } }
