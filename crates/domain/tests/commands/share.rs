//! Shared locations: who shares and who ends it, what the other organization may there, and what is left when a share
//! ends.
//!
//! In most tests *cell* (with *arm*, *belt*, and *nook* in it) is shared with *elsewhere*, whose owner is the stranger.

use std::collections::BTreeSet;

use domain::command::{
    AddRole, ChangeRole, CreateKey, CreateLocation, CreateMachine, DeleteKey, DeleteLocation, DeleteMachine,
    DeleteOrganization, FoundOrganization, MAX_SHARES, NewParent, RemoveRole, RenameKey, RotateKey,
    ShareLocation, UnshareLocation, UpdateLocation, UpdateMachine,
};
use domain::query::{
    get_key, list_keys, list_locations, list_machines, list_managers, list_roles, organizations_of,
    robot_keys,
};
use domain::{
    Caller, EmailHash, Grant, KeyId, Kind, LocationId, Membership, OrganizationId, Permission, Principal,
    Record, Refusal, User, UserId, View as _, authorize, holds, present, visible,
};

use crate::fleet::{Fleet, IntoResource, Who, name, operator, owner, secret};
use crate::{denied, failed_precondition, invalid};

const MANAGE: Permission = Permission::ManageKeys;
const SHARE: Permission = Permission::ShareLocation;

fn shared() -> Fleet {
    let mut fleet = Fleet::new();
    let share = ShareLocation { id: fleet.cell, organization: fleet.elsewhere };
    fleet.run(fleet.owner, share).unwrap();
    fleet
}

/// A key of the organization that the location is shared with.
fn abroad<const N: usize>(fleet: &mut Fleet, grants: [Grant; N]) -> KeyId {
    key_of(fleet, fleet.elsewhere, grants)
}

/// A key of the one it belongs to.
fn at_home<const N: usize>(fleet: &mut Fleet, grants: [Grant; N]) -> KeyId {
    key_of(fleet, fleet.organization, grants)
}

/// A key of an organization, made by the system.
fn key_of<const N: usize>(fleet: &mut Fleet, organization: OrganizationId, grants: [Grant; N]) -> KeyId {
    let create = create(Some(organization), &grants);
    fleet.run(Who::System, create).unwrap().key.id
}

fn create(organization: Option<OrganizationId>, grants: &[Grant]) -> CreateKey {
    CreateKey { organization, name: name("a key"), grants: grants.to_vec(), expires_at: None }
}

fn unshare(fleet: &mut Fleet) {
    let unshare = UnshareLocation { id: fleet.cell, organization: fleet.elsewhere };
    fleet.run(fleet.owner, unshare).unwrap();
}

fn may(fleet: &Fleet, key: KeyId, permission: Permission, on: impl IntoResource) -> bool {
    holds(&fleet.state, &fleet.principal(key), permission, on.resource())
}

fn found(fleet: &mut Fleet, text: &str) -> (OrganizationId, KeyId) {
    let found = FoundOrganization { name: name(text), key_name: name("owner") };
    let (organization, key) = fleet.run(Who::System, found).unwrap();
    (organization.id, key.key.id)
}

/// Somebody who holds this in these organizations.
fn person<const N: usize>(fleet: &mut Fleet, holding: [(OrganizationId, Grant); N]) -> UserId {
    let since = fleet.now;
    let membership = |(organization, grant): (OrganizationId, Grant)| Membership {
        organization,
        grants: [grant].into(),
        since,
    };
    let mut memberships = holding.map(membership).to_vec();
    memberships.sort_unstable_by_key(|it| it.organization);
    let (id, email) = (UserId::from_bytes([9; 16]), EmailHash::from_bytes([9; 32]));
    let user = User { id, email, memberships, generation: 1, can_sign_in: true, created_at: since };
    fleet.state.load(Record::User(user));
    id
}

fn signed_in(fleet: &Fleet, id: UserId) -> Principal<'_> {
    present(&fleet.state, Caller::User { id, generation: 1 }, fleet.now).unwrap()
}

