//! The crate's answers beside the naive model's. A difference is an error, so that a test can ask for one.

use std::fmt::Debug;

use domain::{
    Actor, Basis, EmailHash, Key, KeyHash, Kind, Permission, Principal, RecordId, Refusal, Resource, State,
    User, View, authorize, authorize_key, held_in, holds, visible,
};

use crate::eyes::Eyes;
use crate::naive::{Model, ModelKey, No};

/// What differs.
pub(crate) type Differs = Result<(), String>;

/// Says what differs, if something does.
#[expect(clippy::needless_pass_by_value, reason = "an answer is compared where it is given")]
pub(crate) fn same<T: PartialEq + Debug>(real: T, naive: T, about: impl FnOnce() -> String) -> Differs {
    if real == naive {
        Ok(())
    } else {
        Err(format!("{}: the crate says {real:?}, the model {naive:?}", about()))
    }
}

pub(crate) fn no(refusal: &Refusal) -> No {
    match refusal {
        Refusal::Unauthenticated(denial) => No::Unauthenticated(*denial),
        Refusal::NotFound(kind) => No::NotFound(*kind),
        Refusal::PermissionDenied { permission, resource } => No::Denied(*permission, *resource),
        Refusal::Invalid { field, .. } => No::Invalid(field.clone()),
        Refusal::AlreadyExists(_) => No::AlreadyExists,
        Refusal::Aborted(_) => No::Aborted,
        Refusal::FailedPrecondition(_) => No::FailedPrecondition,
    }
}

/// Every method of a view, against a full scan of the model.
pub(crate) fn compare_view<V: View>(view: &V, model: &Model) -> Differs {
    compare_records(view, model)?;
    let mut organizations: Vec<_> = model.organizations.iter().map(|it| it.id).collect();
    organizations.sort_unstable();
    same(view.organizations().collect(), organizations, || "organizations".to_owned())?;
    let resources = model.resources().into_iter().map(RecordId::from);
    for of in resources.chain(model.buried.iter().rev().take(12).copied()) {
        for &kind in Kind::ALL {
            let listed: Vec<_> = view.children(of, kind).collect();
            same(listed, children(model, of, kind), || format!("the {kind:?}s below {of:?}"))?;
        }
        compare_named_children(view, model, of)?;
    }
    for of in model.resources().into_iter().chain(model.buried_resources()) {
        let mut holders: Vec<_> = model.keys.iter().collect();
        holders.retain(|key| key.grants.iter().any(|grant| grant.resource == of));
        let mut holders: Vec<_> = holders.into_iter().map(|key| key.id).collect();
        holders.sort_unstable();
        same(view.holders(of).collect(), holders, || format!("the holders of {of}"))?;
    }
    compare_people(view, model)?;
    compare_shares(view, model)
}

fn compare_records<V: View>(view: &V, model: &Model) -> Differs {
    for it in &model.organizations {
        same(view.organization(it.id), Some(it), || "an organization".to_owned())?;
    }
    for it in &model.locations {
        same(view.location(it.id), Some(it), || "a location".to_owned())?;
    }
    for it in &model.machines {
        same(view.machine(it.id), Some(it), || "a machine".to_owned())?;
    }
    for it in &model.parts {
        same(view.part(it.id), Some(it), || "a part".to_owned())?;
    }
    for it in &model.users {
        same(view.user(it.id), Some(it), || "a person".to_owned())?;
    }
    for it in &model.signing_keys {
        same(view.signing_key(it.id), Some(it), || "a signing key".to_owned())?;
    }
    for it in &model.keys {
        compare_key(view.key(it.id).ok_or_else(|| format!("key {} is not there", it.id))?, it)?;
    }
    for id in &model.buried {
        let gone = match *id {
            RecordId::Organization(id) => view.organization(id).is_none(),
            RecordId::Location(id) => view.location(id).is_none(),
            RecordId::Machine(id) => view.machine(id).is_none(),
            RecordId::Part(id) => view.part(id).is_none(),
            RecordId::Key(id) => view.key(id).is_none(),
            RecordId::SigningKey(id) => view.signing_key(id).is_none(),
            RecordId::User(id) => view.user(id).is_none(),
            RecordId::Invitation(id) => view.invitation(id).is_none(),
            RecordId::Module(id) => view.module(id).is_none(),
        };
        same(gone, true, || format!("{id:?} is gone"))?;
    }
    Ok(())
}

