//! Metadata: written whole, by owners of what it is about.

use super::{Command, Context, Decision, part};
use crate::metadata::{Metadata, MetadataSubject};
use crate::policy::Permission;
use crate::refusal::Refusal;

/// Put this in the place of whatever is noted down about something.
#[derive(Clone, Debug)]
pub struct SetMetadata {
    /// About what.
    pub subject: MetadataSubject,
    /// What to note down; an empty object takes all away.
    pub metadata: Metadata,
}

impl Command for SetMetadata {
    type Reply = ();

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<()>, Refusal> {
        let permission = Permission::WriteMetadata;
        let permit = match self.subject {
            MetadataSubject::Resource(resource) => context.authorize(permission, resource)?,
            MetadataSubject::Part(id) => part::authorized(context, id, permission)?.0,
        };
        let unwritable = |_| Refusal::invalid("data", "must be something that can be kept as JSON");
        let document = self.metadata.document(self.subject).map_err(unwritable)?;
        Ok(context.decision(permit, vec![], ()).with_documents(vec![document]))
    }
}
