@testable import Audience
import PostgreSQL
import TestSupport
import Testing

@Suite struct CountryOfNumberTests {
    /// Prices go by the function in the database, rules by the plan here: they must not call a number by two names.
    @Test func `the database and the rules know the same countries of numbers`() throws {
        try withDatabase { db throws in
            for country in [
                "US", "CA", "BS", "JM", "PR", "DO", "TT", "DE", "FR", "IE", "IN", "BR", "NG", "AU", "JP", "RU", "ZA", "EG", "GB",
            ] {
                let plan = NumberPlan.of(country)
                for prefix in plan.prefixes {
                    let number = (prefix == "+1" ? "+1202" : prefix) + "5550123"
                    #expect(try db.value("SELECT country_of_number($1)", number.sqlValue) == country, "\(number)")
                }
                for prefix in plan.except {
                    #expect(try db.value("SELECT country_of_number($1)", (prefix + "5550123").sqlValue) != country, "\(prefix)")
                }
            }
            #expect(try db.value("SELECT country_of_number('+80012345678') IS NULL") == true)
        }
    }
}
