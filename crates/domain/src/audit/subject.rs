//! What an entry concerns, so that it can be found by it.

use std::collections::BTreeSet;
use std::fmt;

use crate::entry::Entry;
use crate::record::{Actor, Change, RecordId};
use crate::resource::Resource;
use crate::view::{Lineage, View};

/// Something by which entries are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Something changed, or was allowed, at or below this resource.
    Within(Resource),
    /// This record changed.
    Changed(RecordId),
    /// This one did it.
    By(Actor),
}

impl fmt::Display for Subject {
    /// `machine:0198c5a4-…`, `changed key:0198c5a4-…`, `by key:0198c5a4-…`: as the index keeps it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within(resource) => write!(f, "{}:{}", resource.resource_type(), resource.id_text()),
            Self::Changed(id) => write!(f, "changed {}:{}", id.kind().name(), id.id_text()),
            Self::By(Actor::Key(id)) => write!(f, "by key:{id}"),
            Self::By(Actor::System) => write!(f, "by system"),
        }
    }
}

/// All that an entry concerns.
pub type Subjects = BTreeSet<Subject>;

/// What an entry itself says about whom and what it concerns. Where that stands is asked of the fleet, once as it
/// was before the entry and once as it is after it: what is deleted stood somewhere, what is made will.
#[derive(Clone, Debug, Default)]
pub struct About {
    pub(super) actor: Option<Actor>,
    pub(super) allowed: Vec<Resource>,
    pub(super) changed: Vec<RecordId>,
}

impl About {
    /// What a decided entry is about.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        Self {
            actor: Some(entry.actor()),
            allowed: entry.allowances().iter().filter_map(|allowance| allowance.resource).collect(),
            changed: entry.changes().iter().map(Change::id).collect(),
        }
    }

    /// Who did it, and the records that changed.
    #[must_use]
    pub fn subjects(&self) -> Subjects {
        let changed = self.changed.iter().copied().map(Subject::Changed);
        changed.chain(self.actor.map(Subject::By)).collect()
    }

    /// Where all of it stands in this view, up to the organization.
    pub fn place<V: View + ?Sized>(&self, view: &V, into: &mut Subjects) {
        let changed = self.changed.iter().flat_map(|id| places(view, *id));
        for resource in changed.chain(self.allowed.iter().copied()) {
            if let Some(lineage) = Lineage::of(view, resource) {
                into.extend(lineage.iter().map(Subject::Within));
            }
        }
    }
}

/// The resources that a record stands at: itself, what it is a part of, or what it has grants on.
pub(super) fn places<V: View + ?Sized>(view: &V, id: RecordId) -> Vec<Resource> {
    match id {
        RecordId::Organization(id) => vec![Resource::Organization(id)],
        RecordId::Location(id) => vec![Resource::Location(id)],
        RecordId::Machine(id) => vec![Resource::Machine(id)],
        RecordId::Part(id) => view.part(id).map(|part| Resource::Machine(part.machine)).into_iter().collect(),
        RecordId::Key(id) => view.key(id).map_or_else(Vec::new, |key| {
            let granted = key.grants.iter().map(|grant| grant.resource);
            granted.chain([Resource::Organization(key.organization)]).collect()
        }),
        RecordId::SigningKey(_) => Vec::new(),
    }
}
