//! The one writer: takes the journal's turn, decides what waits, commits it as one, applies it, answers.

use std::sync::Arc;
use std::time::Instant;

use domain::audit::{About, Subjects};
use domain::{Change, Draft, Entry, Kind, Overlay, Recorded, State, StoredError, Timestamp};
use getrandom::SysRng;
use journal::{CommitError, Head, Journal, Turn};
use rand_core::UnwrapErr;
use tokio::sync::mpsc;

use super::Shared;
use super::job::{Job, Tell};
use crate::failure::Failure;
use crate::mark::Mark;
use crate::store;

/// The most changes that share one commit. What is queued is taken, nothing is waited for.
const BATCH: usize = 256;

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) journal: Arc<Journal>,
    pub(super) mark: Option<Mark>,
}

/// What a turn is to write, and what each entry concerns.
#[derive(Default)]
struct Decided {
    entries: Vec<Entry>,
    subjects: Vec<Subjects>,
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
enum BatchError {
    #[error("the journal's turn could not be taken")]
    Turn(#[source] journal::Error),
    #[error(transparent)]
    Stored(#[from] StoredError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Writer {
    /// Works until it is told to stop, and finishes what is queued by then.
    pub(super) async fn run(self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = self.shared.stopping.notified() => jobs.close(),
                taken = jobs.recv_many(&mut batch, BATCH) => if taken == 0 { return },
            }
            self.shared.metrics.queue.set(i64::try_from(jobs.len()).unwrap_or(i64::MAX));
            self.turn(batch.drain(..)).await;
        }
    }

    async fn turn(&self, jobs: impl Iterator<Item = Box<dyn Job>>) {
        let turn = match self.begin().await {
            Ok(turn) => turn,
            Err(error) => {
                let failure = log_failure(&error);
                return jobs.for_each(|job| job.fail(failure.clone()));
            }
        };
        let (decided, tells) = self.decide(jobs);
        match self.commit(turn, &decided.entries).await {
            Ok(heads) => self.finish(decided, &heads, tells),
            Err(error) => {
                // The draft is gone already: it was never more than an overlay.
                let failure = log_failure(&error);
                tells.into_iter().for_each(|tell| tell(Err(failure.clone())));
            }
        }
    }

    /// Takes the turn, with whatever others have written applied.
    async fn begin(&self) -> Result<Turn<'_>, BatchError> {
        let turn = self.journal.begin().await.map_err(BatchError::Turn)?;
        for missed in turn.missed() {
            let recorded = Recorded::decode(missed.seq, Timestamp::from_micros(missed.at), &missed.body)?;
            self.shared.clock.at_least(recorded.at());
            self.shared.state.write().replay(&recorded);
            self.take_over_keys(recorded.changes());
        }
        Ok(turn)
    }

    /// Decides each on the state with the changes of those before it.
    fn decide(&self, jobs: impl Iterator<Item = Box<dyn Job>>) -> (Decided, Vec<Tell>) {
        let mut rng = UnwrapErr(SysRng);
        let mut overlay = Overlay::default();
        let (mut decided, mut tells) = (Decided::default(), Vec::new());
        for job in jobs {
            // The lock is taken anew for each: checks go on between two decisions.
            let state = self.shared.state.read();
            let now = self.shared.clock.now();
            let (entry, tell) = job.decide(&Draft::new(&state, &overlay), now, &mut rng);
            tells.push(tell);
            if let Some(entry) = entry {
                decided.subjects.push(lay_over(&state, &mut overlay, &entry));
                decided.entries.push(entry);
            }
        }
        (decided, tells)
    }

    async fn commit(&self, turn: Turn<'_>, entries: &[Entry]) -> Result<Vec<Head>, BatchError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let new = entries.iter().map(store::encode).collect::<Result<Vec<_>, _>>()?;
        let started = Instant::now();
        let heads = turn.commit(new).await?;
        self.shared.metrics.committed(entries.len(), started.elapsed());
        self.advance_mark(heads.last().copied());
        Ok(heads)
    }

    /// What the authority signs with is as it is stored before anybody hears of the change.
    fn take_over_keys<'a>(&self, changes: impl IntoIterator<Item = &'a Change>) {
        if changes.into_iter().any(|change| change.id().kind() == Kind::SigningKey) {
            self.shared.state(|state| self.shared.signing.refresh(state));
        }
    }

    fn advance_mark(&self, head: Option<Head>) {
        if let (Some(mark), Some(head)) = (&self.mark, head)
            && let Err(error) = mark.advance(head)
        {
            tracing::error!(error = &error as &dyn std::error::Error, "the high-water mark lags behind");
        }
    }

    /// Applies what is written and answers. Every stream is asked to look again; where access got narrower, the
    /// answer waits until all have, outside the turn, so that other changes go on.
    fn finish(&self, decided: Decided, heads: &[Head], tells: Vec<Tell>) {
        let Decided { entries, subjects } = decided;
        {
            let mut state = self.shared.state.write();
            entries.iter().for_each(|entry| state.apply(entry));
        }
        self.take_over_keys(entries.iter().flat_map(Entry::changes));
        for (head, subjects) in heads.iter().zip(subjects) {
            self.shared.trail.add(head.seq, subjects);
        }
        for entry in &entries {
            tracing::info!(via = entry.via(), actor = ?entry.actor(), narrows = entry.narrows(), "changed");
        }
        let answer = move || tells.into_iter().for_each(|tell| tell(Ok(())));
        let settled = self.shared.streams.recheck();
        if entries.iter().any(Entry::narrows) {
            tokio::spawn(async move {
                settled.await;
                answer();
            });
        } else {
            // Streams hear of it, and nobody waits for them.
            answer();
        }
    }
}

/// Takes an entry into the draft; what it concerns is told by where everything stands on both sides of it.
fn lay_over(state: &State, overlay: &mut Overlay, entry: &Entry) -> Subjects {
    let about = About::of(entry);
    let mut subjects = about.subjects();
    about.place(&Draft::new(state, overlay), &mut subjects);
    overlay.apply(entry);
    about.place(&Draft::new(state, overlay), &mut subjects);
    subjects
}

fn log_failure(error: &BatchError) -> Failure {
    tracing::error!(error = error as &dyn std::error::Error, "a batch of changes was not written");
    match error {
        BatchError::Commit(CommitError::Unknown(_)) => Failure::OutcomeUnknown,
        _ => Failure::NotWritten,
    }
}