#[test]
fn only_owners_of_it_share_a_location() {
    let mut fleet = Fleet::new();
    let share = ShareLocation { id: fleet.cell, organization: fleet.elsewhere };
    let cell = fleet.cell;
    for by in [operator(fleet.organization), operator(cell), owner(fleet.arm)].map(|it| fleet.key([it])) {
        assert_eq!(fleet.refused(by, share), denied(SHARE, cell));
        let unshare = UnshareLocation { id: cell, organization: fleet.elsewhere };
        assert_eq!(fleet.refused(by, unshare), denied(SHARE, cell));
    }
    for by in [fleet.stranger, fleet.key([owner(fleet.yard)])] {
        assert_eq!(fleet.refused(by, share), Refusal::NotFound(Kind::Location));
    }
    let unknown = ShareLocation { organization: OrganizationId::from_bytes([7; 16]), ..share };
    assert_eq!(fleet.refused(fleet.owner, unknown), Refusal::NotFound(Kind::Organization));
    let own = ShareLocation { organization: fleet.organization, ..share };
    let text = format!("location {cell} belongs to organization {} already", fleet.organization);
    assert_eq!(fleet.refused(fleet.owner, own), Refusal::AlreadyExists(text));
    for by in [owner(cell), owner(fleet.hall)].map(|it| fleet.key([it])) {
        fleet.run(by, share).unwrap();
        assert!(!fleet.journal.last().unwrap().narrows());
        assert_eq!(fleet.state.location(cell).unwrap().shared_with, [fleet.elsewhere]);
        fleet.run_in_vain(by, share);
        unshare(&mut fleet);
    }
}

#[test]
fn a_hundred_shares_are_enough() {
    let mut fleet = Fleet::new();
    let id = fleet.cell;
    assert_eq!(MAX_SHARES, 100);
    for _ in 0..MAX_SHARES {
        let (organization, _) = found(&mut fleet, "one of many");
        fleet.run(fleet.owner, ShareLocation { id, organization }).unwrap();
    }
    assert!(fleet.state.location(id).unwrap().shared_with.is_sorted());
    let rule = format!("must leave location {id} shared with at most 100");
    let share = ShareLocation { id, organization: fleet.elsewhere };
    assert_eq!(fleet.refused(fleet.owner, share), invalid("organization_id", &rule));
}

#[test]
fn owners_there_own_it_except_for_what_stays_at_home() {
    let mut fleet = shared();
    let (cell, nook, arm) = (fleet.cell, fleet.nook, fleet.arm);
    let direct = abroad(&mut fleet, [owner(cell)]);
    for by in [fleet.stranger, direct] {
        let update = UpdateLocation { id: nook, name: None, parent: None, region: Some(name("east")) };
        assert_eq!(fleet.refused(by, update.clone()), denied(Permission::SetRegion, nook));
        let moved = UpdateLocation { parent: Some(NewParent::Top), region: None, ..update.clone() };
        assert_eq!(fleet.refused(by, moved), denied(Permission::MoveLocation, nook));
        assert_eq!(fleet.refused(by, DeleteLocation { id: nook }), denied(Permission::DeleteLocation, nook));
        let nested = |organization| CreateLocation { organization, parent: Some(cell), name: name("niche") };
        assert_eq!(fleet.refused(by, nested(fleet.organization)), Refusal::NotFound(Kind::Organization));
        assert!(!may(&fleet, by, Permission::ReadPackages, cell));
        fleet.run(by, UpdateLocation { name: Some(name("theirs")), region: None, ..update }).unwrap();
        let made = fleet
            .run(by, CreateMachine { location: nook, name: name("lamp"), secret: secret("lamp") })
            .unwrap();
        fleet.run(by, UpdateMachine { id: made.id, name: None, location: Some(cell) }).unwrap();
        fleet.run(by, DeleteMachine { id: made.id }).unwrap();
        assert!(may(&fleet, by, Permission::ControlRobot, arm));
    }
    // To their own organization it cannot be taken.
    let abroad = UpdateMachine { id: arm, name: None, location: Some(fleet.depot) };
    let rule = "must lie in the machine's organization";
    assert_eq!(fleet.refused(fleet.stranger, abroad), invalid("location", rule));
    let nested = CreateLocation { organization: fleet.elsewhere, parent: Some(cell), name: name("niche") };
    assert_eq!(fleet.refused(fleet.stranger, nested), Refusal::NotFound(Kind::Location));
}

