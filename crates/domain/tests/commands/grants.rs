//! What a key may be given when it is made.

use domain::command::{CreateKey, MAX_GRANTS};
use domain::{Grant, Kind, MachineId, OrganizationId, Permission, Refusal, Timestamp, View as _};

use crate::fleet::{Fleet, Who, name, operator, owner, secret};
use crate::{denied, invalid};

fn create(organization: Option<OrganizationId>, grants: Vec<Grant>) -> CreateKey {
    CreateKey { organization, name: name("a key"), grants, expires_at: None }
}

/// Operators of this many machines, which are there.
fn machines(fleet: &mut Fleet, count: usize) -> Vec<Grant> {
    let make = |fleet: &mut Fleet| {
        let machine = domain::command::CreateMachine {
            location: fleet.yard,
            name: name("one of many"),
            secret: secret("one of many"),
        };
        fleet.run(Who::System, machine).unwrap().id
    };
    (0..count).map(|_| operator(make(fleet))).collect()
}

#[test]
fn there_is_at_least_one() {
    let mut fleet = Fleet::new();
    assert_eq!(
        fleet.refused(fleet.owner, create(None, vec![])),
        invalid("grants", "must name at least one role on a resource")
    );
}

#[test]
fn there_are_at_most_a_hundred() {
    let mut fleet = Fleet::new();
    let many = machines(&mut fleet, 101);
    assert_eq!(MAX_GRANTS, 100);
    let made = fleet.run(fleet.owner, create(None, many[..100].to_vec())).unwrap();
    assert_eq!(fleet.state.key(made.key.id).unwrap().grants.len(), 100);
    assert_eq!(
        fleet.refused(fleet.owner, create(None, many)),
        invalid("grants", "must be at most 100, are 101")
    );
}

/// Counted before anything is looked up: a thousand unknown machines cost nothing.
#[test]
fn a_thousand_are_refused_for_their_number() {
    let mut fleet = Fleet::new();
    let unknown = (0..1_000_u16).map(|number| {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        owner(MachineId::from_bytes(id))
    });
    assert_eq!(
        fleet.refused(fleet.owner, create(None, unknown.collect())),
        invalid("grants", "must be at most 100, are 1000")
    );
}

#[test]
fn a_resource_is_named_once() {
    let mut fleet = Fleet::new();
    let arm = fleet.arm;
    for twice in [[owner(arm), operator(arm)], [owner(arm), owner(arm)]] {
        let rule = format!("must name each resource once; machine {arm} is named twice");
        let grants = vec![twice[0], owner(fleet.belt), twice[1]];
        assert_eq!(fleet.refused(fleet.owner, create(None, grants)), invalid("grants", &rule));
    }
}

#[test]
fn they_are_kept_in_order_of_their_resources() {
    let mut fleet = Fleet::new();
    let grants = vec![owner(fleet.arm), operator(fleet.hall), operator(fleet.organization)];
    let mut sorted = grants.clone();
    sorted.reverse();
    let made = fleet.run(fleet.owner, create(None, grants)).unwrap();
    assert_eq!(&*fleet.state.key(made.key.id).unwrap().grants, sorted);
}

#[test]
fn all_lie_in_one_organization() {
    let mut fleet = Fleet::new();
    let across = vec![owner(fleet.arm), owner(fleet.crane)];
    assert_eq!(
        fleet.refused(Who::System, create(None, across.clone())),
        invalid("grants", "must all lie in one organization")
    );
    // A key cannot even see the other half.
    assert_eq!(fleet.refused(fleet.owner, create(None, across)), Refusal::NotFound(Kind::Machine));
}

#[test]
fn a_named_organization_is_theirs() {
    let mut fleet = Fleet::new();
    let (own, foreign) = (fleet.organization, fleet.elsewhere);
    let grants = vec![owner(fleet.arm)];
    for named in [None, Some(own)] {
        let made = fleet.run(fleet.owner, create(named, grants.clone())).unwrap();
        assert_eq!(made.key.organization, own);
    }
    let rule = format!("must be the organization of machine {}, or one it is shared with", fleet.arm);
    let unknown = OrganizationId::from_bytes([7; 16]);
    for named in [foreign, unknown] {
        assert_eq!(
            fleet.refused(fleet.owner, create(Some(named), grants.clone())),
            invalid("organization_id", &rule)
        );
        // Who may not grant it learns no more than without a name.
        assert_eq!(
            fleet.refused(fleet.stranger, create(Some(named), grants.clone())),
            Refusal::NotFound(Kind::Machine)
        );
    }
}

/// Managing keys is granting permission: an owner may give what lies at or below what they own, not more.
#[test]
fn only_owners_of_all_of_it_may_give_it() {
    let mut fleet = Fleet::new();
    let cell = fleet.key([owner(fleet.cell)]);
    let (arm, eye, hall, annex) = (fleet.arm, fleet.eye, fleet.hall, fleet.annex);
    fleet.run(cell, create(None, vec![operator(fleet.cell), owner(arm), owner(eye)])).unwrap();
    let manage = Permission::ManageKeys;
    assert_eq!(fleet.refused(cell, create(None, vec![operator(hall)])), denied(manage, hall));
    assert_eq!(
        fleet.refused(cell, create(None, vec![owner(arm), operator(fleet.organization)])),
        denied(manage, fleet.organization)
    );
    assert_eq!(fleet.refused(cell, create(None, vec![owner(annex)])), Refusal::NotFound(Kind::Location));
}

#[test]
fn an_expiry_lies_in_the_future() {
    let mut fleet = Fleet::new();
    let mut at = |micros: i64| {
        let expires_at = Some(Timestamp::from_micros(fleet.now.as_micros() + micros));
        let create = CreateKey { expires_at, ..create(None, vec![owner(fleet.arm)]) };
        fleet.run(fleet.owner, create).map(|made| made.key.expires_at == expires_at)
    };
    let past = invalid("expires_at", "must lie in the future; it is 2026-11-23T08:00:00Z now");
    assert_eq!(at(-1), Err(past.clone()));
    assert_eq!(at(0), Err(past));
    assert_eq!(at(1), Ok(true));
}
