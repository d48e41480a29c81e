//! How records and entries are written down: JSON with a version, so that a person can look with plain SQL.
//!
//! These are types of their own beside the records: a record can be laid out for look-ups, its stored form for
//! reading, and each can change without the other. A form that was once released is read for ever.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::address::Label;
use crate::authorize::Basis;
use crate::checksum::Checksum;
use crate::document::DocumentChange;
use crate::email::EmailHash;
use crate::entry::{Entry, Recorded};
use crate::id::{
    FileId, InvitationId, KeyId, LocationId, MachineId, ModuleId, OrganizationId, PartId, SecretId,
    SigningKeyId, UserId,
};
use crate::key::{KeyHash, hex};
use crate::module::{Module, ModuleFile, ModuleName, ModuleVersion, Platform, TextsId, Version, Visibility};
use crate::name::Name;
use crate::record::{
    Actor, Change, Invitation, Key, Kind, Location, Machine, Membership, Organization, Part, Record,
    RecordId, Secret, SigningKey, User,
};
use crate::resource::{Grant, Resource};
use crate::time::Timestamp;

/// The version that is written now.
pub(crate) const VERSION: u32 = 1;

/// A stored text cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// Not the JSON it should be.
    #[error("the stored {what} {id} cannot be read")]
    Malformed {
        /// Record or entry.
        what: String,
        /// Which one.
        id: String,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// Written by a newer release.
    #[error(
        "the stored {what} {id} has version {version}, this release reads up to {VERSION}: use a newer release"
    )]
    Newer {
        /// Record or entry.
        what: String,
        /// Which one.
        id: String,
        /// The version found.
        version: u32,
    },
    /// A record stands where another one should.
    #[error(
        "the record stored as {kind} {stored_as} says that it is {says}: the database was changed by hand"
    )]
    Misplaced {
        /// What kind of record.
        kind: String,
        /// The id it is stored under.
        stored_as: String,
        /// The id it says it has.
        says: String,
    },
    /// A kind of record nobody knows.
    #[error("there is no kind of record called {0}: written by a newer release?")]
    UnknownKind(String),
    /// Something could not be written as JSON.
    #[error("an entry cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct StoredOrganization {
    v: u32,
    id: OrganizationId,
    name: Name,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_namespace: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default_region: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cid: Option<Name>,
}

