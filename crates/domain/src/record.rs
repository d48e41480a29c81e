//! What is remembered: the records, their ids, and how a record changes.

use std::ops::Deref;

use smallvec::SmallVec;

use crate::address::Label;
use crate::email::EmailHash;
use crate::id::{
    InvitationId, KeyId, LocationId, MachineId, ModuleId, OrganizationId, PartId, SecretId, SigningKeyId,
    UserId,
};
use crate::key::KeyHash;
pub(crate) use crate::module::Module;
use crate::name::Name;
use crate::resource::{Grant, Resource, Role};
use crate::table::Keyed;
use crate::time::Timestamp;

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// The holder of an API key.
    Key(KeyId),
    /// A person who signed in.
    User(UserId),
    /// A part of a machine, by its secret.
    Part(PartId),
    /// The person at the server itself: `quickstart`, `init`, `recover`, and the authority's own upkeep.
    System,
}

/// An organization: the root of a hierarchy, and the border no grant crosses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name.
    pub name: Name,
    /// When it was made.
    pub created_at: Timestamp,
    /// The name under which it publishes modules, unique in the authority.
    pub public_namespace: Option<Name>,
    /// Where its data would be kept; free text that clients show.
    pub default_region: Option<Name>,
    /// The customer number some clients keep here; free text.
    pub cid: Option<Name>,
}

/// A location: holds machines and further locations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Its id.
    pub id: LocationId,
    /// The organization it belongs to, for ever.
    pub organization: OrganizationId,
    /// The location it is nested in, if any.
    pub parent: Option<LocationId>,
    /// Its name.
    pub name: Name,
    /// Where its data would be kept; free text that clients show.
    pub region: Option<Name>,
    /// The organizations it is shared with, besides its own; sorted.
    pub shared_with: Vec<OrganizationId>,
    /// The secrets by which the parts in it are known, the oldest first.
    pub secrets: Vec<Secret>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A machine (`robot` on Viam's wire).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its id.
    pub id: MachineId,
    /// Where it stands.
    pub location: LocationId,
    /// Its name.
    pub name: Name,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A part of a machine: one computer of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its id.
    pub id: PartId,
    /// The machine it is a part of.
    pub machine: MachineId,
    /// Its name.
    pub name: Name,
    /// Whether it is the one that others of the machine connect to.
    pub main: bool,
    /// The first label of its address; no other part has it.
    pub label: Label,
    /// The secrets by which it is known, the oldest first. There is always one.
    pub secrets: Vec<Secret>,
    /// How often it was configured. Each revision is a document; the newest [`KEPT_REVISIONS`] are there.
    ///
    /// [`KEPT_REVISIONS`]: crate::KEPT_REVISIONS
    pub revision: u32,
    /// When it was last configured, in whole milliseconds; never if absent.
    pub configured_at: Option<Timestamp>,
    /// When somebody last asked that it starts anew.
    pub restart_asked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Part {
    /// When its configuration last changed: when it was made, if it never had one.
    #[must_use]
    pub fn last_updated(&self) -> Timestamp {
        self.configured_at.unwrap_or(self.created_at)
    }
}

/// A secret of a part or of a location. Its value is a sealed document with the same id, because the protocol lets
/// owners read it again; a check needs only the hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its id.
    pub id: SecretId,
    /// SHA-256 of its value.
    pub hash: KeyHash,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What somebody holds in one organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The organization.
    pub organization: OrganizationId,
    /// At least one; at most one on a resource; sorted.
    pub grants: Grants,
    /// Since when.
    pub since: Timestamp,
}

/// A person. Who they are stands in a sealed document with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// By which they are found.
    pub email: EmailHash,
    /// What they are members of, sorted by organization.
    pub memberships: Vec<Membership>,
    /// 1 at first, one more whenever all that they signed in to is to end. A token carries it and dies with it.
    pub generation: u32,
    /// Whether they have a password.
    pub can_sign_in: bool,
    /// When they were first known.
    pub created_at: Timestamp,
}

impl User {
    /// What they hold in an organization, if anything.
    #[must_use]
    pub fn membership(&self, organization: OrganizationId) -> Option<&Membership> {
        self.memberships.iter().find(|membership| membership.organization == organization)
    }

    /// Whether they keep an organization reachable: its owner, who can sign in.
    #[must_use]
    pub fn is_lasting_owner_of(&self, organization: OrganizationId) -> bool {
        let owner = Grant { role: Role::Owner, resource: Resource::Organization(organization) };
        self.can_sign_in
            && self.membership(organization).is_some_and(|membership| membership.grants.contains(&owner))
    }
}

/// An invitation to become a member. The address it goes to stands in a sealed document with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Into which organization.
    pub organization: OrganizationId,
    /// Whom it is for.
    pub email: EmailHash,
    /// What they will hold; at least one, at most one on a resource; sorted.
    pub grants: Grants,
    /// SHA-256 of the value in the link; the link works once.
    pub token: KeyHash,
    /// Who invited.
    pub creator: Actor,
    /// When it was made or sent again.
    pub created_at: Timestamp,
    /// From when on the link does not work any more.
    pub expires_at: Timestamp,
}

/// The grants of a key. Nearly every key holds one, which lies in the key itself and costs no second trip to
/// memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(SmallVec<[Grant; 1]>);

impl Deref for Grants {
    type Target = [Grant];

