//! Traces: from a subject to the entries that concern it. An index beside the chain, written after the commits.
//!
//! What a subject is, the caller says. The index tells how far it has come, so that whoever asks knows from where on
//! to look for themselves; it can be made anew from the entries at any time.

use crate::{
    error::{CommitError, Error},
    journal::Journal,
    row,
    script::Script,
    sql,
};

/// The note that tells how far the index has come.
const TRACED: &str = "journal.traced";

/// A range of numbers, neither end included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between {
    /// Only greater ones.
    pub after: u64,
    /// Only smaller ones.
    pub before: u64,
}

/// Which end of a range comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The smallest number.
    Forward,
    /// The greatest number.
    Backward,
}

impl Journal {
    /// Adds the subjects of entries, and notes that the index is complete up to this entry, in one transaction.
    ///
    /// # Errors
    ///
    /// The same batch may be given again, whatever became of it.
    pub async fn add_traces(&self, traces: &[(String, u64)], up_to: u64) -> Result<(), CommitError> {
        let mut rows = Vec::with_capacity(traces.len());
        for (subject, seq) in traces {
            rows.push((subject.as_str(), row::to_column("seq", *seq).map_err(CommitError::Refused)?));
        }
        // Neighbours in the index are written one after the other.
        rows.sort_unstable();
        let mut script = Script::new();
        let bind = |mut row: crate::script::Row<'_>, (subject, seq): (&str, i64)| {
            row.push_bind(subject.to_owned()).push_bind(seq);
        };
        script.rows(sql::ADD_TRACES, rows, bind, sql::ADD_TRACES_END);
        note(&mut script, up_to);
        self.write("index its entries", script).await.map(drop)
    }

    /// Up to which entry the index is complete.
    ///
    /// # Errors
    ///
    /// What kept the journal from reading.
    pub async fn traced(&self) -> Result<u64, Error> {
        let note = self.note(TRACED).await?;
        // What cannot be read is no use: then the index is made anew.
        Ok(note.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// The numbers of at most `limit` entries that concern a subject, as far as the index has come.
    ///
    /// # Errors
    ///
    /// What kept the journal from reading.
    pub async fn trace(
        &self,
        subject: &str,
        between: Between,
        limit: u32,
        direction: Direction,
    ) -> Result<Vec<u64>, Error> {
        let text = match direction {
            Direction::Forward => sql::TRACE_FORWARD,
            Direction::Backward => sql::TRACE_BACKWARD,
        };
        // No entry has a greater number than the column can hold.
        let bound = |seq| i64::try_from(seq).unwrap_or(i64::MAX);
        let query = sqlx::query_scalar(text).bind(subject);
        let query = query.bind(bound(between.after)).bind(bound(between.before)).bind(i64::from(limit));
        let rows: Vec<i64> =
            query.fetch_all(self.readers()).await.map_err(Error::attempting("read its index"))?;
        rows.into_iter().map(|seq| row::from_column("seq", seq)).collect()
    }

    /// Forgets what the index says of entries after this one, which may be of another history.
    ///
    /// # Errors
    ///
    /// Asking again is right.
    pub async fn forget_traces_after(&self, seq: u64) -> Result<(), CommitError> {
        let after = row::to_column("seq", seq).map_err(CommitError::Refused)?;
        let mut script = Script::new();
        script.with(sql::FORGET_TRACES_AFTER, after, "");
        note(&mut script, seq);
        self.write("shorten its index", script).await.map(drop)
    }
}

fn note(script: &mut Script, up_to: u64) {
    let bind = |mut row: crate::script::Row<'_>, (name, value): (&'static str, String)| {
        row.push_bind(name).push_bind(value);
    };
    script.rows(sql::PUT_NOTE, vec![(TRACED, up_to.to_string())], bind, sql::PUT_NOTE_END);
}
