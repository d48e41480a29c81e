//! Roles of keys that exist.

use domain::command::{AddRole, ChangeRole, CreateMachine, RemoveRole};
use domain::{Grant, KeyId, Kind, Permission, Refusal, View as _};

use crate::fleet::{Fleet, Who, name, operator, owner, secret};
use crate::{denied, failed_precondition, invalid};

const MANAGE: Permission = Permission::ManageKeys;

/// What a key holds, in the order in which it is kept.
fn assert_grants<const N: usize>(fleet: &Fleet, key: KeyId, mut expected: [Grant; N]) {
    expected.sort_by_key(|grant| grant.resource);
    assert_eq!(*fleet.state.key(key).unwrap().grants, expected);
}

#[test]
fn a_role_is_added_once() {
    let mut fleet = Fleet::new();
    let key = fleet.key([operator(fleet.arm)]);
    let grant = owner(fleet.hall);
    fleet.run(fleet.owner, AddRole { key, grant }).unwrap();
    assert_grants(&fleet, key, [owner(fleet.hall), operator(fleet.arm)]);
    assert!(!fleet.journal.last().unwrap().narrows());
    fleet.run_in_vain(fleet.owner, AddRole { key, grant });
    let arm = fleet.arm;
    assert_eq!(
        fleet.refused(fleet.owner, AddRole { key, grant: owner(arm) }),
        Refusal::AlreadyExists(format!(
            "key {key} is operator of machine {arm} already: change that role instead of adding one"
        ))
    );
}

#[test]
fn a_hundred_roles_are_enough() {
    let mut fleet = Fleet::new();
    let mut grants = vec![];
    for _ in 0..101 {
        let machine =
            CreateMachine { location: fleet.yard, name: name("one of many"), secret: secret("one of many") };
        grants.push(operator(fleet.run(Who::System, machine).unwrap().id));
    }
    let key = fleet.key([grants[0]]);
    for grant in &grants[1..100] {
        fleet.run(Who::System, AddRole { key, grant: *grant }).unwrap();
    }
    assert_eq!(
        fleet.refused(Who::System, AddRole { key, grant: grants[100] }),
        invalid("grants", "must be at most 100, are 101")
    );
    // One for another stays within the bound.
    fleet.run(Who::System, ChangeRole { key, old: grants[0], new: grants[100] }).unwrap();
}

/// Owner on the resource that is changed or removed; on what else the key holds does not matter.
#[test]
fn owners_of_the_resource_change_and_take_roles_on_it() {
    let mut fleet = Fleet::new();
    let by = fleet.key([owner(fleet.arm)]);
    let (arm, old, new) = (fleet.arm, operator(fleet.arm), owner(fleet.arm));
    let key = fleet.key([operator(fleet.yard), old]);
    fleet.run(by, ChangeRole { key, old, new }).unwrap();
    assert_grants(&fleet, key, [operator(fleet.yard), new]);
    fleet.run(by, RemoveRole { key, grant: new }).unwrap();
    assert_grants(&fleet, key, [operator(fleet.yard)]);
    for (grant, expected) in [
        (owner(fleet.cell), denied(MANAGE, fleet.cell)),
        (owner(fleet.organization), denied(MANAGE, fleet.organization)),
        (operator(fleet.yard), Refusal::NotFound(Kind::Location)),
        (owner(fleet.belt), Refusal::NotFound(Kind::Machine)),
        (owner(fleet.elsewhere), Refusal::NotFound(Kind::Organization)),
    ] {
        assert_eq!(fleet.refused(by, AddRole { key, grant }), expected);
        assert_eq!(fleet.refused(by, RemoveRole { key, grant }), expected);
        assert_eq!(fleet.refused(by, ChangeRole { key, old: grant, new: owner(arm) }), expected);
        assert_eq!(fleet.refused(by, ChangeRole { key, old: owner(arm), new: grant }), expected);
    }
}

/// Were the resource enough, the owner of a machine could tie somebody else's key to it, and its owners could not
/// rotate or delete it any more.
#[test]
fn a_role_is_added_by_those_who_manage_the_whole_key() {
    let mut fleet = Fleet::new();
    let by = fleet.key([owner(fleet.arm)]);
    let unseen = fleet.key([operator(fleet.yard)]);
    let arm = operator(fleet.arm);
    assert_eq!(fleet.refused(by, AddRole { key: unseen, grant: arm }), Refusal::NotFound(Kind::Key));
    let shared = fleet.key([arm, operator(fleet.yard)]);
    let beyond = Refusal::PermissionDenied { permission: MANAGE, resource: None };
    assert_eq!(fleet.refused(by, AddRole { key: shared, grant: arm }), beyond);
    let both = fleet.key([owner(fleet.arm), owner(fleet.yard)]);
    let (belt, yard) = (operator(fleet.belt), operator(fleet.yard));
    assert_eq!(
        fleet.refused(by, ChangeRole { key: shared, old: arm, new: belt }),
        Refusal::NotFound(Kind::Machine)
    );
    fleet.run(both, ChangeRole { key: shared, old: yard, new: owner(fleet.yard) }).unwrap();
    fleet.run(fleet.owner, AddRole { key: unseen, grant: arm }).unwrap();
}

