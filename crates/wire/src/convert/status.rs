//! A refusal as a gRPC status.

use domain::Refusal;
use tonic::{Code, Status};

/// The status that tells a refusal to the caller: the code says what sort it is, the message what to do.
#[must_use]
pub fn status(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::Unauthenticated(_) => Code::Unauthenticated,
        Refusal::NotFound(_) => Code::NotFound,
        Refusal::PermissionDenied { .. } => Code::PermissionDenied,
        Refusal::Invalid { .. } => Code::InvalidArgument,
        Refusal::AlreadyExists(_) => Code::AlreadyExists,
        Refusal::Aborted(_) => Code::Aborted,
        Refusal::FailedPrecondition(_) => Code::FailedPrecondition,
    };
    // Names are the one thing in a message that we did not write, and the Go CLI formats what it prints.
    Status::new(code, refusal.to_string().replace('%', "\u{ff05}"))
}
