// No table, key, function or statement escapes its workspace: read from the catalogue and from the source itself.
import Foundation
import PostgreSQL
import TestSupport
import Testing

/// Tables that belong to no workspace. Responders reach them only through functions.
private let common = [
    "users", "sessions", "rate_limits", "schema_migrations", "time_zones", "number_places", "quiet_hour_rules", "workspaces",
    "known_server",
]

/// The names that a query of the catalogue finds; each is something that should not be there.
private func found(_ sql: String, _ values: SQLValue...) throws -> [String] {
    try withDatabase { db in try db.dynamic(sql, values) }
}

private func workspaceTables() throws -> [String] {
    try found(
        """
        SELECT c.relname::text FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
           AND c.relname <> ALL ($1) ORDER BY 1
        """, common.sqlValue)
}

@Suite struct CatalogueTests {
    @Test func `every table has a workspace, which is never NULL`() throws {
        let tables = try workspaceTables()
        #expect(tables.contains("contacts") && tables.contains("messages"))
        let without = try found(
            """
            SELECT name FROM unnest($1::text[]) name
             WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = name::regclass
                               AND a.attname = 'workspace_id' AND a.attnotnull)
            """, tables.sqlValue)
        #expect(without == [])
    }

    @Test func `every table of a workspace forces row-level security, with the one policy for requests and workers`() throws {
        let open = try found(
            """
            SELECT c.relname::text FROM pg_class c
             WHERE c.oid = ANY ($1::regclass[]) AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
            """, try workspaceTables().sqlValue)
        #expect(open == [])
        let odd = try found(
            """
            SELECT name FROM unnest($1::text[]) name
             WHERE (SELECT array_agg(p.qual || ' / ' || coalesce(p.with_check, p.qual)) FROM pg_policies p
                     WHERE p.tablename = name AND p.roles && ARRAY['public', 'muster_responder', 'muster_worker']::name[])
                   IS DISTINCT FROM ARRAY['(workspace_id = current_workspace()) / (workspace_id = current_workspace())']
            """, try workspaceTables().sqlValue)
        #expect(odd == [])
    }

    @Test func `tables of no workspace give requests and workers nothing`() throws {
        let granted = try found(
            """
            SELECT DISTINCT table_name::text FROM information_schema.role_table_grants
             WHERE table_schema = 'public' AND grantee IN ('PUBLIC', 'muster_responder', 'muster_worker')
               AND table_name = ANY ($1) AND table_name <> 'workspaces'
            """, common.sqlValue)
        #expect(granted == [])
    }

    @Test func `partitions are reached through their parent only, where the policy is`() throws {
        let granted = try found(
            """
            SELECT DISTINCT c.relname::text FROM pg_class c, aclexplode(c.relacl) g
             WHERE c.relispartition AND c.relkind = 'r' AND g.grantee <> c.relowner
            """)
        #expect(granted == [])
    }

    @Test func `primary keys begin with the workspace, and unique keys hold it unless they are hashes of secrets`() throws {
        let keys = try found(
            """
            SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
              JOIN pg_class t ON t.oid = i.indrelid
              JOIN pg_attribute w ON w.attrelid = t.oid AND w.attname = 'workspace_id'
             WHERE t.relnamespace = 'public'::regnamespace AND NOT t.relispartition AND i.indisunique AND t.relname <> ALL ($1)
               AND (CASE WHEN i.indisprimary THEN i.indkey[0] <> w.attnum ELSE NOT w.attnum = ANY (i.indkey) END)
               AND NOT EXISTS (SELECT FROM pg_attribute h WHERE h.attrelid = t.oid AND h.attnum = i.indkey[0]
                               AND h.attname IN ('token_hash', 'secret_hash') AND array_length(i.indkey, 1) = 1)
            """, common.sqlValue)
        #expect(keys == [])
    }

    @Test func `foreign keys between tables of a workspace hold it on both sides`() throws {
        let keys = try found(
            """
            SELECT k.conrelid::regclass || '.' || k.conname FROM pg_constraint k
             WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace AND k.conparentid = 0
               AND k.confrelid::regclass::text <> ALL ($1)
               AND NOT EXISTS (
                   SELECT FROM unnest(k.conkey, k.confkey) pair (here, there)
                     JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = here
                     JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = there
                    WHERE a.attname = 'workspace_id' AND b.attname = 'workspace_id')
            """, common.sqlValue)
        #expect(keys == [])
    }

