//! Secrets of parts and locations: create, delete. Owners may read them again, because machines are set up with
//! them; so the value is a sealed document, and the record holds what a check needs.

use super::{Command, Context, Decision, part, put};
use crate::document::{DocumentChange, DocumentKind};
use crate::id::{LocationId, PartId, SecretId};
use crate::key::KeyHash;
use crate::policy::Permission;
use crate::record::{Kind, Location, Part, Secret};
use crate::refusal::Refusal;
use crate::resource::Resource;
use crate::time::Timestamp;
use crate::view::View;

/// The most secrets a part or a location has at a time. Two are enough to replace one without an interruption; the
/// rest is for machines that could not be reached in between.
pub const MAX_SECRETS: usize = 10;

/// A secret that is made and sealed, and not yet anybody's. Whoever seals is not in here.
#[derive(Clone)]
pub struct NewSecret {
    /// Its id.
    pub id: SecretId,
    /// SHA-256 of its value.
    pub hash: KeyHash,
    /// Its value, sealed.
    pub sealed: Vec<u8>,
}

impl NewSecret {
    pub(super) fn record(&self, now: Timestamp) -> Secret {
        Secret { id: self.id, hash: self.hash, created_at: now }
    }

    pub(super) fn document(self) -> DocumentChange {
        DocumentChange::put(DocumentKind::Secret, &self.id, self.sealed)
    }
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Give a part another secret, beside those it has.
#[derive(Clone, Debug)]
pub struct CreatePartSecret {
    /// Which part.
    pub part: PartId,
    /// The secret.
    pub secret: NewSecret,
}

impl Command for CreatePartSecret {
    type Reply = Part;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Part>, Refusal> {
        let (permit, before) = part::authorized(context, self.part, Permission::WriteRobot)?;
        // The answer tells the values.
        let (reads, _) = part::authorized(context, self.part, Permission::ReadRobotSecret)?;
        let mut after = before.clone();
        after.secrets.push(self.secret.record(context.now));
        check_room(&after.secrets, "part")?;
        let decision = context.decision(permit.and(reads), vec![put(after.clone())], after);
        Ok(decision.with_documents(vec![self.secret.document()]))
    }
}

/// End a secret of a part. Whoever authenticated with it is nobody from then on.
#[derive(Clone, Copy, Debug)]
pub struct DeletePartSecret {
    /// Which part.
    pub part: PartId,
    /// Which secret.
    pub secret: SecretId,
}

impl Command for DeletePartSecret {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let (permit, before) = part::authorized(context, self.part, Permission::WriteRobot)?;
        let mut after = before.clone();
        let gone = take(&mut after.secrets, self.secret)?;
        if after.secrets.is_empty() {
            return Err(Refusal::FailedPrecondition(format!(
                "secret {} is the last one of part {}: create another first",
                self.secret, self.part
            )));
        }
        Ok(context.decision(permit, vec![put(after)], ()).with_documents(vec![gone]))
    }
}

/// Give a location another secret, beside those it has. It begins with none.
#[derive(Clone, Debug)]
pub struct CreateLocationSecret {
    /// Which location.
    pub location: LocationId,
    /// The secret.
    pub secret: NewSecret,
}

impl Command for CreateLocationSecret {
    type Reply = Location;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Location>, Refusal> {
        let place = Resource::Location(self.location);
        let permit = context.authorize(Permission::WriteLocation, place)?;
        let permit = permit.and(context.authorize(Permission::ReadLocationSecret, place)?);
        let mut after = location(context.view, self.location)?.clone();
        after.secrets.push(self.secret.record(context.now));
        check_room(&after.secrets, "location")?;
        let decision = context.decision(permit, vec![put(after.clone())], after);
        Ok(decision.with_documents(vec![self.secret.document()]))
    }
}

/// End a secret of a location. Also the last one: its parts have their own.
#[derive(Clone, Copy, Debug)]
pub struct DeleteLocationSecret {
    /// Which location.
    pub location: LocationId,
    /// Which secret.
    pub secret: SecretId,
}

impl Command for DeleteLocationSecret {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let permit = context.authorize(Permission::WriteLocation, Resource::Location(self.location))?;
        let mut after = location(context.view, self.location)?.clone();
        let gone = take(&mut after.secrets, self.secret)?;
        Ok(context.decision(permit, vec![put(after)], ()).with_documents(vec![gone]))
    }
}

fn location(view: &dyn View, id: LocationId) -> Result<&Location, Refusal> {
    view.location(id).ok_or(Refusal::NotFound(Kind::Location))
}

fn check_room(secrets: &[Secret], of: &str) -> Result<(), Refusal> {
    if secrets.len() > MAX_SECRETS {
        let text = format!("a {of} has at most {MAX_SECRETS} secrets: delete one first");
        return Err(Refusal::FailedPrecondition(text));
    }
    Ok(())
}

fn take(secrets: &mut Vec<Secret>, id: SecretId) -> Result<DocumentChange, Refusal> {
    let before = secrets.len();
    secrets.retain(|secret| secret.id != id);
    if secrets.len() == before {
        return Err(Refusal::invalid("secret_id", "must be the id of one of its secrets"));
    }
    Ok(DocumentChange::delete(DocumentKind::Secret, &id))
}
