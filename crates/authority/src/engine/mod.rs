//! The engine: every decision goes through here.
//!
//! Reads take the lock for a look: present the caller, ask, answer, all on one state. Changes go to the one
//! writer ([`writer`]), which decides them on a draft, commits a batch, applies it, and only then answers.
//! Nothing is ever applied that is not committed, and nothing is answered that is not applied.

mod job;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::{
    Caller, Command, Denial, DocumentKind, Permission, Principal, Refusal, Resource, State, Timestamp,
    present, verify, verify_part,
};
use journal::Journal;
use parking_lot::RwLock;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::call::Call;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::logs::Logs;
use crate::mark::Mark;
use crate::metrics::Metrics;
use crate::presence::Parts;
use crate::restarts::Restarts;
use crate::signing::Signing;
use crate::streams::Streams;
use crate::trail::{self, Trail};
use crate::usage::Usage;

use job::{Ask, Job};

/// How many changes may wait for the writer. More are turned away at once rather than late.
const QUEUE: usize = 4_096;

/// What all tasks of the authority share.
pub struct Shared {
    state: RwLock<State>,
    /// The one clock.
    pub clock: Clock,
    /// Whether keys are accepted at all: not between a restore and its confirmation.
    confirmed: AtomicBool,
    /// Tells the writer to take no more.
    stopping: Notify,
    /// The authority's own keys.
    pub signing: Signing,
    /// Who used what.
    pub usage: Usage,
    /// When the parts of machines last called.
    pub parts: Parts,
    /// Which entries concern what.
    pub(crate) trail: Trail,
    /// What machines say.
    pub logs: Logs,
    /// Which parts were told to start anew.
    pub restarts: Restarts,
    /// The server streams that must end when their right does.
    pub streams: Streams,
    /// What is counted.
    pub metrics: Metrics,
}

/// What is kept beside the journal, gathered in memory and written in batches.
#[derive(Debug, Default)]
pub struct Beside {
    /// Who used what.
    pub usage: Usage,
    /// When the parts of machines last called.
    pub parts: Parts,
    /// What machines say.
    pub logs: Logs,
    /// Which parts were told to start anew.
    pub restarts: Restarts,
}

/// The engine. Cheap to clone; ends when the last clone is dropped and the writer is waited for.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    journal: Arc<Journal>,
    queue: mpsc::Sender<Box<dyn Job>>,
}

impl Engine {
    /// Starts the writer on a journal and the state that was loaded from it. Without a mark to advance, the state is
    /// not confirmed, and no key is accepted.
    pub fn start(
        journal: Journal,
        state: State,
        mark: Option<Mark>,
        clock: Clock,
        beside: Beside,
        signing: Signing,
        trail: Trail,
    ) -> (Self, JoinHandle<()>) {
        let metrics = Metrics::new();
        let streams = Streams::new();
        let confirmed = AtomicBool::new(mark.is_some());
        let state = RwLock::new(state);
        let stopping = Notify::new();
        let Beside { usage, parts, logs, restarts } = beside;
        let shared = Shared {
            state,
            clock,
            confirmed,
            stopping,
            signing,
            usage,
            parts,
            logs,
            restarts,
            trail,
            streams,
            metrics,
        };
        let shared = Arc::new(shared);
        let journal = Arc::new(journal);
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writer = writer::Writer { shared: Arc::clone(&shared), journal: Arc::clone(&journal), mark };
        let writer = tokio::spawn(writer.run(jobs));
        (Self { shared, journal, queue }, writer)
    }

    /// What all tasks share.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Starts the task that writes the index of the audit log; [`Trail::stop`] ends it.
    pub(crate) fn keep_trail(&self) -> JoinHandle<()> {
        tokio::spawn(trail::keep(Arc::clone(&self.shared), Arc::clone(&self.journal)))
    }

    /// The journal, for what is neither a check nor a change: backups, usage, the audit log.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// No further change is taken; those that wait are still made.
    pub fn stop(&self) {
        self.shared.stopping.notify_one();
    }

    /// The journal, if nobody else holds it.
    #[must_use]
    pub fn into_journal(self) -> Option<Journal> {
        let Self { journal, .. } = self;
        Arc::into_inner(journal)
    }

    /// Whether keys are accepted at all.
    #[must_use]
    pub fn confirmed(&self) -> bool {
        self.shared.confirmed.load(Ordering::Acquire)
    }

    /// Checks a presented id and value against the keys as they are now.
    ///
    /// # Errors
    /// Why not, for the log.
    pub fn verify(&self, id: &str, value: &str) -> Result<Caller, Denial> {
        let now = self.shared.clock.now();
        let state = self.shared.state.read();
        let caller = verify(&*state, id, value, now)?.caller();
        if self.confirmed() { Ok(caller) } else { Err(Denial::Unconfirmed) }
    }