    @Test func `functions with the owner's rights pin their search path, temporary tables last`() throws {
        let loose = try found(
            """
            SELECT p.oid::regprocedure::text FROM pg_proc p
             WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
               AND NOT coalesce(p.proconfig @> ARRAY['search_path=pg_catalog, public, pg_temp'], false)
            """)
        #expect(loose == [])
    }

    @Test func `no function can be called by whoever comes along`() throws {
        let open = try found(
            """
            SELECT p.oid::regprocedure::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
             WHERE p.pronamespace = 'public'::regnamespace AND g.grantee = 0
               AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
            """)
        #expect(open == [])
    }

    @Test func `views name the workspace or run with their reader's rights`() throws {
        let open = try found(
            """
            SELECT c.relname::text FROM pg_class c
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('v', 'm')
               AND pg_get_viewdef(c.oid) NOT LIKE '%current_workspace()%'
               AND NOT coalesce(c.reloptions @> ARRAY['security_invoker=true'], false)
            """)
        #expect(open == [])
    }

    @Test func `state columns are text with a CHECK`() throws {
        let unchecked = try found(
            """
            SELECT a.attrelid::regclass || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
               AND a.attname IN ('state', 'status') AND a.attnum > 0 AND a.atttypid = 'text'::regtype
               -- What customers and providers say is kept as they say it.
               AND c.relname NOT IN ('contacts', 'receipts')
               AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND a.attnum = ANY (k.conkey))
            """)
        #expect(unchecked == [])
    }
}

/// A statement's text in the source, and where it is.
private struct SourceStatement {
    let place: String
    let sql: String
}

/// All `Statement<…>("…")` whose text is a constant.
private func statements() throws -> [SourceStatement] {
    let pattern = try NSRegularExpression(
        pattern: #"Statement<[^\n]*?>\(\s*(?:"{3}\n(.*?)"{3}|"((?:[^"\\\n]|\\.)*)")"#, options: [.dotMatchesLineSeparators])
    var found: [SourceStatement] = []
    for (path, text) in try sources() {
        for match in pattern.matches(in: text, range: NSRange(text.startIndex..., in: text)) {
            let range = match.range(at: match.range(at: 1).location == NSNotFound ? 2 : 1)
            var sql = String(text[Range(range, in: text)!])
            if sql.contains("\\(") { continue }
            sql = sql.replacingOccurrences(of: "\\\\", with: "\\")
            let line = text[..<Range(match.range, in: text)!.lowerBound].filter { $0 == "\n" }.count + 1
            found.append(SourceStatement(place: "\(path):\(line)", sql: sql))
        }
    }
    return found
}

/// What makes the temporary tables that statements name.
private func temporaryTables() throws -> [String] {
    let pattern = try NSRegularExpression(pattern: #""{3}\s*(CREATE TEMPORARY TABLE.*?)"{3}"#, options: [.dotMatchesLineSeparators])
    return try sources().flatMap { _, text in
        pattern.matches(in: text, range: NSRange(text.startIndex..., in: text)).map { String(text[Range($0.range(at: 1), in: text)!]) }
    }
}

@Suite struct StatementSourceTests {
    @Test func `the migrated schema knows everything that the statements name`() throws {
        let all = try statements()
        #expect(all.count > 50)
        let temporary = try temporaryTables()
        for statement in all {
            let problem = try withDatabase { db -> String? in
                do {
                    for table in temporary { try db.execute(table) }
                    try db.validate(Statement<Int>(statement.sql))
                    return nil
                } catch { return "\(error)" }
            }
            #expect(problem == nil, "\(statement.place)")
        }
    }

    /// The operator's command and the chores work across workspaces on purpose.
    @Test func `every statement on tables of a workspace names it`() throws {
        let tables = try workspaceTables().joined(separator: "|")
        let touches = try NSRegularExpression(pattern: #"(?i)\b(?:FROM|JOIN|INTO|UPDATE)\s+(?:\#(tables))\b"#)
        for statement in try statements() where !statement.place.hasPrefix("muster/") && !statement.place.contains("Chore") {
            let range = NSRange(statement.sql.startIndex..., in: statement.sql)
            guard touches.firstMatch(in: statement.sql, range: range) != nil else { continue }
            #expect(statement.sql.contains("workspace_id"), "\(statement.place)")
        }
    }
}
