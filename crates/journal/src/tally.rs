//! Usage: counters and last times that are gathered in memory and written in batches, beside the chain.
//!
//! Nothing is decided by them, so they may lag behind, and a crash may lose the last batch.

use std::collections::BTreeMap;

use futures::TryStreamExt;

use crate::{
    error::{CommitError, Error},
    journal::Journal,
    row,
    script::Script,
    sql,
};

/// How often something happened on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Whom or what it is about.
    pub subject: String,
    /// The day, counted from 1970-01-01, which is 0.
    pub day: i32,
    /// What happened, in the caller's words.
    pub label: String,
    /// How often.
    pub count: u64,
}

/// When something happened last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Whom or what it is about.
    pub subject: String,
    /// When, in microseconds since the epoch.
    pub at: i64,
    /// What is worth telling of it, in the caller's words.
    pub detail: String,
}

impl Journal {
    /// Adds the counts to those that are there, and keeps the newest of each subject's times, all in one transaction.
    ///
    /// # Errors
    ///
    /// After [`CommitError::Refused`] the same batch may be given again; after [`CommitError::Unknown`] that may count
    /// it twice.
    pub async fn add_tallies(&self, tallies: &[Tally], latest: &[Latest]) -> Result<(), CommitError> {
        if tallies.is_empty() && latest.is_empty() {
            return Ok(());
        }
        let mut script = Script::new();
        script.rows(
            sql::ADD_TALLIES,
            sums(tallies).map_err(CommitError::Refused)?,
            |mut row, (subject, day, label, count)| {
                row.push_bind(subject).push_bind(day).push_bind(label).push_bind(count);
            },
            sql::ADD_TALLIES_END,
        );
        script.rows(
            sql::PUT_LATEST,
            newest(latest),
            |mut row, Latest { subject, at, detail }| {
                row.push_bind(subject.as_str()).push_bind(at).push_bind(detail.as_str());
            },
            sql::PUT_LATEST_END,
        );
        self.write("add up usage", script).await.map(drop)
    }

    /// The counts of a subject from one day to another, both included, in the order of day and label.
    ///
    /// # Errors
    ///
    /// What kept the journal from reading.
    pub async fn tallies(&self, subject: &str, from_day: i32, to_day: i32) -> Result<Vec<Tally>, Error> {
        let query = sqlx::query_as(sql::TALLIES).bind(subject).bind(from_day).bind(to_day);
        let rows: Vec<(String, i32, String, i64)> =
            query.fetch_all(self.readers()).await.map_err(Error::attempting("read usage"))?;
        let tally = |(subject, day, label, count)| {
            Ok(Tally { subject, day, label, count: row::from_column("count", count)? })
        };
        rows.into_iter().map(tally).collect()
    }

    /// Hands the latest time of every subject to `f`, in the order of the subject. They are never in memory together.
    ///
    /// # Errors
    ///
    /// The first error of `f`, which ends the reading, or what kept the journal from reading.
    pub async fn for_each_latest<E>(&self, mut f: impl FnMut(Latest) -> Result<(), E>) -> Result<(), E>
    where
        E: From<Error>,
    {
        let failed = || Error::attempting("read the latest usage");
        let mut rows = sqlx::query_as(sql::LATEST).fetch(self.readers());
        while let Some((subject, at, detail)) = rows.try_next().await.map_err(failed())? {
            f(Latest { subject, at, detail })?;
        }
        Ok(())
    }

    /// Forgets the counts of all days before `day`; returns how many there were. Each day is forgotten in a
    /// transaction of its own, so that commits get their turn in between.
    ///
    /// # Errors
    ///
    /// The days forgotten until then stay forgotten.
    pub async fn forget_tallies(&self, day: i32) -> Result<u64, CommitError> {
        let mut forgotten = 0;
        loop {
            let mut script = Script::new();
            script.with(sql::FORGET_OLDEST_DAY, day, sql::FORGET_OLDEST_DAY_END);
            match self.write("forget old usage", script).await? {
                0 => return Ok(forgotten),
                rows => forgotten += rows,
            }
        }
    }

    /// Forgets all counts and the latest time of a subject.
    ///
    /// # Errors
    ///
    /// Whether they may have been forgotten all the same. Asking again is right.
    pub async fn forget_subject(&self, subject: &str) -> Result<(), CommitError> {
        let mut script = Script::new();
        script.with(sql::FORGET_TALLIES_OF, subject, "");
        script.with(sql::FORGET_LATEST_OF, subject, "");
        self.write("forget the usage of a subject", script).await.map(drop)
    }
}

/// One row for each counter.
fn sums(tallies: &[Tally]) -> Result<Vec<(&str, i32, &str, i64)>, Error> {
    let mut sums = BTreeMap::<(&str, i32, &str), u64>::new();
    for Tally { subject, day, label, count } in tallies {
        let sum = sums.entry((subject, *day, label)).or_default();
        *sum = sum.saturating_add(*count);
    }
    let row = |((subject, day, label), sum)| Ok((subject, day, label, row::to_column("count", sum)?));
    sums.into_iter().map(row).collect()
}

/// One row for each subject: the newest, and of two at the same time the later in the list.
fn newest(latest: &[Latest]) -> Vec<&Latest> {
    let mut newest = BTreeMap::<&str, &Latest>::new();
    for one in latest {
        let kept = newest.entry(&one.subject).or_insert(one);
        if one.at >= kept.at {
            *kept = one;
        }
    }
    newest.into_values().collect()
}
