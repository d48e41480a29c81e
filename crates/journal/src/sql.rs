//! Every SQL text that is not about files, connections or the schema of one particular database.
//!
//! Each text runs unchanged on SQLite and on PostgreSQL: `$1` parameters, row values, `ON CONFLICT .. DO UPDATE`, and
//! no function of only one of them. Where a text is said to take rows, `VALUES` and as many rows as there are to write
//! follow it, and then its end. No two rows of one statement may have the same primary key: PostgreSQL refuses to
//! update a row twice in one statement. Where a text is said to take alternatives, rows compared and joined by `OR`
//! follow it.

/// Where the chain ends.
pub(crate) const HEAD: &str = "SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1";
/// `$1`: first number wanted.
pub(crate) const ENTRIES_FROM: &str = "SELECT seq, at, hash, entry FROM journal WHERE seq >= $1 ORDER BY seq";
/// `$1`: number after which to start; `$2`: how many at most.
pub(crate) const ENTRIES_AFTER: &str =
    "SELECT seq, at, hash, entry FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2";
/// In whatever order they lie: a start reads all of them, and the straight way through a table is the fastest.
pub(crate) const RECORDS: &str = "SELECT kind, id, seq, value FROM record";
/// `$1`: kind; `$2`: id.
pub(crate) const DOCUMENT: &str = "SELECT value FROM document WHERE kind = $1 AND id = $2";
/// `$1`: kind; `$2`, `$3`: first and last id; `$4`: how many at most. Ids are compared byte by byte, which on
/// PostgreSQL takes a column with the collation `"C"`.
pub(crate) const DOCUMENTS_UPWARD: &str =
    "SELECT id, value FROM document WHERE kind = $1 AND id BETWEEN $2 AND $3 ORDER BY id LIMIT $4";
/// The same from the last to the first.
pub(crate) const DOCUMENTS_DOWNWARD: &str =
    "SELECT id, value FROM document WHERE kind = $1 AND id BETWEEN $2 AND $3 ORDER BY id DESC LIMIT $4";

/// A record that names an entry which is not there.
pub(crate) const RECORD_WITHOUT_ENTRY: &str = "SELECT kind, id, seq FROM record \
     WHERE NOT EXISTS (SELECT 1 FROM journal WHERE journal.seq = record.seq) ORDER BY kind, id LIMIT 1";
/// A document that names an entry which is not there.
pub(crate) const DOCUMENT_WITHOUT_ENTRY: &str = "SELECT kind, id, seq FROM document \
     WHERE NOT EXISTS (SELECT 1 FROM journal WHERE journal.seq = document.seq) ORDER BY kind, id LIMIT 1";

/// Takes rows of four columns.
pub(crate) const APPEND_ENTRIES: &str = "INSERT INTO journal (seq, at, hash, entry)";
/// Takes rows of four columns; ends with [`PUT_END`].
pub(crate) const PUT_RECORDS: &str = "INSERT INTO record (kind, id, seq, value)";
/// Takes rows of four columns; ends with [`PUT_END`].
pub(crate) const PUT_DOCUMENTS: &str = "INSERT INTO document (kind, id, seq, value)";
/// Ends [`PUT_RECORDS`] and [`PUT_DOCUMENTS`].
pub(crate) const PUT_END: &str =
    " ON CONFLICT (kind, id) DO UPDATE SET seq = excluded.seq, value = excluded.value";
/// Takes alternatives of [`KEY`].
pub(crate) const DELETE_RECORDS: &str = "DELETE FROM record WHERE ";
/// Takes alternatives of [`KEY`].
pub(crate) const DELETE_DOCUMENTS: &str = "DELETE FROM document WHERE ";
/// Compared with a row of two values. One comparison after the other, because SQLite looks each of them up but would
/// go through the whole table for a list of rows.
pub(crate) const KEY: &str = "(kind, id) = ";

