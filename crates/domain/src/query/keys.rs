//! Keys, as far as the caller may manage them.

use std::collections::{BTreeMap, BTreeSet};

use crate::authorize::{authorize, authorize_key, counts, held_in, holds_for, stake};
use crate::id::{KeyId, MachineId, OrganizationId};
use crate::policy::Permission;
use crate::record::{Actor, Key, Kind, RecordId};
use crate::refusal::Refusal;
use crate::resource::{Grant, Resource};
use crate::time::Timestamp;
use crate::verify::Principal;
use crate::view::{Lineage, View};

/// A key with those of its grants that the caller may manage.
#[derive(Clone, Debug)]
pub struct ListedKey<'a> {
    /// The key.
    pub key: &'a Key,
    /// The grants inside what the caller owns; of their own key, all of them.
    pub grants: Vec<Grant>,
    manageable: bool,
}

impl ListedKey<'_> {
    /// Whether the caller may rotate, rename and delete the key: everything it reaches is theirs.
    #[must_use]
    pub const fn manageable(&self) -> bool {
        self.manageable
    }
}

/// The keys of an organization that reach into what the caller owns, the oldest first.
///
/// An owner of the organization gets all of them; others those with a grant at or below their own resources,
/// and of each only such grants. The walk covers what the caller owns, not the organization.
///
/// # Errors
/// Where the caller may manage keys nowhere in the organization.
pub fn list_keys<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    organization: OrganizationId,
) -> Result<Vec<ListedKey<'a>>, Refusal> {
    let top = Resource::Organization(organization);
    let roots = held_in(view, principal, Permission::ManageKeys, organization)?;
    if roots.contains(&top) {
        let all = view.keys_of(organization);
        return Ok(all.map(|key| ListedKey { key, grants: key.grants.to_vec(), manageable: true }).collect());
    }
    let mut ids = BTreeSet::new();
    for root in roots {
        holders_below(view, root, &mut ids);
    }
    // On a shared location there are keys of several organizations.
    let keys = ids.into_iter().filter_map(|id| view.key(id)).filter(|key| key.organization == organization);
    Ok(keys.map(|key| listed(view, principal, key)).collect())
}

fn listed<'a, V: View + ?Sized>(view: &V, principal: &Principal<'_>, key: &'a Key) -> ListedKey<'a> {
    let own = |grant: &Grant| {
        let resource = stake(view, key.organization, grant);
        holds_for(view, principal, Permission::ManageKeys, resource, Some(key.organization))
    };
    let grants: Vec<_> = key.grants.iter().copied().filter(own).collect();
    let manageable = grants.len() == key.grants.len();
    ListedKey { key, grants, manageable }
}

fn holders_below<V: View + ?Sized>(view: &V, root: Resource, into: &mut BTreeSet<KeyId>) {
    into.extend(view.holders(root));
    if let Resource::Location(location) = root {
        for machine in view.machines_in(location) {
            into.extend(view.holders(Resource::Machine(machine.id)));
        }
        for nested in view.locations_in(RecordId::Location(location)) {
            holders_below(view, Resource::Location(nested.id), into);
        }
    }
}

/// One key, if the caller may see it: it is their own, or reaches into what they own.
///
/// # Errors
/// Where the caller may not see it.
pub fn get_key<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    id: KeyId,
) -> Result<ListedKey<'a>, Refusal> {
    let key = view.key(id).ok_or(Refusal::NotFound(Kind::Key))?;
    let listed = listed(view, principal, key);
    if principal.key().is_some_and(|own| own.id == id) {
        return Ok(ListedKey { grants: key.grants.to_vec(), ..listed });
    }
    match authorize_key(view, principal, Permission::ManageKeys, Some(key)) {
        Err(refusal) if listed.grants.is_empty() => Err(refusal),
        _ => Ok(listed),
    }
}

/// The keys with a grant on exactly this machine that are accepted now, owners first: clients take the first one
/// for a key that works.
///
/// # Errors
/// Without `manage_keys` on the machine.
pub fn robot_keys<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    machine: MachineId,
    now: Timestamp,
) -> Result<Vec<ListedKey<'a>>, Refusal> {
    let resource = Resource::Machine(machine);
    let _permit = authorize(view, principal, Permission::ManageKeys, resource)?;
    let keys = view.holders(resource).filter_map(|id| view.key(id)).filter(|key| !key.expired(now));
    let keys = keys.filter(|key| {
        key.grants.iter().any(|grant| grant.resource == resource && counts(view, key.organization, grant))
    });
    let keys = keys.map(|key| listed(view, principal, key));
    let mut keys: Vec<_> = keys.filter(|listed| !listed.grants.is_empty()).collect();
    let role = |key: &Key| key.grants.iter().find(|grant| grant.resource == resource).map(|grant| grant.role);
    keys.sort_by_key(|listed| role(listed.key));
    Ok(keys)
}

/// The keys that may manage the keys of a resource, the oldest first, each with the nearest grant by which it may.
///
/// # Errors
/// Without `manage_keys` on the resource.
pub fn list_managers<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    resource: Resource,
) -> Result<Vec<(&'a Key, Grant)>, Refusal> {
    let _permit = authorize(view, principal, Permission::ManageKeys, resource)?;
    let lineage = Lineage::of(view, resource).ok_or(Refusal::NotFound(RecordId::from(resource).kind()))?;
    let mut found = BTreeMap::new();
    for organization in principal_organizations(principal, &lineage) {
        for step in steps_of(view, &lineage, organization) {
            // A narrower owner learns who else stands at or below what they own, not who stands above.
            if !holds_for(view, principal, Permission::ManageKeys, step, Some(organization)) {
                break;
            }
            for key in view.holders(step).filter_map(|id| view.key(id)) {
                let grant = key.grants.iter().find(|grant| {
                    grant.resource == step
                        && Permission::ManageKeys.given_by(grant.role, step.resource_type())
                });
                if let Some(grant) = grant.filter(|_| key.organization == organization) {
                    found.entry(key.id).or_insert((key, *grant));
                }
            }
        }
    }
    Ok(found.into_values().collect())
}

/// From a resource up, as far as an organization has a part in it. Above what is shared with it stands the organization
/// itself, whose owners manage its keys there.
fn steps_of<V: View + ?Sized>(view: &V, lineage: &Lineage, organization: OrganizationId) -> Vec<Resource> {
    if lineage.organization() == organization {
        return lineage.iter().collect();
    }
    let shared: Vec<_> = lineage.iter().take(lineage.shared_steps(view, organization)).collect();
    let own = (!shared.is_empty()).then_some(Resource::Organization(organization));
    shared.into_iter().chain(own).collect()
}

/// The organizations for which the principal looks at a resource: those they hold something in; for the person at the
/// server, the one it belongs to.
fn principal_organizations(principal: &Principal<'_>, lineage: &Lineage) -> Vec<OrganizationId> {
    match principal.actor() {
        Actor::System => vec![lineage.organization()],
        _ => principal.holdings().map(|holding| holding.organization).collect(),
    }
}
