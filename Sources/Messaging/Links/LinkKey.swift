internal import Vocabulary

/// The key of a short link: a character for the month, which leads a look-up to its partition, and eleven at random.
enum LinkKey {
    static let length = 12
    private static let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

    /// 62^11 are more than 2^65; the generator is the system's. `link_for_key` (migration 0083) reads the month.
    static func new(at instant: Instant) -> String {
        let day = Day(daysSince1970: Int(instant.microseconds / 86_400_000_000))
        var generator = SystemRandomNumberGenerator()
        let rest = (1..<length).map { _ in alphabet.randomElement(using: &generator)! }
        return String([alphabet[(day.year * 12 + day.month - 1) % 62]] + rest)
    }

    /// Whether it could be one. Anything else is not looked up.
    static func isPossible(_ text: String) -> Bool {
        text.utf8.count == length
            && text.utf8.allSatisfy { (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) }
    }

    /// What stands for a key where texts are only counted.
    static let placeholder = String(repeating: "0", count: length)
}
