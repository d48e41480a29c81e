//! A change on its way through the writer, whatever its type.

use domain::{Allowance, Caller, Command, Context, Decision, Draft, Entry, Refusal, Timestamp, present};
use rand_core::CryptoRng;
use tokio::sync::oneshot;

use crate::failure::Failure;

/// What the caller gets when it is done.
pub(super) struct Done<R> {
    /// The reply.
    pub(super) reply: R,
    /// What was used to do it.
    pub(super) allowances: Vec<Allowance>,
}

/// A command with its caller and the way back to them.
pub(super) struct Ask<C: Command> {
    pub(super) caller: Caller,
    pub(super) via: &'static str,
    pub(super) command: C,
    pub(super) reply: oneshot::Sender<Result<Done<C::Reply>, Failure>>,
}

/// Tells the caller how it ended: with what was decided, or that the batch could not be written.
pub(super) type Tell = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// What the writer knows of an [`Ask`].
pub(super) trait Job: Send {
    /// Decides on the draft. The caller is told nothing yet: also a refusal may rest on what an earlier change
    /// of this batch would do, so it waits for the commit like everything else.
    fn decide(
        self: Box<Self>,
        draft: &Draft<'_>,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> (Option<Entry>, Tell);

    /// Tells the caller that it did not come to a decision.
    fn fail(self: Box<Self>, failure: Failure);
}

impl<C: Command> Job for Ask<C> {
    fn decide(
        self: Box<Self>,
        draft: &Draft<'_>,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> (Option<Entry>, Tell) {
        let Self { caller, via, command, reply } = *self;
        let decided = present(draft, caller, now).map_err(Refusal::Unauthenticated);
        let decided = decided
            .and_then(|principal| command.decide(&mut Context { view: draft, principal, now, via, rng }));
        let (entry, outcome) = match decided {
            Ok(Decision { entry, reply }) => {
                let allowances = entry.as_ref().map(|entry| entry.allowances().to_vec()).unwrap_or_default();
                (entry, Ok(Done { reply, allowances }))
            }
            Err(refusal) => (None, Err(Failure::Refused(refusal))),
        };
        let tell = move |written: Result<(), Failure>| {
            // A caller who went away gets no answer; the change stands.
            drop(reply.send(written.and(outcome)));
        };
        (entry, Box::new(tell))
    }

    fn fail(self: Box<Self>, failure: Failure) {
        drop(self.reply.send(Err(failure)));
    }
}