#[derive(Serialize, Deserialize)]
struct StoredLocation {
    v: u32,
    id: LocationId,
    organization_id: OrganizationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_id: Option<LocationId>,
    name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<Name>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shared_with: Vec<OrganizationId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<StoredSecret>,
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredSecret {
    id: SecretId,
    hash: KeyHash,
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredMachine {
    v: u32,
    id: MachineId,
    location_id: LocationId,
    name: Name,
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredPart {
    v: u32,
    id: PartId,
    machine_id: MachineId,
    name: Name,
    main: bool,
    label: Label,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<StoredSecret>,
    #[serde(default, skip_serializing_if = "is_zero")]
    revision: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    configured_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart_asked_at: Option<Timestamp>,
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    v: u32,
    id: KeyId,
    organization_id: OrganizationId,
    name: Name,
    hash: KeyHash,
    generation: u32,
    grants: Vec<Grant>,
    created_at: Timestamp,
    creator: StoredActor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct StoredSigningKey {
    v: u32,
    id: SigningKeyId,
    purpose: String,
    sealed: String,
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredUser {
    v: u32,
    id: UserId,
    email: EmailHash,
    memberships: Vec<StoredMembership>,
    generation: u32,
    can_sign_in: bool,
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredMembership {
    organization_id: OrganizationId,
    grants: Vec<Grant>,
    since: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredInvitation {
    v: u32,
    id: InvitationId,
    organization_id: OrganizationId,
    email: EmailHash,
    grants: Vec<Grant>,
    token: KeyHash,
    creator: StoredActor,
    created_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredModule {
    v: u32,
    id: ModuleId,
    organization_id: OrganizationId,
    name: ModuleName,
    visibility: Visibility,
    texts: TextsId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    versions: Vec<StoredVersion>,
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredVersion {
    number: Version,
    texts: TextsId,
    files: Vec<StoredFile>,
}

#[derive(Serialize, Deserialize)]
struct StoredFile {
    id: FileId,
    platform: Platform,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    size: u64,
    sha256: Checksum,
    crc32c: u32,
    uploaded_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StoredActor {
    Key(KeyId),
    User(UserId),
    Part(PartId),
    System,
}

#[derive(Serialize, Deserialize)]
struct StoredAllowance {
    permission: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<Resource>,
    /// Absent where the right was the system's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Grant>,
}

#[derive(Serialize, Deserialize)]
struct StoredChange {
    kind: String,
    id: String,
    /// The whole record; absent where it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Box<serde_json::value::RawValue>>,
    /// SHA-256 of the stored form it had before; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

/// The document itself is not here: it stands in a table of its own, from which it can be deleted.
#[derive(Serialize, Deserialize)]
struct StoredDocument {
    kind: String,
    id: String,
    /// SHA-256 of the document; absent where it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredEntry {
    v: u32,
    actor: StoredActor,
    via: String,
    allowed: Vec<StoredAllowance>,
    changes: Vec<StoredChange>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    documents: Vec<StoredDocument>,
}

impl From<Actor> for StoredActor {
    fn from(actor: Actor) -> Self {
        match actor {
            Actor::Key(id) => Self::Key(id),
            Actor::User(id) => Self::User(id),
            Actor::Part(id) => Self::Part(id),
            Actor::System => Self::System,
        }
    }
}

impl From<StoredActor> for Actor {
    fn from(actor: StoredActor) -> Self {
        match actor {
            StoredActor::Key(id) => Self::Key(id),
            StoredActor::User(id) => Self::User(id),
            StoredActor::Part(id) => Self::Part(id),
            StoredActor::System => Self::System,
        }
    }
}

/// A record as it is stored.
///
/// # Errors
/// Where it cannot be written as JSON, which no record we make can cause.
pub fn encode_record(record: &Record) -> Result<String, StoredError> {
    let v = VERSION;
    match record.clone() {
        Record::Organization(it) => {
            let Organization { id, name, created_at, public_namespace, default_region, cid } = it;
            json(&StoredOrganization { v, id, name, created_at, public_namespace, default_region, cid })
        }
        Record::Location(it) => {
            let Location { id, organization, parent, name, region, shared_with, secrets, created_at } = it;
            let (organization_id, parent_id, secrets) = (organization, parent, stored_secrets(secrets));
            json(&StoredLocation {
                v,
                id,
                organization_id,
                parent_id,
                name,
                region,
                shared_with,
                secrets,
                created_at,
            })
        }
        Record::Machine(it) => {
            let Machine { id, location, name, created_at } = it;
            json(&StoredMachine { v, id, location_id: location, name, created_at })
        }
        Record::Part(it) => json(&StoredPart {
            v,
            id: it.id,
            machine_id: it.machine,
            name: it.name,
            main: it.main,
            label: it.label,
            secrets: stored_secrets(it.secrets),
            revision: it.revision,
            configured_at: it.configured_at,
            restart_asked_at: it.restart_asked_at,
            created_at: it.created_at,
        }),
        Record::Key(it) => {
            let Key { id, organization, name, hash, generation, grants, created_at, creator, expires_at } =
                it;
            let (organization_id, grants, creator) = (organization, grants.to_vec(), creator.into());
            json(&StoredKey {
                v,
                id,
                organization_id,
                name,
                hash,
                generation,
                grants,
                created_at,
                creator,
                expires_at,
            })
        }
        Record::SigningKey(it) => {
            let SigningKey { id, purpose, sealed, created_at } = it;
            json(&StoredSigningKey { v, id, purpose, sealed, created_at })
        }
        Record::User(it) => {
            let User { id, email, memberships, generation, can_sign_in, created_at } = it;
            let memberships = memberships.into_iter().map(StoredMembership::from).collect();
            json(&StoredUser { v, id, email, memberships, generation, can_sign_in, created_at })
        }
        Record::Invitation(it) => {
            let Invitation { id, organization, email, grants, token, creator, created_at, expires_at } = it;
            json(&StoredInvitation {
                v,
                id,
                organization_id: organization,
                email,
                grants: grants.to_vec(),
                token,
                creator: creator.into(),
                created_at,
                expires_at,
            })
        }
        Record::Module(it) => {
            let Module { id, organization, name, visibility, texts, versions, created_at } = it;
            let (organization_id, versions) = (organization, versions.into_iter().map(Into::into).collect());
            json(&StoredModule { v, id, organization_id, name, visibility, texts, versions, created_at })
        }
    }
}

impl From<ModuleVersion> for StoredVersion {
    fn from(it: ModuleVersion) -> Self {
        let file = |ModuleFile { id, platform, tags, size, sha256, crc32c, uploaded_at }| StoredFile {
            id,
            platform,
            tags,
            size,
            sha256,
            crc32c,
            uploaded_at,
        };
        Self { number: it.number, texts: it.texts, files: it.files.into_iter().map(file).collect() }
    }
}

impl From<StoredVersion> for ModuleVersion {
    fn from(it: StoredVersion) -> Self {
        let file = |StoredFile { id, platform, tags, size, sha256, crc32c, uploaded_at }| ModuleFile {
            id,
            platform,
            tags,
            size,
            sha256,
            crc32c,
            uploaded_at,
        };
        Self { number: it.number, texts: it.texts, files: it.files.into_iter().map(file).collect() }
    }
}

impl From<Membership> for StoredMembership {
    fn from(it: Membership) -> Self {
        Self { organization_id: it.organization, grants: it.grants.to_vec(), since: it.since }
    }
}

impl From<StoredMembership> for Membership {
    fn from(it: StoredMembership) -> Self {
        Self { organization: it.organization_id, grants: it.grants.into(), since: it.since }
    }
}

fn stored_secrets(secrets: Vec<Secret>) -> Vec<StoredSecret> {
    let stored = |Secret { id, hash, created_at }| StoredSecret { id, hash, created_at };
    secrets.into_iter().map(stored).collect()
}

fn read_secrets(secrets: Vec<StoredSecret>) -> Vec<Secret> {
    let read = |StoredSecret { id, hash, created_at }| Secret { id, hash, created_at };
    secrets.into_iter().map(read).collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

pub(crate) fn json(value: &impl Serialize) -> Result<String, StoredError> {
    serde_json::to_string(value).map_err(StoredError::Unwritable)
}

/// A record from its stored form.
///
/// # Errors
/// Where the kind is unknown, the text is not what it should be, or a newer release wrote it.
pub fn decode_record(kind: &str, id: &str, value: &str) -> Result<Record, StoredError> {
    let known = Kind::ALL.iter().copied().find(|known| known.name() == kind);
    let known = known.ok_or_else(|| StoredError::UnknownKind(kind.to_owned()))?;
    let record = read_record(known, &Reader { what: kind, id, value })?;
    let says = record.id().id_text();
    if says == id {
        return Ok(record);
    }
    Err(StoredError::Misplaced { kind: kind.to_owned(), stored_as: id.to_owned(), says })
}

fn read_record(kind: Kind, reader: &Reader<'_>) -> Result<Record, StoredError> {
    Ok(match kind {
        Kind::Organization => {
            let StoredOrganization { v, id, name, created_at, public_namespace, default_region, cid } =
                reader.read()?;
            reader.version(v)?;
            Record::Organization(Organization { id, name, created_at, public_namespace, default_region, cid })
        }
        Kind::Location => {
            let it: StoredLocation = reader.read()?;
            reader.version(it.v)?;
            Record::Location(Location {
                id: it.id,
                organization: it.organization_id,
                parent: it.parent_id,
                name: it.name,
                region: it.region,
                shared_with: it.shared_with,
                secrets: read_secrets(it.secrets),
                created_at: it.created_at,
            })
        }
        Kind::Machine => {
            let StoredMachine { v, id, location_id, name, created_at } = reader.read()?;
            reader.version(v)?;
            Record::Machine(Machine { id, location: location_id, name, created_at })
        }
        Kind::Part => {
            let it: StoredPart = reader.read()?;
            reader.version(it.v)?;
            Record::Part(Part {
                id: it.id,
                machine: it.machine_id,
                name: it.name,
                main: it.main,
                label: it.label,
                secrets: read_secrets(it.secrets),
                revision: it.revision,
                configured_at: it.configured_at,
                restart_asked_at: it.restart_asked_at,
                created_at: it.created_at,
            })
        }
        Kind::Key => {
            let it: StoredKey = reader.read()?;
            let StoredKey {
                v,
                id,
                organization_id,
                name,
                hash,
                generation,
                grants,
                created_at,
                creator,
                expires_at,
            } = it;
            reader.version(v)?;
            let (organization, grants, creator) = (organization_id, grants.into(), creator.into());
            Record::Key(Key {
                id,
                organization,
                name,
                hash,
                generation,
                grants,
                created_at,
                creator,
                expires_at,
            })
        }
        Kind::SigningKey => {
            let StoredSigningKey { v, id, purpose, sealed, created_at } = reader.read()?;
            reader.version(v)?;
            Record::SigningKey(SigningKey { id, purpose, sealed, created_at })
        }
        Kind::User => {
            let StoredUser { v, id, email, memberships, generation, can_sign_in, created_at } =
                reader.read()?;
            reader.version(v)?;
            let memberships = memberships.into_iter().map(Membership::from).collect();
            Record::User(User { id, email, memberships, generation, can_sign_in, created_at })
        }
        Kind::Invitation => {
            let it: StoredInvitation = reader.read()?;
            reader.version(it.v)?;
            Record::Invitation(Invitation {
                id: it.id,
                organization: it.organization_id,
                email: it.email,
                grants: it.grants.into(),
                token: it.token,
                creator: it.creator.into(),
                created_at: it.created_at,
                expires_at: it.expires_at,
            })
        }
        Kind::Module => {
            let it: StoredModule = reader.read()?;
            reader.version(it.v)?;
            Record::Module(Module {
                id: it.id,
                organization: it.organization_id,
                name: it.name,
                visibility: it.visibility,
                texts: it.texts,
                versions: it.versions.into_iter().map(Into::into).collect(),
                created_at: it.created_at,
            })
        }
    })
}

pub(crate) struct Reader<'a> {
    pub(crate) what: &'a str,
    pub(crate) id: &'a str,
    pub(crate) value: &'a str,
}

impl Reader<'_> {
    pub(crate) fn read<'de, T: Deserialize<'de>>(&'de self) -> Result<T, StoredError> {
        serde_json::from_str(self.value).map_err(|source| match self.newer() {
            Some(version) => self.refuse(version),
            None => StoredError::Malformed { what: self.what.to_owned(), id: self.id.to_owned(), source },
        })
    }

    /// A newer form may lack fields we want: then the version is the better thing to say.
    fn newer(&self) -> Option<u32> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let found: Version = serde_json::from_str(self.value).ok()?;
        (found.v > VERSION).then_some(found.v)
    }

    pub(crate) fn version(&self, version: u32) -> Result<(), StoredError> {
        if version > VERSION { Err(self.refuse(version)) } else { Ok(()) }
    }

    fn refuse(&self, version: u32) -> StoredError {
        StoredError::Newer { what: self.what.to_owned(), id: self.id.to_owned(), version }
    }
}

impl Entry {
    /// The entry as it is stored, without its time and its place in the chain, which the journal keeps.
    ///
    /// # Errors
    /// Where it cannot be written as JSON, which no entry we make can cause.
    pub fn encode(&self) -> Result<String, StoredError> {
        let allowed = self.allowances().iter().map(|allowance| StoredAllowance {
            permission: allowance.permission.name().to_owned(),
            resource: allowance.resource,
            by: match allowance.basis {
                Basis::Grant(grant) => Some(grant),
                Basis::System => None,
            },
        });
        let changes = self.changes_with_before().map(|(change, before)| stored_change(change, before));
        json(&StoredEntry {
            v: VERSION,
            actor: self.actor().into(),
            via: self.via().to_owned(),
            allowed: allowed.collect(),
            changes: changes.collect::<Result<_, _>>()?,
            documents: self.documents().iter().map(stored_document).collect(),
        })
    }
}

fn stored_document(document: &DocumentChange) -> StoredDocument {
    StoredDocument { kind: document.kind.name().to_owned(), id: document.id.clone(), hash: document.hash() }
}

fn stored_change(change: &Change, before: Option<&Record>) -> Result<StoredChange, StoredError> {
    let id = change.id();
    let value = match change {
        Change::Put(record) => {
            let text = encode_record(record)?;
            Some(serde_json::value::RawValue::from_string(text).map_err(StoredError::Unwritable)?)
        }
        Change::Delete(_) => None,
    };
    let before = before.map(encode_record).transpose()?;
    let before = before.map(|text| hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref()));
    Ok(StoredChange { kind: id.kind().name().to_owned(), id: id.id_text(), value, before })
}

impl Recorded {
    /// An entry from its stored form and the time the journal keeps with it.
    ///
    /// # Errors
    /// As [`decode_record`].
    pub fn decode(seq: u64, at: Timestamp, body: &str) -> Result<Self, StoredError> {
        let seq = seq.to_string();
        let reader = Reader { what: "entry", id: &seq, value: body };
        let stored: StoredEntry = reader.read()?;
        reader.version(stored.v)?;
        let changes = stored.changes.into_iter().map(|change| match change.value {
            Some(value) => decode_record(&change.kind, &change.id, value.get()).map(Change::Put),
            None => decode_id(&change.kind, &change.id).map(Change::Delete),
        });
        Ok(Self { at, changes: changes.collect::<Result<_, _>>()? })
    }
}

pub(crate) fn decode_id(kind: &str, id: &str) -> Result<RecordId, StoredError> {
    let malformed = |error: crate::id::InvalidId| StoredError::Malformed {
        what: kind.to_owned(),
        id: id.to_owned(),
        source: serde::de::Error::custom(error),
    };
    let known = Kind::ALL.iter().copied().find(|known| known.name() == kind);
    Ok(match known.ok_or_else(|| StoredError::UnknownKind(kind.to_owned()))? {
        Kind::Organization => RecordId::Organization(id.parse().map_err(malformed)?),
        Kind::Location => RecordId::Location(id.parse().map_err(malformed)?),
        Kind::Machine => RecordId::Machine(id.parse().map_err(malformed)?),
        Kind::Part => RecordId::Part(id.parse().map_err(malformed)?),
        Kind::Key => RecordId::Key(id.parse().map_err(malformed)?),
        Kind::SigningKey => RecordId::SigningKey(id.parse().map_err(malformed)?),
        Kind::User => RecordId::User(id.parse().map_err(malformed)?),
        Kind::Invitation => RecordId::Invitation(id.parse().map_err(malformed)?),
        Kind::Module => RecordId::Module(id.parse().map_err(malformed)?),
    })
}