/// Takes rows of four columns; ends with [`ADD_TALLIES_END`].
pub(crate) const ADD_TALLIES: &str = "INSERT INTO tally (subject, day, label, count)";
/// Ends [`ADD_TALLIES`].
pub(crate) const ADD_TALLIES_END: &str =
    " ON CONFLICT (subject, day, label) DO UPDATE SET count = tally.count + excluded.count";
/// Takes rows of three columns; ends with [`PUT_LATEST_END`].
pub(crate) const PUT_LATEST: &str = "INSERT INTO latest (subject, at, detail)";
/// Ends [`PUT_LATEST`]. A batch that arrives late must not turn the time back.
pub(crate) const PUT_LATEST_END: &str = " ON CONFLICT (subject) DO UPDATE \
     SET at = excluded.at, detail = excluded.detail WHERE excluded.at >= latest.at";
/// `$1`: subject; `$2`, `$3`: first and last day.
pub(crate) const TALLIES: &str = "SELECT subject, day, label, count FROM tally \
     WHERE subject = $1 AND day BETWEEN $2 AND $3 ORDER BY day, label";
/// In the order of the primary key.
pub(crate) const LATEST: &str = "SELECT subject, at, detail FROM latest ORDER BY subject";
/// One parameter, the day before which nothing is kept; ends with [`FORGET_OLDEST_DAY_END`]. One day at a time, so that
/// a long neglected table never holds up a commit for longer than it takes to forget one day.
pub(crate) const FORGET_OLDEST_DAY: &str =
    "DELETE FROM tally WHERE day = (SELECT MIN(day) FROM tally WHERE day < ";
/// Ends [`FORGET_OLDEST_DAY`].
pub(crate) const FORGET_OLDEST_DAY_END: &str = ")";
/// One parameter: the subject.
pub(crate) const FORGET_TALLIES_OF: &str = "DELETE FROM tally WHERE subject = ";
/// One parameter: the subject.
pub(crate) const FORGET_LATEST_OF: &str = "DELETE FROM latest WHERE subject = ";

/// Takes rows of two columns; ends with [`ADD_TRACES_END`].
pub(crate) const ADD_TRACES: &str = "INSERT INTO trace (subject, seq)";
/// Ends [`ADD_TRACES`]. A batch may be given twice.
pub(crate) const ADD_TRACES_END: &str = " ON CONFLICT (subject, seq) DO NOTHING";
/// `$1`: subject; `$2`, `$3`: numbers between which, neither included; `$4`: how many at most.
pub(crate) const TRACE_FORWARD: &str = "SELECT seq FROM trace \
     WHERE subject = $1 AND seq > $2 AND seq < $3 ORDER BY seq LIMIT $4";
/// As [`TRACE_FORWARD`], the other way round.
pub(crate) const TRACE_BACKWARD: &str = "SELECT seq FROM trace \
     WHERE subject = $1 AND seq > $2 AND seq < $3 ORDER BY seq DESC LIMIT $4";
/// One parameter: the number after which nothing is kept.
pub(crate) const FORGET_TRACES_AFTER: &str = "DELETE FROM trace WHERE seq > ";
/// Takes rows of three columns; ends with [`PUT_LINES_END`].
pub(crate) const PUT_LINES: &str = "INSERT INTO line (subject, place, body)";
/// Ends [`PUT_LINES`].
pub(crate) const PUT_LINES_END: &str = " ON CONFLICT (subject, place) DO UPDATE SET body = excluded.body";
/// `$1`: subject; `$2`: place before which to start; `$3`: how many at most.
pub(crate) const LINES_BEFORE: &str =
    "SELECT place, body FROM line WHERE subject = $1 AND place < $2 ORDER BY place DESC LIMIT $3";
/// `$1`: subject; `$2`: place after which to start; `$3`: how many at most.
pub(crate) const LINES_AFTER: &str =
    "SELECT place, body FROM line WHERE subject = $1 AND place > $2 ORDER BY place LIMIT $3";
/// From each subject straight to the next: to group the table would be to go through all of it.
pub(crate) const LAST_LINES: &str = "WITH RECURSIVE known (subject) AS (\
     SELECT MIN(subject) FROM line UNION ALL \
     SELECT (SELECT MIN(line.subject) FROM line WHERE line.subject > known.subject) FROM known \
     WHERE known.subject IS NOT NULL) \
     SELECT subject, (SELECT MAX(place) FROM line WHERE line.subject = known.subject) FROM known \
     WHERE subject IS NOT NULL";
