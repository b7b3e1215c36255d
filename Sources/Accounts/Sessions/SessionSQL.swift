internal import PostgreSQL
internal import Vocabulary

enum SessionSQL {
    static let create = Statement<SessionID, UserID, [UInt8], String?, String?>(
        """
        SELECT create_session($1, $2, $3, $4::inet)
        """)

    /// How many ended; 0 when the token was no session any more.
    static let end = Statement<Int, [UInt8], Bool>(
        """
        SELECT end_sessions($1, $2)
        """)
}