#[test]
fn what_stands_above_it_and_beside_it_stays_hidden() {
    let mut fleet = shared();
    let arm = fleet.arm;
    let direct = abroad(&mut fleet, [owner(arm)]);
    for by in [fleet.stranger, direct] {
        let principal = fleet.principal(by);
        for hidden in [fleet.organization.resource(), fleet.hall.resource(), fleet.annex.resource()] {
            assert!(!visible(&fleet.state, &principal, hidden), "{hidden}");
            let refusal = authorize(&fleet.state, &principal, Permission::ReadRoles, hidden).unwrap_err();
            assert!(matches!(refusal, Refusal::NotFound(_)), "{hidden}: {refusal}");
        }
        assert!(visible(&fleet.state, &principal, fleet.cell.resource()));
        let listed = list_locations(&fleet.state, &principal, fleet.elsewhere).unwrap();
        assert!(listed.iter().any(|it| it.id == fleet.cell), "{listed:?}");
        let refused = list_locations(&fleet.state, &principal, fleet.organization).unwrap_err();
        assert_eq!(refused, Refusal::NotFound(Kind::Organization));
    }
}

/// Also of what lies in a shared location: the list is of those that have access, not of what is written where.
#[test]
fn who_has_a_part_in_it_is_told_to_owners() {
    let mut fleet = shared();
    let (home, away, nook) = (fleet.organization, fleet.elsewhere, fleet.nook);
    let (third, of_third) = found(&mut fleet, "third");
    fleet.run(fleet.owner, ShareLocation { id: nook, organization: third }).unwrap();
    let by = abroad(&mut fleet, [operator(nook)]);
    let told = |by: KeyId, id: LocationId| {
        let found = organizations_of(&fleet.state, &fleet.principal(by), id).unwrap();
        found.iter().map(|it| it.id).collect::<Vec<_>>()
    };
    let mut guests = vec![away, third];
    guests.sort_unstable();
    assert_eq!(told(fleet.owner, nook)[0], home);
    for by in [fleet.owner, fleet.stranger, of_third] {
        assert_eq!(told(by, nook)[1..], guests);
    }
    assert_eq!(told(by, nook), [home, away]);
    assert_eq!(told(fleet.owner, fleet.cell), [home, away]);
}

#[test]
fn it_is_handed_on_and_given_back() {
    let mut fleet = shared();
    let (cell, guest) = (fleet.cell, fleet.stranger);
    let (third, of_third) = found(&mut fleet, "third");
    fleet.run(guest, ShareLocation { id: cell, organization: third }).unwrap();
    assert!(may(&fleet, of_third, Permission::ControlRobot, fleet.eye));
    // Neither ends the share of the other, nor takes it from whose it is.
    for (by, organization) in [(guest, third), (of_third, fleet.elsewhere), (guest, fleet.organization)] {
        assert_eq!(fleet.refused(by, UnshareLocation { id: cell, organization }), denied(SHARE, cell));
    }
    let text =
        format!("location {cell} belongs to organization {} and cannot be taken from it", fleet.organization);
    let first = UnshareLocation { id: cell, organization: fleet.organization };
    assert_eq!(fleet.refused(fleet.owner, first), failed_precondition(text));
    fleet.run(of_third, UnshareLocation { id: cell, organization: third }).unwrap();
    assert!(fleet.journal.last().unwrap().narrows());
    assert!(!may(&fleet, of_third, Permission::ControlRobot, fleet.eye));
    assert!(may(&fleet, guest, Permission::ControlRobot, fleet.eye));
    // An owner of the location in its own organization ends any.
    let by = at_home(&mut fleet, [owner(cell)]);
    fleet.run(by, UnshareLocation { id: cell, organization: fleet.elsewhere }).unwrap();
    fleet.run_in_vain(by, UnshareLocation { id: cell, organization: fleet.elsewhere });
    assert!(!may(&fleet, guest, Permission::ControlRobot, fleet.eye));
}

