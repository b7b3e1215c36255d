#include <libpq-fe.h>

// The Swift importer reads number and string macros only; these are character macros.
static const int pgDiagSQLState = PG_DIAG_SQLSTATE;
static const int pgDiagMessagePrimary = PG_DIAG_MESSAGE_PRIMARY;
static const int pgDiagMessageDetail = PG_DIAG_MESSAGE_DETAIL;
static const int pgDiagMessageHint = PG_DIAG_MESSAGE_HINT;
static const int pgDiagStatementPosition = PG_DIAG_STATEMENT_POSITION;
static const int pgDiagConstraintName = PG_DIAG_CONSTRAINT_NAME;
static const int pgDiagTableName = PG_DIAG_TABLE_NAME;
static const int pgDiagColumnName = PG_DIAG_COLUMN_NAME;