    /// Checks a presented part's id and secret.
    ///
    /// # Errors
    /// Why not, for the log.
    pub fn verify_part(&self, id: &str, secret: &str) -> Result<Caller, Denial> {
        let state = self.shared.state.read();
        let caller = verify_part(&*state, id, secret)?.caller();
        if self.confirmed() { Ok(caller) } else { Err(Denial::Unconfirmed) }
    }

    /// Looks: presents the caller and asks, on one state.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`] where the caller is not accepted any more; otherwise what `ask` refuses.
    pub fn look<T>(
        &self,
        caller: Caller,
        ask: impl FnOnce(&State, &Principal<'_>, Timestamp) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.shared.look(caller, ask)
    }

    /// Whether a call would be let in again: the caller and the token. What stays open looks at this again and again.
    ///
    /// # Errors
    /// As [`Engine::look`].
    pub fn accepts(&self, call: &Call) -> Result<(), Refusal> {
        if !self.shared.signing.verifies(call.signer) {
            return Err(Refusal::Unauthenticated(Denial::BadToken));
        }
        self.look(call.caller, |_, _, _| Ok(()))
    }

    /// A look by the person at the server.
    pub fn look_as_system<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.shared.state(look)
    }

    /// A read on behalf of a call: like [`Engine::look`], and counted as a use of the permission on the resource.
    ///
    /// # Errors
    /// As [`Engine::look`].
    pub fn read<T>(
        &self,
        call: &Call,
        uses: Option<(Permission, Resource)>,
        ask: impl FnOnce(&State, &Principal<'_>, Timestamp) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let now = self.shared.clock.now();
        let answer = self.shared.look(call.caller, ask)?;
        if let Caller::Key { id, .. } = call.caller {
            self.shared.usage.note(id, now, call.address, uses);
        }
        Ok(answer)
    }

    /// A document. Whether the caller may read it was to be asked before.
    ///
    /// # Errors
    /// Where the journal cannot be read; the log says why.
    pub(crate) async fn document(&self, kind: DocumentKind, id: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.journal.document(kind.name(), id).await.map_err(|error| unreadable(&error))
    }

    /// The newest documents of a kind with ids from `first` to `last`, the newest first.
    ///
    /// # Errors
    /// As [`Engine::document`].
    pub(crate) async fn newest_documents(
        &self,
        kind: DocumentKind,
        first: &str,
        last: &str,
        limit: u32,
    ) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let read = self.journal.documents(kind.name(), first, last, limit, true).await;
        read.map_err(|error| unreadable(&error))
    }

    /// A change on behalf of a call.
    ///
    /// # Errors
    /// The refusal, or that the change could not be made durable.
    pub async fn change<C: Command>(&self, call: &Call, command: C) -> Result<C::Reply, Failure> {
        let done = self.submit(call.caller, call.method, command).await?;
        if let Caller::Key { id, .. } = call.caller {
            let now = self.shared.clock.now();
            // What a change used is in its entry; each allowance counts once.
            self.shared.usage.touch(id, now, call.address);
            for allowance in &done.allowances {
                if let Some(resource) = allowance.resource {
                    self.shared.usage.count(id, now, allowance.permission, resource);
                }
            }
        }
        Ok(done.reply)
    }

    /// A change by the person at the server.
    ///
    /// # Errors
    /// As [`Engine::change`].
    pub async fn command<C: Command>(&self, via: &'static str, command: C) -> Result<C::Reply, Failure> {
        Ok(self.submit(Caller::System, via, command).await?.reply)
    }

    async fn submit<C: Command>(
        &self,
        caller: Caller,
        via: &'static str,
        command: C,
    ) -> Result<job::Done<C::Reply>, Failure> {
        if caller != Caller::System && !self.confirmed() {
            return Err(Refusal::Unauthenticated(Denial::Unconfirmed).into());
        }
        let (reply, answer) = oneshot::channel();
        let ask = Ask { caller, via, command, reply };
        self.queue.try_send(Box::new(ask)).map_err(|error| match error {
            TrySendError::Full(_) => Failure::Busy,
            TrySendError::Closed(_) => Failure::Stopping,
        })?;
        answer.await.map_err(|_| Failure::Stopping)?
    }
}

fn unreadable(error: &journal::Error) -> Failure {
    tracing::error!(error = error as &dyn std::error::Error, "a document could not be read");
    Failure::NotRead
}

impl Shared {
    pub(crate) fn look<T>(
        &self,
        caller: Caller,
        ask: impl FnOnce(&State, &Principal<'_>, Timestamp) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if !self.confirmed.load(Ordering::Acquire) && caller != Caller::System {
            return Err(Refusal::Unauthenticated(Denial::Unconfirmed));
        }
        let now = self.clock.now();
        let state = self.state.read();
        let principal = present(&*state, caller, now).map_err(Refusal::Unauthenticated)?;
        ask(&state, &principal, now)
    }

    /// The state as it is, for counting and for upkeep.
    pub(crate) fn state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read())
    }
}
