//! The changes. One file a subject, one type a change, one order inside: the type, its reply, its `decide`.
//!
//! To add one: write the type, authorize with the permission that says literally what it does, validate what
//! parsing could not, and return the changed records whole. The test that every RPC is refused to strangers
//! will ask for the rest.

mod grants;
mod key;
mod location;
mod machine;
mod metadata;
mod module;
mod organization;
mod part;
mod role;
mod secret;
mod share;
mod system;

pub use grants::MAX_GRANTS;
pub use key::{CreateKey, DeleteKey, DuplicateKey, NewKey, RenameKey, RotateKey, SetKeyExpiry};
pub use location::{CreateLocation, DeleteLocation, NewParent, UpdateLocation};
pub use machine::{CreateMachine, DeleteMachine, UpdateMachine};
pub use metadata::SetMetadata;
pub use module::{CreateModule, UpdateModule, UploadModule, may_upload};
pub(crate) use organization::check_namespace;
pub use organization::{CreateOrganization, DeleteOrganization, UpdateOrganization};
pub use part::{AskForRestart, CreatePart, DeletePart, MAX_PARTS, MarkAsMain, UpdatePart};
pub use role::{AddRole, ChangeRole, RemoveRole};
pub use secret::{
    CreateLocationSecret, CreatePartSecret, DeleteLocationSecret, DeletePartSecret, MAX_SECRETS, NewSecret,
};
pub use share::{MAX_SHARES, ShareLocation, UnshareLocation};
pub use system::{
    FoundFleet, FoundOrganization, NewFleet, RecoverOwner, ReplaceSigningKey, ResealSigningKeys,
    RetireSigningKeys,
};

use rand_core::CryptoRng;

use crate::authorize::{self, Permit};
use crate::document::DocumentChange;
use crate::entry::Entry;
use crate::id::{KeyId, OrganizationId};
use crate::policy::Permission;
use crate::record::{Change, Record};
use crate::refusal::Refusal;
use crate::resource::Resource;
use crate::time::Timestamp;
use crate::verify::Principal;
use crate::view::View;

/// A change somebody asks for.
pub trait Command: Send + 'static {
    /// What the caller is told when it is done.
    type Reply: Send + 'static;

    /// Decides, on the state the change is made to.
    ///
    /// # Errors
    /// The refusal; then nothing changes.
    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Self::Reply>, Refusal>;
}

/// Everything a decision depends on besides the command itself.
pub struct Context<'a> {
    /// The fleet as this turn sees it.
    pub view: &'a dyn View,
    /// Who asks.
    pub principal: Principal<'a>,
    /// The time of the decision; never earlier than any decision before.
    pub now: Timestamp,
    /// Through what it was asked: the path of an RPC, or a command at the server.
    pub via: &'static str,
    /// Randomness for ids and key values.
    pub rng: &'a mut dyn CryptoRng,
}

impl Context<'_> {
    fn authorize(&self, permission: Permission, resource: Resource) -> Result<Permit, Refusal> {
        authorize::authorize(self.view, &self.principal, permission, resource)
    }

    /// By what is held in one organization alone; see [`authorize::authorize_for`].
    fn authorize_in(
        &self,
        organization: OrganizationId,
        permission: Permission,
        resource: Resource,
    ) -> Result<Permit, Refusal> {
        authorize::authorize_for(self.view, &self.principal, permission, resource, Some(organization))
    }

    fn authorize_key(&self, permission: Permission, key: KeyId) -> Result<Permit, Refusal> {
        authorize::authorize_key(self.view, &self.principal, permission, self.view.key(key))
    }

    fn decision<R>(&self, permit: Permit, changes: Vec<Change>, reply: R) -> Decision<R> {
        Decision { entry: Some(Entry::new(self.view, permit, self.now, self.via, changes)), reply }
    }
}

/// What was decided.
#[derive(Debug)]
#[must_use]
pub struct Decision<R> {
    /// What to write; nothing where everything is already as it was asked to be.
    pub entry: Option<Entry>,
    /// What to tell the caller once it is written.
    pub reply: R,
}

impl<R> Decision<R> {
    /// The same decision, with what becomes of documents.
    fn with_documents(mut self, documents: Vec<DocumentChange>) -> Self {
        self.entry = self.entry.map(|entry| entry.with_documents(documents));
        self
    }

    /// Nothing to do. The permit shows that it would have been allowed.
    fn unchanged(_permit: Permit, reply: R) -> Self {
        Self { entry: None, reply }
    }
}

fn put(record: impl Into<Record>) -> Change {
    Change::Put(record.into())
}

macro_rules! into_record {
    ($($name:ident)*) => {$(
        impl From<crate::record::$name> for Record {
            fn from(it: crate::record::$name) -> Self {
                Self::$name(it)
            }
        }
    )*};
}

into_record!(Organization Location Machine Part Key SigningKey User Invitation Module);