/// One parameter, the subject; goes on with [`FORGET_LINES_UP_TO`].
pub(crate) const FORGET_LINES_OF: &str = "DELETE FROM line WHERE subject = ";
/// One parameter: the last place to be forgotten.
pub(crate) const FORGET_LINES_UP_TO: &str = " AND place <= ";

/// `$1`: name.
pub(crate) const NOTE: &str = "SELECT value FROM note WHERE name = $1";
/// Takes one row of two columns; ends with [`PUT_NOTE_END`].
pub(crate) const PUT_NOTE: &str = "INSERT INTO note (name, value)";
/// Ends [`PUT_NOTE`].
pub(crate) const PUT_NOTE_END: &str = " ON CONFLICT (name) DO UPDATE SET value = excluded.value";
/// One parameter: the name.
pub(crate) const DELETE_NOTE: &str = "DELETE FROM note WHERE name = ";
/// Ends [`PUT_NOTE`] in another way: the note counts, and the value given is the first count. It never leaves the row
/// as it was.
pub(crate) const COUNT_NOTE_END: &str =
    " ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(note.value AS BIGINT) + 1 AS TEXT)";

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, ConnectOptions, Row};

    use super::*;
    use crate::{Journal, Options, sqlite};

    /// How SQLite goes about it. Without statistics its plans depend on the schema alone.
    async fn plan(journal: &Journal, text: &str) -> String {
        let mut connection = sqlite::reader(journal.path()).connect().await.unwrap();
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
        let steps = sqlx::query(explain).fetch_all(&mut connection).await.unwrap();
        steps.iter().map(|step| step.get::<String, _>(3)).collect::<Vec<_>>().join("; ")
    }

    #[tokio::test]
    async fn what_is_done_often_goes_through_no_table() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db"), Options::default()).await.unwrap();
        let keys = vec![format!("{KEY}(?, ?)"); 64].join(" OR ");
        let texts = [
            ENTRIES_FROM.to_owned(),
            ENTRIES_AFTER.to_owned(),
            DOCUMENT.to_owned(),
            DOCUMENTS_UPWARD.to_owned(),
            DOCUMENTS_DOWNWARD.to_owned(),
            TALLIES.to_owned(),
            TRACE_FORWARD.to_owned(),
            TRACE_BACKWARD.to_owned(),
            NOTE.to_owned(),
            format!("{DELETE_RECORDS}{keys}"),
            format!("{DELETE_DOCUMENTS}{keys}"),
            format!("{FORGET_OLDEST_DAY}?{FORGET_OLDEST_DAY_END}"),
            format!("{FORGET_TALLIES_OF}?"),
            format!("{FORGET_LATEST_OF}?"),
            LINES_BEFORE.to_owned(),
            LINES_AFTER.to_owned(),
            format!("{FORGET_LINES_OF}?{FORGET_LINES_UP_TO}?"),
        ];
        for text in texts {
            let plan = plan(&journal, &text).await;
            assert!(plan.contains("SEARCH") && !plan.contains("SCAN"), "{text}: {plan}");
        }
    }

    #[tokio::test]
    async fn nothing_is_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db"), Options::default()).await.unwrap();
        let journals = [HEAD, ENTRIES_FROM, ENTRIES_AFTER, RECORDS, RECORD_WITHOUT_ENTRY];
        let besides = [DOCUMENTS_UPWARD, DOCUMENTS_DOWNWARD, TALLIES, LATEST, TRACE_FORWARD, TRACE_BACKWARD];
        let lines = [LINES_BEFORE, LINES_AFTER, LAST_LINES];
        for text in journals.into_iter().chain(besides).chain(lines) {
            let plan = plan(&journal, text).await;
            assert!(!plan.contains("TEMP B-TREE"), "{text}: {plan}");
        }
    }
}
