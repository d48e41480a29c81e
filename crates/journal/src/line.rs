//! Lines: what some subject says about itself, kept in order and within bounds, beside the chain.
//!
//! Each line lies at a place. Places of a subject only grow, by as much as a line counts for, so that one number bounds
//! both how many lines are kept and how large they are together: whatever lies further back than the bound goes. Who
//! writes the lines hands out the places.

use std::collections::BTreeMap;

use futures::TryStreamExt;

use crate::{
    error::{CommitError, Error},
    journal::Journal,
    row,
    script::Script,
    sql,
};

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who said it, or whom it is about.
    pub subject: String,
    /// Where it lies among the subject's lines; no two lie at the same place.
    pub place: u64,
    /// What was said, in the caller's form.
    pub body: Vec<u8>,
}

/// From where lines are read, and which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Those before this place, the last first.
    Before(u64),
    /// Those after this place, the first first.
    After(u64),
}

impl Journal {
    /// Adds lines, and forgets of each subject what lies at or before the place given for it, all in one transaction.
    ///
    /// # Errors
    ///
    /// After [`CommitError::Refused`] the same lines may be given again. So they may after [`CommitError::Unknown`]: a
    /// line takes the place of the one that lies where it does.
    pub async fn add_lines(&self, lines: &[Line], forget: &[(String, u64)]) -> Result<(), CommitError> {
        if lines.is_empty() && forget.is_empty() {
            return Ok(());
        }
        let mut script = Script::new();
        script.rows(
            sql::PUT_LINES,
            last_words(lines).map_err(CommitError::Refused)?,
            |mut row, (subject, place, body)| {
                row.push_bind(subject).push_bind(place).push_bind(body);
            },
            sql::PUT_LINES_END,
        );
        for (subject, place) in forget {
            let place = row::to_column("place", *place).map_err(CommitError::Refused)?;
            script.pair(sql::FORGET_LINES_OF, subject.as_str(), sql::FORGET_LINES_UP_TO, place);
        }
        self.write("add lines", script).await.map(drop)
    }

    /// At most `limit` lines of a subject, as their places and bodies.
    ///
    /// # Errors
    ///
    /// What kept the journal from reading.
    pub async fn lines(&self, subject: &str, from: From, limit: u32) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let (text, place) = match from {
            From::Before(place) => (sql::LINES_BEFORE, place),
            From::After(place) => (sql::LINES_AFTER, place),
        };
        // There is nothing beyond the largest number that the database knows.
        let place = i64::try_from(place).unwrap_or(i64::MAX);
        let query = sqlx::query_as(text).bind(subject).bind(place).bind(i64::from(limit));
        let rows: Vec<(i64, Vec<u8>)> =
            query.fetch_all(self.readers()).await.map_err(Error::attempting("read lines"))?;
        rows.into_iter().map(|(place, body)| Ok((row::from_column("place", place)?, body))).collect()
    }

    /// Hands every subject that has lines to `f`, with the place of its last line, in the order of the subject. It
    /// takes as long as there are subjects, not lines.
    ///
    /// # Errors
    ///
    /// The first error of `f`, which ends the reading, or what kept the journal from reading.
    pub async fn for_each_last_line<E>(
        &self,
        mut f: impl FnMut(String, u64) -> Result<(), E>,
    ) -> Result<(), E>
    where
        E: std::convert::From<Error>,
    {
        let failed = || Error::attempting("read who has lines");
        let mut rows = sqlx::query_as(sql::LAST_LINES).fetch(self.readers());
        while let Some(row) = rows.try_next().await.map_err(failed())? {
            let (subject, place): (String, i64) = row;
            f(subject, row::from_column("place", place)?)?;
        }
        Ok(())
    }
}

/// `subject, place, body`.
type Row<'a> = (&'a str, i64, &'a [u8]);

/// One row for each place: of two lines at the same place the later in the list.
fn last_words(lines: &[Line]) -> Result<Vec<Row<'_>>, Error> {
    let mut last = BTreeMap::<(&str, u64), &[u8]>::new();
    for Line { subject, place, body } in lines {
        last.insert((subject, *place), body);
    }
    let row = |((subject, place), body)| Ok((subject, row::to_column("place", place)?, body));
    last.into_iter().map(row).collect()
}