#[test]
fn a_shared_location_stays_where_it_is() {
    let mut fleet = shared();
    let cell = fleet.cell;
    let to = |id: LocationId, parent| UpdateLocation { id, name: None, parent: Some(parent), region: None };
    let text = format!("location {cell} is shared and cannot be moved: end its shares first");
    for parent in [NewParent::Top, NewParent::Location(fleet.annex)] {
        assert_eq!(fleet.refused(fleet.owner, to(cell, parent)), failed_precondition(text.clone()));
    }
    // What it lies in may move, and what lies in it may move out of the share.
    fleet.run(fleet.owner, to(fleet.nook, NewParent::Top)).unwrap();
    assert!(fleet.journal.last().unwrap().narrows());
    assert!(!may(&fleet, fleet.stranger, Permission::ReadRobot, fleet.eye));
    fleet.run(fleet.owner, to(fleet.hall, NewParent::Location(fleet.yard))).unwrap();
    assert!(may(&fleet, fleet.stranger, Permission::ReadRobot, fleet.arm));
    unshare(&mut fleet);
    fleet.run(fleet.owner, to(cell, NewParent::Top)).unwrap();
}

#[test]
fn a_key_there_names_its_organization() {
    let mut fleet = shared();
    let grants = [operator(fleet.arm)];
    let rule = "must be given, because what is granted is shared between multiple orgs";
    for by in [fleet.owner, fleet.stranger] {
        assert_eq!(fleet.refused(by, create(None, &grants)), invalid("organization_id", rule));
    }
    let guests = fleet.run(fleet.stranger, create(Some(fleet.elsewhere), &grants)).unwrap();
    assert_eq!(guests.key.organization, fleet.elsewhere);
    let hosts = fleet.run(fleet.owner, create(Some(fleet.organization), &grants)).unwrap();
    assert_eq!(hosts.key.organization, fleet.organization);
    // Each makes keys of their own organization only.
    for (by, other) in [(fleet.owner, fleet.elsewhere), (fleet.stranger, fleet.organization)] {
        assert_eq!(fleet.refused(by, create(Some(other), &grants)), denied(MANAGE, fleet.arm));
    }
    // Where one organization alone has a part in all of it, it follows.
    let across = [operator(fleet.arm), operator(fleet.depot)];
    let made = fleet.run(fleet.stranger, create(None, &across)).unwrap();
    assert_eq!(made.key.organization, fleet.elsewhere);
    let third = found(&mut fleet, "third").0;
    let rule = format!("must be the organization of machine {}, or one it is shared with", fleet.arm);
    assert_eq!(fleet.refused(fleet.owner, create(Some(third), &grants)), invalid("organization_id", &rule));
}

#[test]
fn each_organization_manages_its_own_keys() {
    let mut fleet = shared();
    let (arm, belt) = (fleet.arm, fleet.belt);
    let guests = abroad(&mut fleet, [operator(arm)]);
    let hosts = at_home(&mut fleet, [operator(arm)]);
    for (by, foreign, own) in [(fleet.owner, guests, hosts), (fleet.stranger, hosts, guests)] {
        let not_found = Refusal::NotFound(Kind::Key);
        assert_eq!(fleet.refused(by, RotateKey { id: foreign }), not_found);
        assert_eq!(fleet.refused(by, DeleteKey { id: foreign }), not_found);
        assert_eq!(fleet.refused(by, AddRole { key: foreign, grant: operator(belt) }), not_found);
        assert_eq!(fleet.refused(by, RemoveRole { key: foreign, grant: operator(arm) }), not_found);
        let change = ChangeRole { key: foreign, old: operator(arm), new: owner(arm) };
        assert_eq!(fleet.refused(by, change), not_found);
        let principal = fleet.principal(by);
        let keys = robot_keys(&fleet.state, &principal, arm, fleet.now).unwrap();
        assert_eq!(keys.iter().map(|it| it.key.id).collect::<Vec<_>>(), [own]);
        fleet.run(by, AddRole { key: own, grant: operator(belt) }).unwrap();
        fleet.run(by, RotateKey { id: own }).unwrap();
    }
    let principal = fleet.principal(fleet.stranger);
    let managers = list_managers(&fleet.state, &principal, arm.resource()).unwrap();
    let top = owner(fleet.elsewhere);
    assert_eq!(
        managers.iter().map(|(key, grant)| (key.id, *grant)).collect::<Vec<_>>(),
        [(fleet.stranger, top)]
    );
}

