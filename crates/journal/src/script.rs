//! Several statements, one transaction, one trip to the database.
//!
//! Every trip hands the connection's thread a command and waits for its answer, which costs two changes of thread. A
//! commit by way of `BEGIN`, two inserts and `COMMIT` makes four such trips; sent as one text it makes one, and the
//! connection's thread goes through all of it without waiting for us.
//!
//! The price: when a statement in the middle fails, the ones after it do not run, `COMMIT` included, so the connection
//! may be left inside the transaction. That is [`Writer`](crate::writer::Writer)'s business, which is the only one to
//! run a script and never uses a connection again on which one failed. (PostgreSQL takes no parameters for a text of
//! several statements; there each piece will be sent by itself, in the transaction that `begin` has opened.)
//!
//! The driver allows several statements with parameters for SQLite alone, and may not for ever. The answers are counted,
//! so that a driver that ran fewer statements than it was given would refuse every commit, not lose one.

use futures::TryStreamExt;
use sqlx::{
    Either, Encode, Executor, QueryBuilder, Sqlite, SqliteConnection, Type, query_builder::Separated,
};

use crate::sqlite;

/// How many rows share one statement at most. Enough to make the cost of a statement vanish among its rows, far from
/// the number of parameters that a database allows.
const ROWS_PER_STATEMENT: usize = 64;

/// A text with more rows than this is compiled, run and forgotten: it would take the place of many small ones in the
/// connection's cache of compiled statements, and is hardly ever needed again with just as many rows.
const ROWS_TO_CACHE: usize = 128;

/// Places for the values of one row.
pub(crate) type Row<'a> = Separated<'a, Sqlite, &'static str>;

/// A write transaction in the making.
pub(crate) struct Script {
    text: QueryBuilder<Sqlite>,
    statements: usize,
    rows: usize,
}

/// How a script failed.
pub(crate) struct Failure {
    /// Everything before `COMMIT` had been done, so the failure is the commit's.
    pub(crate) committing: bool,
    pub(crate) error: sqlx::Error,
}

impl Script {
    pub(crate) fn new() -> Script {
        Script { text: QueryBuilder::new(sqlite::BEGIN_WRITE), statements: 1, rows: 0 }
    }

    /// Adds `start`, `VALUES`, the rows and `end`, in as many statements as it takes; none for no rows.
    pub(crate) fn rows<T>(
        &mut self,
        start: &'static str,
        rows: Vec<T>,
        mut bind: impl FnMut(Row<'_>, T),
        end: &'static str,
    ) {
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            self.rows += rows.len().min(ROWS_PER_STATEMENT);
            self.statement(start).push_values(rows.by_ref().take(ROWS_PER_STATEMENT), &mut bind).push(end);
        }
    }

    /// Adds `start` and the rows, each behind `compared` and joined by `OR`, in as many statements as it takes; none for
    /// no rows.
    pub(crate) fn alternatives<T>(
        &mut self,
        start: &'static str,
        compared: &'static str,
        rows: Vec<T>,
        mut bind: impl FnMut(Row<'_>, T),
    ) {
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            self.rows += rows.len().min(ROWS_PER_STATEMENT);
            let text = self.statement(start);
            for (n, row) in rows.by_ref().take(ROWS_PER_STATEMENT).enumerate() {
                text.push(if n == 0 { "" } else { " OR " }).push(compared).push("(");
                bind(text.separated(", "), row);
                text.push(")");
            }
        }
    }

    /// Adds a statement with one parameter, between `start` and `end`.
    pub(crate) fn with<'q, T>(&mut self, start: &'static str, parameter: T, end: &'static str)
    where
        T: Encode<'q, Sqlite> + Type<Sqlite>,
    {
        self.rows += 1;
        self.statement(start).push_bind(parameter).push(end);
    }

    /// Adds a statement with two parameters, one behind `start` and one behind `middle`.
    pub(crate) fn pair<'q, T, U>(&mut self, start: &'static str, first: T, middle: &'static str, second: U)
    where
        T: Encode<'q, Sqlite> + Type<Sqlite>,
        U: Encode<'q, Sqlite> + Type<Sqlite>,
    {
        self.rows += 1;
        self.statement(start).push_bind(first).push(middle).push_bind(second);
    }

    fn statement(&mut self, start: &'static str) -> &mut QueryBuilder<Sqlite> {
        self.statements += 1;
        self.text.push("; ").push(start)
    }

    /// Runs the script; returns how many rows it changed.
    ///
    /// Dropping the future before it is ready leaves the connection at work, or stopped anywhere in the script.
    pub(crate) async fn run(mut self, connection: &mut SqliteConnection) -> Result<u64, Failure> {
        self.statement(sqlite::COMMIT);
        let all = self.statements;
        let mut answers = connection.fetch_many(self.text.build().persistent(self.rows <= ROWS_TO_CACHE));
        let (mut done, mut changed) = (0, 0);
        // The stream just ends when the connection's thread has died, so the answers are counted.
        while done < all {
            let error = match answers.try_next().await {
                Ok(Some(Either::Left(answer))) => {
                    // `BEGIN` and `COMMIT` change no rows, and answer with the number of the statement before them.
                    if 0 < done && done < all - 1 {
                        changed += answer.rows_affected();
                    }
                    done += 1;
                    continue;
                }
                Ok(Some(Either::Right(_row))) => continue,
                Ok(None) => sqlx::Error::WorkerCrashed,
                Err(error) => error,
            };
            return Err(Failure { committing: done + 1 == all, error });
        }
        Ok(changed)
    }
}
