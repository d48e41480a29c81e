//! The fleet, the keys and the policy: what is true, and what may become true.
//!
//! Everything here is a pure function over values. There is no I/O, no async, no clock and no source of
//! randomness of its own: time and randomness are arguments, so that a test can hold the exact id, the exact
//! key value and the exact entry in its hand.
//!
//! Read in this order:
//!
//! 1. [`policy`]: the one table that says which role may do what.
//! 2. [`State`] and [`View`]: everything a decision needs, resident in memory, with a [`Draft`] to lay over it.
//! 3. [`verify`] and [`authorize`]: who is calling, and may they? The answer is a [`Permit`], not a boolean.
//! 4. [`command`]: the changes. Each is one type with one `decide`; what it returns is an [`Entry`], and an
//!    entry can only be made from a permit.
//! 5. [`query`]: the reads, under the same rule; [`audit`]: what was changed, and who sees what of it.
//!
//! What this crate will never know: a database, a socket, a protobuf message.

mod address;
pub mod audit;
mod authorize;
mod checksum;
pub mod command;
mod configuration;
mod document;
mod draft;
mod email;
mod entry;
mod id;
mod key;
mod metadata;
mod module;
mod name;
pub mod policy;
mod positions;
mod presence;
pub mod query;
mod record;
mod refusal;
mod resource;
mod state;
mod stored;
mod table;
mod time;
mod verify;
mod view;

pub use address::{Domain, InvalidDomain, Label};
pub use authorize::{Allowance, Basis, Permit, authorize, authorize_key, counts, held_in, holds, visible};
pub use checksum::Checksum;
pub use command::{Command, Context, Decision};
pub use configuration::{
    Configuration, InvalidConfiguration, KEPT_REVISIONS, MAX_CONFIGURATION_BYTES, MAX_DEPTH, Revision,
};
pub use document::{DocumentChange, DocumentKind};
pub use draft::{Draft, Overlay};
pub use email::{Email, EmailHash, InvalidEmail};
pub use entry::{Entry, Recorded};
pub use id::{
    FileId, InvalidId, InvitationId, KeyId, LocationId, MachineId, ModuleId, OrganizationId, PartId,
    SecretId, SigningKeyId, UserId,
};
pub use key::{KeyHash, KeyValue, MalformedKey};
pub use metadata::{MAX_METADATA_BYTES, Metadata, MetadataSubject};
pub use module::{
    InvalidModuleName, InvalidModuleRef, InvalidPlatform, MAX_APPS, MAX_MODELS, MAX_PLATFORMS, MAX_TAG,
    MAX_TAGS, MAX_TEXTS, MAX_VERSION, MAX_VERSIONS, Module, ModuleApp, ModuleFile, ModuleModel, ModuleName,
    ModuleRef, ModuleTexts, ModuleVersion, Platform, TextsId, Version, Visibility, file_name,
};
pub use name::{InvalidName, Name};
pub use policy::Permission;
pub use presence::{OnlineState, Presence};
pub use record::{
    Actor, Change, Grants, Invitation, Key, Kind, Location, Machine, Membership, Organization, Part, Record,
    RecordId, Secret, SigningKey, User,
};
pub use refusal::{Denial, Refusal};
pub use resource::{Grant, Resource, ResourceType, Role};
pub use state::State;
pub use stored::{StoredError, decode_record, encode_record};
pub use time::Timestamp;
pub use verify::{Caller, Holding, Principal, present, verify, verify_part};
pub use view::{Lineage, MAX_LOCATION_DEPTH, View};
