//! Entries that are sent one after the other, for as long as the caller may read them.

use std::sync::Arc;

use domain::{Resource, Timestamp};
use futures::Stream;
use journal::{Between, Direction};
use tonic::Status;
use wire::claviger::v1 as pb;

use super::question::{Answering, Question};
use crate::call::Call;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::feed::{Writer, feed};
use crate::streams::sleep_until;

/// A stream of entries that is about to start.
pub(super) struct Run {
    pub(super) call: Call,
    pub(super) answering: Answering,
    /// What is still to be sent.
    pub(super) bounds: Between,
    /// The last entry to be sent; never if absent.
    pub(super) until: Option<u64>,
}

/// By what right entries are sent. It must stay the same: what was made ready under another may be too much.
struct Right {
    engine: Engine,
    call: Call,
    question: Question,
    roots: Vec<Resource>,
}

impl Right {
    /// Whether the right still stands, and when it ends by itself.
    fn stands(&self) -> Result<Option<Timestamp>, Failure> {
        self.engine.accepts(&self.call)?;
        let organization = self.question.organization;
        let (roots, expires_at) = self.engine.look(self.call.caller, |state, principal, _| {
            let roots = domain::audit::roots(state, principal, organization)?;
            Ok((roots, principal.key().and_then(|key| key.expires_at)))
        })?;
        if self.roots.iter().all(|root| roots.contains(root)) {
            Ok(expires_at)
        } else {
            Err(Failure::Narrowed)
        }
    }
}

impl Run {
    /// Starts sending; `make` turns an entry into a message.
    pub(super) fn start<T: Send + 'static>(
        self,
        make: fn(pb::AuditEntry) -> Result<T, Failure>,
    ) -> impl Stream<Item = Result<T, Status>> + Send {
        let right = Arc::new(Right {
            engine: self.answering.engine.clone(),
            call: self.call,
            question: self.answering.question.clone(),
            roots: self.answering.roots.clone(),
        });
        let reading = Arc::clone(&right);
        let (writer, reader) = feed(move || reading.stands().map(drop).map_err(Status::from));
        tokio::spawn(async move {
            right.engine.shared().metrics.streams.inc();
            if let Err(failure) = self.send(&right, &writer, make).await {
                writer.end(failure.into());
            }
            right.engine.shared().metrics.streams.dec();
        });
        reader
    }

    /// Sends until nothing more is to be sent, the caller goes away, or the right ends.
    async fn send<T>(
        mut self,
        right: &Right,
        writer: &Writer<T>,
        make: fn(pb::AuditEntry) -> Result<T, Failure>,
    ) -> Result<(), Failure> {
        let shared = right.engine.shared();
        let mut seat = shared.streams.seat();
        let mut expires_at = right.stands()?;
        // Not given up while rights are looked at again: changes may come faster than an entry is made ready.
        let work = self.work(writer, make);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                // The answer to the change waits for this look, so it ends here what must end.
                _look = seat.asked() => expires_at = right.stands()?,
                () = shared.streams.stopped() => return Err(Failure::Stopping),
                () = writer.left() => return Ok(()),
                () = sleep_until(shared.clock.now(), expires_at) => expires_at = right.stands()?,
                done = &mut work => return done,
            }
        }
    }

    async fn work<T>(
        &mut self,
        writer: &Writer<T>,
        make: fn(pb::AuditEntry) -> Result<T, Failure>,
    ) -> Result<(), Failure> {
        loop {
            let newest = self.answering.engine.shared().trail.settled().await?;
            let between = Between { before: self.bounds.before.min(newest + 1), ..self.bounds };
            let candidates = self.answering.candidates(between, Direction::Forward).await?;
            if candidates.is_empty() {
                self.bounds.after = self.bounds.after.max(newest);
                if self.until.is_some_and(|until| newest >= until) {
                    writer.taken().await;
                    writer.finish();
                    return Ok(());
                }
                self.answering.engine.shared().trail.later_than(newest).await;
                continue;
            }
            for seq in candidates {
                if let Some(entry) = self.answering.entry(seq).await? {
                    let message = make(entry)?;
                    // One at a time: who reads slowly is waited for, and nothing piles up.
                    writer.taken().await;
                    writer.put(message);
                }
                self.bounds.after = seq;
            }
        }
    }
}