    #[inline]
    fn deref(&self) -> &[Grant] {
        &self.0
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

impl From<Vec<Grant>> for Grants {
    fn from(grants: Vec<Grant>) -> Self {
        grants.into_iter().collect()
    }
}

impl<const N: usize> From<[Grant; N]> for Grants {
    fn from(grants: [Grant; N]) -> Self {
        grants.into_iter().collect()
    }
}

/// An API key: what it may do, and the hash of its value.
///
/// What a check needs stands first and stays first: at a million keys it is the distance between two lines of
/// memory that a check pays for.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Key {
    /// Its id, which never changes.
    pub id: KeyId,
    /// SHA-256 of the value it has now.
    pub hash: KeyHash,
    /// From when on it is refused; never if absent.
    pub expires_at: Option<Timestamp>,
    /// At least one; at most one on a resource; sorted.
    pub grants: Grants,
    /// 1 when it is made, one more with each rotation. A token carries it and dies with it.
    pub generation: u32,
    /// The organization all its grants lie in.
    pub organization: OrganizationId,
    /// Who made it.
    pub creator: Actor,
    /// When it was made; a rotation does not change it.
    pub created_at: Timestamp,
    /// Its name.
    pub name: Name,
}

impl Key {
    /// Whether the key is past its expiry.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Whether the key can be the one that keeps an organization reachable: its owner, and for good.
    #[must_use]
    pub fn is_lasting_owner(&self) -> bool {
        let owner = Grant { role: Role::Owner, resource: Resource::Organization(self.organization) };
        self.expires_at.is_none() && self.grants.contains(&owner)
    }
}

/// A key the authority itself signs with, sealed under the master key, which is not in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// Its id; a token names it.
    pub id: SigningKeyId,
    /// What it is for, e.g. `token-mac`.
    pub purpose: String,
    /// The sealed bytes, in base64.
    pub sealed: String,
    /// When it was made. The newest of a purpose that has been known for a while signs; all that are there verify.
    pub created_at: Timestamp,
}

/// Any record.
#[derive(Clone, Debug)]
pub enum Record {
    /// An organization.
    Organization(Organization),
    /// A location.
    Location(Location),
    /// A machine.
    Machine(Machine),
    /// A part of a machine.
    Part(Part),
    /// An API key.
    Key(Key),
    /// A key of the authority's own.
    SigningKey(SigningKey),
    /// A person.
    User(User),
    /// An invitation.
    Invitation(Invitation),
    /// A module.
    Module(Module),
}

impl Record {
    /// The record's id.
    #[must_use]
    pub fn id(&self) -> RecordId {
        match self {
            Self::Organization(it) => RecordId::Organization(it.id),
            Self::Location(it) => RecordId::Location(it.id),
            Self::Machine(it) => RecordId::Machine(it.id),
            Self::Part(it) => RecordId::Part(it.id),
            Self::Key(it) => RecordId::Key(it.id),
            Self::SigningKey(it) => RecordId::SigningKey(it.id),
            Self::User(it) => RecordId::User(it.id),
            Self::Invitation(it) => RecordId::Invitation(it.id),
            Self::Module(it) => RecordId::Module(it.id),
        }
    }

    /// The record that this one is listed under, if any.
    pub(crate) fn parent(&self) -> Option<RecordId> {
        match self {
            Self::Organization(_) | Self::SigningKey(_) | Self::User(_) => None,
            Self::Location(it) => {
                Some(it.parent.map_or(RecordId::Organization(it.organization), RecordId::Location))
            }
            Self::Machine(it) => Some(RecordId::Location(it.location)),
            Self::Part(it) => Some(RecordId::Machine(it.machine)),
            Self::Key(it) => Some(RecordId::Organization(it.organization)),
            Self::Invitation(it) => Some(RecordId::Organization(it.organization)),
            Self::Module(it) => Some(RecordId::Organization(it.organization)),
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident($id:ty) = $word:literal,)*) => {
        /// What sort of record an id names. The order is the order in which a start has to read them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word under which it is stored.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        /// The id of any record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RecordId {
            $($(#[$doc])* $variant($id),)*
        }

        impl RecordId {
            /// What sort of record it names.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant),* }
            }

            /// The id alone, as text.
            #[must_use]
            pub fn id_text(self) -> String {
                match self { $(Self::$variant(id) => id.to_string()),* }
            }
        }
    };
}

kinds! {
    /// An organization.
    Organization(OrganizationId) = "organization",
    /// A location.
    Location(LocationId) = "location",
    /// A machine.
    Machine(MachineId) = "machine",
    /// A part of a machine.
    Part(PartId) = "part",
    /// An API key.
    Key(KeyId) = "key",
    /// A key of the authority's own.
    SigningKey(SigningKeyId) = "signing_key",
    /// A person.
    User(UserId) = "user",
    /// An invitation to become a member.
    Invitation(InvitationId) = "invitation",
    /// A module, software for machines.
    Module(ModuleId) = "module",
}

impl From<Resource> for RecordId {
    fn from(resource: Resource) -> Self {
        match resource {
            Resource::Organization(id) => Self::Organization(id),
            Resource::Location(id) => Self::Location(id),
            Resource::Machine(id) => Self::Machine(id),
        }
    }
}

/// A whole record put in the place of the one with its id, or a record gone.
#[derive(Clone, Debug)]
pub enum Change {
    /// The record as it is from now on.
    Put(Record),
    /// The record is no more.
    Delete(RecordId),
}

impl Change {
    /// The id of the record that changes.
    #[must_use]
    pub fn id(&self) -> RecordId {
        match self {
            Self::Put(record) => record.id(),
            Self::Delete(id) => *id,
        }
    }
}

macro_rules! keyed {
    ($($record:ident($id:ty))*) => {$(
        impl Keyed for $record {
            type Id = $id;

            #[inline]
            fn id(&self) -> $id {
                self.id
            }
        }
    )*};
}

keyed! {
    Organization(OrganizationId)
    Location(LocationId)
    Machine(MachineId)
    Part(PartId)
    Key(KeyId)
    SigningKey(SigningKeyId)
    User(UserId)
    Invitation(InvitationId)
    Module(ModuleId)
}
