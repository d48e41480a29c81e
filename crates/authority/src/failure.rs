//! What can become of a call that does not succeed.

use std::sync::Arc;

use domain::Refusal;
use tonic::{Code, Status};

/// Why a call did not do what it was asked to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many changes wait already.
    #[error("too many changes are waiting: try again in a moment")]
    Busy,
    /// The authority is stopping.
    #[error("this authority is stopping: try again")]
    Stopping,
    /// The change could not be written, and was not made.
    #[error("the change could not be written and was not made; the authority's log says why")]
    NotWritten,
    /// The change was sent to the disk, and the disk did not say whether it has it.
    #[error("it is not known whether the change was written: look before you repeat it")]
    OutcomeUnknown,
    /// What was asked for could not be read.
    #[error("what was asked for could not be read; the authority's log says why")]
    NotRead,
    /// The index of the audit log is behind the journal.
    #[error("the index of the audit log is being caught up: try again in a moment")]
    Indexing,
    /// What the caller sees has become other while they were being told.
    #[error("what this credential may see has changed: follow again after the last entry that was received")]
    Narrowed,
    /// Something is wrong with the authority, not with the call.
    #[error("{0}")]
    Internal(&'static str),
    /// The call itself is malformed, in a way the protocol has a word for.
    #[error("{0}")]
    Malformed(String),
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let code = match &failure {
            Failure::Refused(refusal) => {
                let mut status = wire::convert::status(refusal);
                // Beside the answer, not in it: the log says what the caller is not told.
                status.set_source(Arc::new(refusal.clone()));
                return status;
            }
            Failure::Busy => Code::ResourceExhausted,
            Failure::Stopping
            | Failure::NotWritten
            | Failure::OutcomeUnknown
            | Failure::Indexing
            | Failure::NotRead => Code::Unavailable,
            Failure::Narrowed => Code::Aborted,
            Failure::Internal(_) => Code::Internal,
            Failure::Malformed(_) => Code::InvalidArgument,
        };
        Status::new(code, failure.to_string())
    }
}
