//! Who may what: the questions clients ask about access itself.

use crate::authorize::{holds, visible};
use crate::id::{KeyId, OrganizationId};
use crate::policy::Permission;
use crate::record::Kind;
use crate::refusal::Refusal;
use crate::resource::{Grant, Resource};
use crate::verify::Principal;
use crate::view::View;

/// Which of these permissions the caller holds on a resource, in the order they were asked for.
///
/// A name nobody knows and a resource that is not there are answered like a permission that is not held.
pub fn check_permissions<'n, V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    resource: Resource,
    names: impl Iterator<Item = &'n str>,
) -> Vec<&'n str> {
    let held = |name: &&str| {
        Permission::by_name(name).is_some_and(|permission| holds(view, principal, permission, resource))
    };
    names.filter(held).collect()
}

/// A role that a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleHeld {
    /// Who holds it.
    pub key: KeyId,
    /// What is held.
    pub grant: Grant,
}

/// The roles held in an organization, at resources the caller may read roles on: all of them, or those on the
/// resources that are named.
///
/// Which keys there are is shown to those who may manage them; operators see the roles of people only.
///
/// # Errors
/// Where the caller does not even see the organization, or one of the named resources.
pub fn list_roles<V: View + ?Sized>(
    view: &V,
    principal: &Principal<'_>,
    organization: OrganizationId,
    named: &[Resource],
) -> Result<Vec<RoleHeld>, Refusal> {
    if !visible(view, principal, Resource::Organization(organization)) {
        return Err(Refusal::NotFound(Kind::Organization));
    }
    if let Some(unseen) = named.iter().find(|resource| !visible(view, principal, **resource)) {
        return Err(Refusal::NotFound(crate::record::RecordId::from(*unseen).kind()));
    }
    let shown = |held: &RoleHeld| named.is_empty() || named.contains(&held.grant.resource);
    let keys = match super::keys::list_keys(view, principal, organization) {
        Ok(keys) => keys,
        // An operator: sees the roles of people, of whom there are none yet.
        Err(Refusal::PermissionDenied { .. }) => return Ok(Vec::new()),
        Err(refusal) => return Err(refusal),
    };
    let roles = keys.into_iter().flat_map(|listed| {
        let key = listed.key.id;
        listed.grants.into_iter().map(move |grant| RoleHeld { key, grant })
    });
    Ok(roles.filter(shown).collect())
}
