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
    /// The store of files did not do what it was asked to.
    #[error("the store of files did not answer as it should: try again; the authority's log says why")]
    Files,
    /// More is sent, or sent at once, than is taken.
    #[error("{0}")]
    TooMuch(String),
    /// The caller let us wait.
    #[error("nothing was sent for {0} seconds: the upload is given up")]
    Stalled(u64),
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
            Failure::Busy | Failure::TooMuch(_) => Code::ResourceExhausted,
            Failure::Stalled(_) => Code::DeadlineExceeded,
            Failure::Files
            | Failure::Stopping
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