#[test]
fn operators_give_and_take_none() {
    let mut fleet = Fleet::new();
    let arm = fleet.arm;
    let key = fleet.key([operator(arm), operator(fleet.yard)]);
    for by in [operator(fleet.organization), operator(fleet.cell), operator(arm)].map(|it| fleet.key([it])) {
        let (old, new) = (operator(arm), owner(arm));
        assert_eq!(fleet.refused(by, AddRole { key: by, grant: new }), denied(MANAGE, arm));
        assert_eq!(fleet.refused(by, RemoveRole { key, grant: old }), denied(MANAGE, arm));
        assert_eq!(fleet.refused(by, ChangeRole { key, old, new }), denied(MANAGE, arm));
    }
}

#[test]
fn keys_of_other_organizations_are_not_there() {
    let mut fleet = Fleet::new();
    let (key, by) = (fleet.stranger, fleet.owner);
    let (held, arm) = (owner(fleet.elsewhere), owner(fleet.arm));
    assert_eq!(fleet.refused(by, AddRole { key, grant: arm }), Refusal::NotFound(Kind::Key));
    assert_eq!(fleet.refused(by, RemoveRole { key, grant: arm }), Refusal::NotFound(Kind::Key));
    assert_eq!(fleet.refused(by, ChangeRole { key, old: arm, new: arm }), Refusal::NotFound(Kind::Key));
    let gone = KeyId::from_bytes([7; 16]);
    assert_eq!(fleet.refused(by, AddRole { key: gone, grant: arm }), Refusal::NotFound(Kind::Key));
    // The system sees both, and grants still do not cross.
    assert_eq!(
        fleet.refused(Who::System, AddRole { key, grant: arm }),
        invalid("grants", "must lie in the organization of the key")
    );
    assert_eq!(
        fleet.refused(Who::System, ChangeRole { key, old: held, new: arm }),
        invalid("new_authorization", "must lie in the organization of the key")
    );
}

#[test]
fn the_last_role_is_not_removed() {
    let mut fleet = Fleet::new();
    let (arm, belt) = (fleet.arm, fleet.belt);
    let key = fleet.key([owner(arm), operator(belt)]);
    fleet.run(fleet.owner, RemoveRole { key, grant: operator(belt) }).unwrap();
    assert!(fleet.journal.last().unwrap().narrows());
    assert_eq!(
        fleet.refused(fleet.owner, RemoveRole { key, grant: owner(arm) }),
        failed_precondition(format!(
            "owner of machine {arm} is all that key {key} may do: delete the key instead"
        ))
    );
}

#[test]
fn a_role_that_is_not_held_is_neither_removed_nor_changed() {
    let mut fleet = Fleet::new();
    let arm = fleet.arm;
    let key = fleet.key([owner(arm), owner(fleet.belt)]);
    for (grant, text) in [
        (operator(arm), format!("key {key} is not operator of machine {arm}")),
        (owner(fleet.hall), format!("key {key} is not owner of location {}", fleet.hall)),
    ] {
        let change = ChangeRole { key, old: grant, new: owner(fleet.yard) };
        assert_eq!(fleet.refused(fleet.owner, RemoveRole { key, grant }), failed_precondition(text.clone()));
        assert_eq!(fleet.refused(fleet.owner, change), failed_precondition(text));
    }
}

#[test]
fn a_role_is_changed_in_one_step() {
    let mut fleet = Fleet::new();
    let (arm, belt) = (fleet.arm, fleet.belt);
    let key = fleet.key([operator(arm), operator(belt)]);
    let change = |old, new| ChangeRole { key, old, new };
    // Upward on the same resource, to another one, and to what it is.
    fleet.run(fleet.owner, change(operator(arm), owner(arm))).unwrap();
    assert_grants(&fleet, key, [owner(arm), operator(belt)]);
    assert!(fleet.journal.last().unwrap().narrows(), "says so where it is not sure");
    fleet.run(fleet.owner, change(owner(arm), owner(fleet.yard))).unwrap();
    assert_grants(&fleet, key, [owner(fleet.yard), operator(belt)]);
    fleet.run_in_vain(fleet.owner, change(operator(belt), operator(belt)));
    // Not onto a resource where there is a role already, whichever.
    for new in [operator(belt), owner(belt)] {
        assert_eq!(
            fleet.refused(fleet.owner, change(owner(fleet.yard), new)),
            Refusal::AlreadyExists(format!("key {key} has another role on machine {belt} already"))
        );
    }
}