#[test]
fn what_was_held_through_a_share_ends_with_it_and_comes_back() {
    let mut fleet = shared();
    let (arm, cell) = (fleet.arm, fleet.cell);
    let key = abroad(&mut fleet, [owner(cell)]);
    let before = fleet.state.key(key).unwrap().clone();
    for _ in 0..2 {
        for by in [key, fleet.stranger] {
            assert!(may(&fleet, by, Permission::ControlRobot, arm));
        }
        unshare(&mut fleet);
        assert!(fleet.journal.last().unwrap().narrows());
        for by in [key, fleet.stranger] {
            assert!(!may(&fleet, by, Permission::ControlRobot, arm));
            assert_eq!(fleet.refused(by, DeleteMachine { id: arm }), Refusal::NotFound(Kind::Machine));
        }
        assert_eq!(fleet.state.key(key).unwrap().grants, before.grants);
        fleet.run(fleet.owner, ShareLocation { id: cell, organization: fleet.elsewhere }).unwrap();
    }
    assert!(may(&fleet, key, Permission::ControlRobot, arm));
}

#[test]
fn a_role_that_does_not_count_any_more_is_its_organizations_owners() {
    let mut fleet = shared();
    let (cell, depot, stranger) = (fleet.cell, fleet.depot, fleet.stranger);
    let key = abroad(&mut fleet, [owner(cell), operator(depot)]);
    let of_depot = abroad(&mut fleet, [owner(depot)]);
    unshare(&mut fleet);
    // Listed still, whole, and for them alone.
    let principal = fleet.principal(stranger);
    let listed = list_keys(&fleet.state, &principal, fleet.elsewhere).unwrap();
    let listed = listed.iter().find(|it| it.key.id == key).unwrap();
    assert_eq!((listed.grants.len(), listed.manageable()), (2, true));
    let shown = get_key(&fleet.state, &principal, key).unwrap();
    assert_eq!((shown.grants.len(), shown.manageable()), (2, true));
    let roles = list_roles(&fleet.state, &principal, fleet.elsewhere, &[]).unwrap();
    assert!(roles.iter().any(|held| held.key == key && held.grant == owner(cell)));
    let narrower = get_key(&fleet.state, &fleet.principal(of_depot), key).unwrap();
    assert_eq!((narrower.grants.as_slice(), narrower.manageable()), (&[operator(depot)][..], false));
    // Whoever else asks reads what they would read if the key had it not.
    let lapsed = RemoveRole { key, grant: owner(cell) };
    let never = RemoveRole { key, grant: owner(fleet.annex) };
    for by in [of_depot, key] {
        assert_eq!(fleet.refused(by, lapsed), fleet.refused(by, never));
    }
    assert_eq!(fleet.refused(fleet.owner, lapsed), Refusal::NotFound(Kind::Key));
    assert_eq!(fleet.refused(of_depot, RotateKey { id: key }), denied(MANAGE, fleet.elsewhere));
    // It is not given anew, in no role; but it is taken, and keys that hold nothing else are ended.
    let again = ChangeRole { key, old: owner(cell), new: operator(cell) };
    assert_eq!(fleet.refused(stranger, again), Refusal::NotFound(Kind::Location));
    assert_eq!(
        fleet.refused(Who::System, again),
        invalid("new_authorization", "must lie in the organization of the key")
    );
    fleet.run(stranger, RenameKey { id: key, name: name("kept") }).unwrap();
    fleet.run(stranger, lapsed).unwrap();
    fleet.run(stranger, DeleteKey { id: key }).unwrap();
}