/// A key as the crate keeps it or answers it.
pub(crate) fn compare_key(real: &Key, naive: &ModelKey) -> Differs {
    let Key { id, organization, name, hash, generation, grants, created_at, creator, expires_at } = real;
    let about = || format!("key {id}");
    same(*id, naive.id, about)?;
    same(*organization, naive.organization, about)?;
    same(name, &naive.name, about)?;
    same(hash.matches(&KeyHash::of(&naive.value)), true, about)?;
    same(*generation, naive.generation, about)?;
    same(&**grants, &naive.grants, about)?;
    same(*created_at, naive.created_at, about)?;
    same(*creator, naive.creator, about)?;
    same(*expires_at, naive.expires_at, about)
}

fn children(model: &Model, of: RecordId, kind: Kind) -> Vec<RecordId> {
    let mut found = vec![];
    match (of, kind) {
        (RecordId::Organization(of), Kind::Location) => {
            let all = model.locations.iter().filter(|it| it.organization == of && it.parent.is_none());
            found.extend(all.map(|it| RecordId::Location(it.id)));
        }
        (RecordId::Location(of), Kind::Location) => {
            let all = model.locations.iter().filter(|it| it.parent == Some(of));
            found.extend(all.map(|it| RecordId::Location(it.id)));
        }
        (RecordId::Location(of), Kind::Machine) => {
            let all = model.machines.iter().filter(|it| it.location == of);
            found.extend(all.map(|it| RecordId::Machine(it.id)));
        }
        (RecordId::Machine(of), Kind::Part) => {
            found.extend(model.parts.iter().filter(|it| it.machine == of).map(|it| RecordId::Part(it.id)));
        }
        (RecordId::Organization(of), Kind::Key) => {
            found.extend(model.keys.iter().filter(|it| it.organization == of).map(|it| RecordId::Key(it.id)));
        }
        _ => {}
    }
    found.sort_unstable();
    found
}

/// The same lists as whole records, through the methods named after what they list.
fn compare_named_children<V: View>(view: &V, model: &Model, of: RecordId) -> Differs {
    let expected = |kind| children(model, of, kind);
    let about = || format!("the records below {of:?}");
    let locations: Vec<_> = view.locations_in(of).map(|it| RecordId::Location(it.id)).collect();
    same(locations, expected(Kind::Location), about)?;
    match of {
        RecordId::Organization(id) => {
            let keys: Vec<_> = view.keys_of(id).map(|it| RecordId::Key(it.id)).collect();
            same(keys, expected(Kind::Key), about)
        }
        RecordId::Location(id) => {
            let machines: Vec<_> = view.machines_in(id).map(|it| RecordId::Machine(it.id)).collect();
            same(machines, expected(Kind::Machine), about)
        }
        RecordId::Machine(id) => {
            let parts: Vec<_> = view.parts_of(id).map(|it| RecordId::Part(it.id)).collect();
            same(parts, expected(Kind::Part), about)
        }
        _ => Ok(()),
    }
}

/// What a state shows besides its view.
pub(crate) fn compare_state(state: &State, model: &Model) -> Differs {
    compare_view(state, model)?;
    for (kind, count) in [
        (Kind::Organization, model.organizations.len()),
        (Kind::Location, model.locations.len()),
        (Kind::Machine, model.machines.len()),
        (Kind::Part, model.parts.len()),
        (Kind::Key, model.keys.len()),
        (Kind::SigningKey, model.signing_keys.len()),
        (Kind::User, model.users.len()),
    ] {
        same(state.count(kind), count, || format!("how many {kind:?}s there are"))?;
    }
    let mut signing: Vec<_> = state.signing_keys().map(|it| it.id).collect();
    signing.sort_unstable();
    let mut naive: Vec<_> = model.signing_keys.iter().map(|it| it.id).collect();
    naive.sort_unstable();
    same(signing, naive, || "the signing keys".to_owned())
}

