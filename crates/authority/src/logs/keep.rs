//! Writing what waits, and forgetting what is gone.

use std::time::Duration;

use domain::{PartId, View as _};
use journal::{CommitError, Journal};

use super::{Kept, Logs, bounds};
use crate::engine::Engine;

/// How often what was said is written.
const EVERY: Duration = Duration::from_secs(5);

/// The most bytes in one transaction, so that changes get their turn in between.
const BATCH: usize = 1024 * 1024;

/// More than any place.
const ALL: u64 = u64::MAX >> 1;

/// Writes from time to time, or when enough waits, until it is given up.
pub(crate) async fn keep(engine: Engine) {
    let logs = &engine.shared().logs;
    loop {
        // Whichever comes first.
        drop(tokio::time::timeout(EVERY, logs.enough.notified()).await);
        if let Err(error) = forget(&engine).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what deleted parts left is kept a while"
            );
        }
        if let Err(error) = logs.flush(engine.journal()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "logs are not written; they are kept");
        }
    }
}

/// Drops what is kept of parts that are gone.
async fn forget(engine: &Engine) -> Result<(), CommitError> {
    let shared = engine.shared();
    let gone = |known: Vec<PartId>| -> Vec<PartId> {
        engine.look_as_system(|state| known.into_iter().filter(|part| state.part(*part).is_none()).collect())
    };
    shared.logs.forget(engine.journal(), &gone(shared.logs.parts())).await?;
    shared.restarts.forget(engine.journal(), &gone(shared.restarts.parts())).await
}

impl Logs {
    /// The parts that have a log.
    fn parts(&self) -> Vec<PartId> {
        self.kept.lock().parts.keys().copied().collect()
    }

    /// Writes what waits. What cannot be written now waits on; what is written twice is the same line.
    ///
    /// # Errors
    /// Where the journal cannot be written.
    pub async fn flush(&self, journal: &Journal) -> Result<(), CommitError> {
        loop {
            let (lines, forget, written) = self.kept.lock().batch();
            if lines.is_empty() {
                return Ok(());
            }
            journal.add_lines(&lines, &forget).await?;
            self.kept.lock().written(&written);
        }
    }

    /// Drops the logs of parts that are gone.
    ///
    /// # Errors
    /// Where the journal cannot be written. Asking again is right.
    pub(super) async fn forget(&self, journal: &Journal, gone: &[PartId]) -> Result<(), CommitError> {
        for some in gone.chunks(100) {
            let all: Vec<_> = some.iter().map(|part| (part.to_string(), ALL)).collect();
            journal.add_lines(&[], &all).await?;
            let mut kept = self.kept.lock();
            for part in some {
                if let Some(log) = kept.parts.remove(part) {
                    let bytes: usize = log.waiting.iter().map(|line| line.body.len()).sum();
                    kept.waiting = kept.waiting.saturating_sub(bytes);
                }
            }
        }
        Ok(())
    }
}

/// The lines to write, from where each part's older ones are dropped, and up to where each part is then written.
type Batch = (Vec<journal::Line>, Vec<(String, u64)>, Vec<(PartId, u64)>);

impl Kept {
    /// Some of what waits.
    fn batch(&self) -> Batch {
        let (mut lines, mut forget, mut written) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        for (part, log) in &self.parts {
            if bytes >= BATCH {
                break;
            }
            let subject = part.to_string();
            let mut last = None;
            for line in &log.waiting {
                if bytes >= BATCH {
                    break;
                }
                bytes += line.body.len().max(1);
                last = Some(line.place);
                let (subject, body) = (subject.clone(), line.body.to_vec());
                lines.push(journal::Line { subject, place: line.place, body });
            }
            if let Some(last) = last {
                written.push((*part, last));
                forget.push((subject, bounds::floor(last)));
            }
        }
        (lines, forget, written)
    }

    /// These are in the journal.
    fn written(&mut self, written: &[(PartId, u64)]) {
        for (part, last) in written {
            let Some(log) = self.parts.get_mut(part) else { continue };
            while let Some(oldest) = log.waiting.front()
                && oldest.place <= *last
            {
                self.waiting = self.waiting.saturating_sub(oldest.body.len());
                log.waiting.pop_front();
            }
        }
    }
}
