//! Every way of saying no.

use crate::policy::Permission;
use crate::record::Kind;
use crate::resource::Resource;

/// Why a credential is not accepted. For the log and the counters; the caller always reads the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Denial {
    /// The key id is no id.
    MalformedId,
    /// The key value has not the form or the checksum of one.
    MalformedValue,
    /// No key has this id: never made, or deleted.
    UnknownKey,
    /// The key has another value: mistyped, another key's, or from before a rotation.
    WrongValue,
    /// The key is past its expiry.
    Expired,
    /// The token is from before a rotation of its key.
    OldGeneration,
    /// The token is not one of ours: malformed, altered, or signed by a key that is gone.
    BadToken,
    /// A call without a credential.
    Missing,
    /// The person is not there any more.
    UnknownUser,
    /// The part or the secret is not there any more.
    UnknownSecret,
    /// The state was restored from a backup and nobody has confirmed it yet.
    Unconfirmed,
}

impl Denial {
    /// All of them, so that a dashboard has a series for each from the start.
    pub const ALL: [Self; 11] = [
        Self::MalformedId,
        Self::MalformedValue,
        Self::UnknownKey,
        Self::WrongValue,
        Self::Expired,
        Self::OldGeneration,
        Self::BadToken,
        Self::Missing,
        Self::UnknownUser,
        Self::UnknownSecret,
        Self::Unconfirmed,
    ];

    /// The word for logs and counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedId => "malformed_id",
            Self::MalformedValue => "malformed_value",
            Self::UnknownKey => "unknown_key",
            Self::WrongValue => "wrong_value",
            Self::Expired => "expired",
            Self::OldGeneration => "old_generation",
            Self::BadToken => "bad_token",
            Self::Missing => "missing",
            Self::UnknownUser => "unknown_user",
            Self::UnknownSecret => "unknown_secret",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// The answer no, with what the caller may know about it.
///
/// No text here holds a `%`: the Go CLI formats what it prints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The credential is not accepted. One text for every reason.
    #[error("invalid credentials")]
    Unauthenticated(Denial),
    /// There is no such thing, or the caller may not even see it: the two read the same.
    #[error("{} not found: it does not exist, or this credential cannot see it", kind_name(*.0))]
    NotFound(Kind),
    /// The caller may see the thing, but not do this to it.
    #[error("{}", denied_text(*.permission, *.resource))]
    PermissionDenied {
        /// What is missing.
        permission: Permission,
        /// On what, where the caller may see that.
        resource: Option<Resource>,
    },
    /// A field of the request breaks a rule.
    #[error("{field}: {rule}")]
    Invalid {
        /// The field as the wire names it.
        field: String,
        /// The rule, as `must …`.
        rule: String,
    },
    /// Something else stands where this should go.
    #[error("{0}")]
    AlreadyExists(String),
    /// Somebody else changed the thing in between: look at it again and repeat the change.
    #[error("{0}")]
    Aborted(String),
    /// The request is fine, but not in the present state of things.
    #[error("{0}")]
    FailedPrecondition(String),
}

impl Refusal {
    /// A field of the request breaks a rule.
    #[expect(clippy::needless_pass_by_value, reason = "a rule is an error value or a text made for this")]
    pub fn invalid(field: impl Into<String>, rule: impl ToString) -> Self {
        Self::Invalid { field: field.into(), rule: rule.to_string().replace('%', "percent") }
    }
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::SigningKey => "signing key",
        other => other.name(),
    }
}

fn denied_text(permission: Permission, resource: Option<Resource>) -> String {
    match resource {
        Some(resource) => format!("permission {} is missing on {resource}", permission.name()),
        None => format!("permission {} is missing on something else that is concerned", permission.name()),
    }
}