/// Every permission on every resource there is and some there were; returns how many that are.
pub(crate) fn compare_rights<V: View>(
    view: &V,
    principal: &Principal<'_>,
    eyes: &Eyes<'_>,
) -> Result<usize, String> {
    let mut cases = 0;
    let buried = eyes.model.buried_resources();
    let asked: Vec<_> =
        eyes.model.resources().into_iter().chain(buried.iter().rev().take(3).copied()).collect();
    for &resource in &asked {
        same(visible(view, principal, resource), eyes.sees(resource), || format!("who sees {resource}"))?;
        for &permission in Permission::ALL {
            let about = || format!("{} on {resource} for {:?}", permission.name(), eyes.actor);
            let naive = eyes.ask(permission, resource);
            let held = holds(view, principal, permission, resource);
            same(held, naive.is_ok(), about)?;
            let real = authorize(view, principal, permission, resource);
            if let Ok(permit) = &real {
                same(permit.actor(), eyes.actor, about)?;
                let [allowance] = permit.allowances() else { return Err(format!("{permit:?}")) };
                same((allowance.permission, allowance.resource), (permission, Some(resource)), about)?;
                same(by_right(eyes, permission, resource, allowance.basis), true, about)?;
            }
            same(real.map(drop).map_err(|refusal| no(&refusal)), naive, about)?;
            cases += 1;
        }
    }
    for key in &eyes.model.keys {
        let real = authorize_key(view, principal, Permission::ManageKeys, view.key(key.id));
        let naive = eyes.ask_key(Permission::ManageKeys, key.id);
        let real = real.map(drop).map_err(|refusal| no(&refusal));
        same(real, naive, || format!("managing key {} as {:?}", key.id, eyes.actor))?;
        cases += 1;
    }
    for organization in &eyes.model.organizations {
        for permission in [Permission::ManageKeys, Permission::ReadRobot, Permission::ReadPackages] {
            let real = held_in(view, principal, permission, organization.id);
            let real = real.map_err(|refusal| no(&refusal)).map(|mut found| {
                found.sort_unstable();
                found
            });
            let naive = eyes.held_in(permission, organization.id);
            same(real, naive, || format!("where {:?} holds {}", eyes.actor, permission.name()))?;
            cases += 1;
        }
    }
    Ok(cases)
}

/// Whether a permit names a reason that is one: a grant the caller has, which alone would do.
fn by_right(eyes: &Eyes<'_>, permission: Permission, resource: Resource, basis: Basis) -> bool {
    match basis {
        Basis::System => eyes.actor == Actor::System,
        Basis::Grant(grant) => {
            eyes.alone.iter().any(|(own, rights)| *own == grant && rights.may(permission, resource))
        }
    }
}

/// The people of every organization and on every resource, those that are gone included, and by their addresses.
fn compare_people<V: View>(view: &V, model: &Model) -> Differs {
    let ids = |wanted: &dyn Fn(&User) -> bool| {
        let mut ids: Vec<_> = model.users.iter().filter(|it| wanted(it)).map(|it| it.id).collect();
        ids.sort_unstable();
        ids
    };
    for of in model.resources().into_iter().chain(model.buried_resources()) {
        let holds = |user: &User| {
            let mut grants = user.memberships.iter().flat_map(|it| it.grants.iter());
            grants.any(|grant| grant.resource == of)
        };
        same(view.people_on(of).collect(), ids(&holds), || format!("the people on {of}"))?;
        if let Resource::Organization(id) = of {
            let member = |user: &User| user.memberships.iter().any(|it| it.organization == id);
            same(view.members(id).collect(), ids(&member), || format!("the members of {id}"))?;
        }
    }
    for user in &model.users {
        same(view.user_by_email(user.email), Some(user.id), || format!("the address of {}", user.id))?;
    }
    let nobody = EmailHash::from_bytes([0; 32]);
    same(view.user_by_email(nobody), None, || "nobody's address".to_owned())
}

fn compare_shares<V: View>(view: &V, model: &Model) -> Differs {
    let buried = model.buried_resources();
    for of in model.resources().iter().chain(&buried) {
        let Resource::Organization(id) = *of else { continue };
        let shared = model.locations.iter().filter(|it| it.shared_with.contains(&id));
        let mut shared: Vec<_> = shared.map(|it| it.id).collect();
        shared.sort_unstable();
        same(view.shared_with(id).collect(), shared, || format!("what is shared with {id}"))?;
    }
    Ok(())
}
