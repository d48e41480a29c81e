//! An entry: who changed what, when, through what, and why it was allowed.

use crate::authorize::{Allowance, Permit};
use crate::document::DocumentChange;
use crate::record::{Actor, Change, Membership, Record, User};
use crate::time::Timestamp;
use crate::view::{View, record_in};

/// A change that was decided and allowed. It can only be made from a [`Permit`], and a permit only by being allowed:
///
/// ```compile_fail
/// let permit = domain::Permit { actor: domain::Actor::System, allowances: vec![] };
/// ```
///
/// ```compile_fail
/// fn forge(permit: domain::Permit, view: &dyn domain::View) -> domain::Entry {
///     domain::Entry::new(view, permit, domain::Timestamp::EPOCH, "by hand", vec![])
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Entry {
    at: Timestamp,
    via: &'static str,
    permit: Permit,
    changes: Vec<Change>,
    before: Vec<Option<Record>>,
    documents: Vec<DocumentChange>,
}

impl Entry {
    /// The entry that makes these changes to what the view shows.
    pub(crate) fn new(
        view: &dyn View,
        permit: Permit,
        at: Timestamp,
        via: &'static str,
        changes: Vec<Change>,
    ) -> Self {
        let before = changes.iter().map(|change| record_in(view, change.id())).collect();
        Self { at, via, permit, changes, before, documents: Vec::new() }
    }

    /// The same entry, which changes these documents as well.
    pub(crate) fn with_documents(mut self, documents: Vec<DocumentChange>) -> Self {
        self.documents = documents;
        self
    }

    /// When it was decided.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Through what: the path of an RPC, or a command at the server.
    #[must_use]
    pub const fn via(&self) -> &'static str {
        self.via
    }

    /// Who did it.
    #[must_use]
    pub const fn actor(&self) -> Actor {
        self.permit.actor()
    }

    /// Why it was allowed.
    #[must_use]
    pub fn allowances(&self) -> &[Allowance] {
        self.permit.allowances()
    }

    /// What it changes.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The documents it changes.
    #[must_use]
    pub fn documents(&self) -> &[DocumentChange] {
        &self.documents
    }

    /// What it changes, each with the record as it was before.
    pub fn changes_with_before(&self) -> impl Iterator<Item = (&Change, Option<&Record>)> {
        self.changes.iter().zip(self.before.iter().map(Option::as_ref))
    }

    /// Whether anybody may do less after it than before.
    ///
    /// Says yes where it is not sure: a revocation that is waited for in vain costs a moment, one that is not
    /// waited for is a lie.
    #[must_use]
    pub fn narrows(&self) -> bool {
        self.changes_with_before().any(|(change, before)| match (change, before) {
            (Change::Delete(_), _) => true,
            (Change::Put(_), None) => false,
            (Change::Put(after), Some(before)) => record_narrows(before, after),
        })
    }
}

fn record_narrows(before: &Record, after: &Record) -> bool {
    match (before, after) {
        (Record::Key(before), Record::Key(after)) => {
            let never = Timestamp::from_micros(i64::MAX);
            before.generation != after.generation
                || after.expires_at.unwrap_or(never) < before.expires_at.unwrap_or(never)
                || before.grants.iter().any(|grant| !after.grants.contains(grant))
        }
        // What stands elsewhere is reached by other grants.
        (Record::Location(before), Record::Location(after)) => {
            before.parent != after.parent
                || before.shared_with.iter().any(|with| !after.shared_with.contains(with))
                || before.secrets.iter().any(|secret| !after.secrets.contains(secret))
        }
        (Record::Machine(before), Record::Machine(after)) => before.location != after.location,
        (Record::Part(before), Record::Part(after)) => {
            before.machine != after.machine
                || before.secrets.iter().any(|secret| !after.secrets.contains(secret))
        }
        (Record::Organization(_), Record::Organization(_)) => false,
        (Record::User(before), Record::User(after)) => user_narrows(before, after),
        (Record::Invitation(before), Record::Invitation(after)) => {
            before.token != after.token || before.grants.iter().any(|grant| !after.grants.contains(grant))
        }
        (Record::Module(before), Record::Module(after)) => {
            !before.visibility.is_private() && after.visibility.is_private()
        }
        (Record::SigningKey(before), Record::SigningKey(after)) => {
            before.sealed != after.sealed || before.purpose != after.purpose
        }
        _ => true,
    }
}

fn user_narrows(before: &User, after: &User) -> bool {
    let lost = |membership: &Membership| {
        let kept = after.membership(membership.organization);
        let kept = |grant| kept.is_some_and(|kept| kept.grants.contains(grant));
        !membership.grants.iter().all(kept)
    };
    before.generation != after.generation
        || (before.can_sign_in && !after.can_sign_in)
        || before.memberships.iter().any(lost)
}

/// An entry as it was read back from the journal. It can be looked at and applied again, never written.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub(crate) at: Timestamp,
    pub(crate) changes: Vec<Change>,
}

impl Recorded {
    /// When it was decided.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// What it changed.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
}