/// A key whose roles do not count any more is let in, as every key that is not ended; it knows of itself.
#[test]
fn a_key_that_may_nothing_any_more_sees_itself() {
    let mut fleet = shared();
    let cell = fleet.cell;
    let key = abroad(&mut fleet, [owner(cell)]);
    unshare(&mut fleet);
    assert_eq!(fleet.refused(key, RotateKey { id: key }), denied(MANAGE, fleet.elsewhere));
    let shown = get_key(&fleet.state, &fleet.principal(key), key).unwrap();
    assert_eq!((shown.grants.as_slice(), shown.manageable()), (&[owner(cell)][..], false));
}

#[test]
fn what_people_hold_adds_up_but_keys_stay_apart() {
    let mut fleet = shared();
    let (home, away, arm, belt) = (fleet.organization, fleet.elsewhere, fleet.arm, fleet.belt);
    let id = person(&mut fleet, [(home, operator(belt)), (away, operator(arm))]);
    let machines = |fleet: &Fleet| {
        let principal = signed_in(fleet, id);
        let found = list_machines(&fleet.state, &principal, fleet.cell).unwrap();
        found.iter().map(|it| it.id).collect::<BTreeSet<_>>()
    };
    assert_eq!(machines(&fleet), BTreeSet::from([arm, belt]));
    unshare(&mut fleet);
    assert_eq!(
        machines(&fleet),
        BTreeSet::from([belt]),
        "its location is seen still, through the other machine"
    );
    // An owner at home who is a member abroad does not manage the keys from there.
    let mut fleet = shared();
    let (home, away, arm) = (fleet.organization, fleet.elsewhere, fleet.arm);
    let key = abroad(&mut fleet, [operator(arm)]);
    let id = person(&mut fleet, [(home, owner(home)), (away, operator(away))]);
    let principal = signed_in(&fleet, id);
    let expected = denied(MANAGE, arm);
    let refused = domain::authorize_key(&fleet.state, &principal, MANAGE, fleet.state.key(key)).unwrap_err();
    assert_eq!(refused, expected);
}

#[test]
fn shares_end_with_the_organization_or_the_location() {
    let mut fleet = shared();
    let (third, of_third) = found(&mut fleet, "third");
    let nook = fleet.nook;
    fleet.run(fleet.owner, ShareLocation { id: fleet.cell, organization: third }).unwrap();
    fleet.run(fleet.owner, ShareLocation { id: nook, organization: third }).unwrap();
    let key = key_of(&mut fleet, third, [operator(nook)]);
    fleet.run(of_third, DeleteOrganization { id: third }).unwrap();
    assert!(fleet.journal.last().unwrap().narrows());
    assert_eq!(fleet.state.location(fleet.cell).unwrap().shared_with, [fleet.elsewhere]);
    assert!(fleet.state.location(nook).unwrap().shared_with.is_empty());
    assert!(fleet.state.key(key).is_none() && fleet.state.shared_with(third).next().is_none());
    // A shared location ends like any other, with the roles that others have on it.
    let depot = fleet.depot;
    let guests = abroad(&mut fleet, [operator(nook)]);
    let kept = abroad(&mut fleet, [operator(nook), operator(depot)]);
    fleet.run(fleet.owner, ShareLocation { id: nook, organization: fleet.elsewhere }).unwrap();
    fleet.run(fleet.owner, DeleteMachine { id: fleet.eye }).unwrap();
    fleet.run(fleet.owner, DeleteLocation { id: nook }).unwrap();
    assert!(fleet.state.key(guests).is_none());
    assert_eq!(*fleet.state.key(kept).unwrap().grants, [operator(depot)]);
    assert_eq!(fleet.state.shared_with(fleet.elsewhere).collect::<Vec<_>>(), [fleet.cell]);
}
