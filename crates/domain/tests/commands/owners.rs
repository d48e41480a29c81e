//! An organization that has an owner for good keeps one.

use domain::command::{
    AddRole, ChangeRole, CreateKey, DeleteKey, DeleteOrganization, FoundOrganization, RecoverOwner,
    RemoveRole, RotateKey, SetKeyExpiry,
};
use domain::{KeyId, Kind, OrganizationId, Permission, Refusal, Timestamp, View as _};

use crate::fleet::{Fleet, Who, name, operator, owner};
use crate::{denied_on_something_hidden, failed_precondition};

/// Every way to lose an owner, each of which is refused for the same reason.
fn assert_kept(fleet: &mut Fleet, last: KeyId, by: impl Into<Who> + Copy) {
    let organization = fleet.organization;
    let (held, other) = (owner(organization), operator(fleet.yard));
    if fleet.state.key(last).unwrap().grants.len() == 1 {
        fleet.run(by, AddRole { key: last, grant: other }).unwrap();
    }
    let expires_at = Some(Timestamp::from_micros(fleet.now.as_micros() + 1_000_000_000));
    let expected = failed_precondition(format!(
        "key {last} is the last owner of organization {organization} that does not expire: \
         give another key or a member the owner role first"
    ));
    let lower = ChangeRole { key: last, old: held, new: operator(organization) };
    let elsewhere = ChangeRole { key: last, old: held, new: owner(fleet.hall) };
    assert_eq!(fleet.refused(by, DeleteKey { id: last }), expected);
    assert_eq!(fleet.refused(by, SetKeyExpiry { id: last, expires_at }), expected);
    assert_eq!(fleet.refused(by, RemoveRole { key: last, grant: held }), expected);
    assert_eq!(fleet.refused(by, lower), expected);
    assert_eq!(fleet.refused(by, elsewhere), expected);
}

#[test]
fn the_last_owner_stays() {
    let mut fleet = Fleet::new();
    let last = fleet.owner;
    assert_kept(&mut fleet, last, last);
    assert_kept(&mut fleet, last, Who::System);
    // What does not concern the ownership is free.
    fleet.run(last, RotateKey { id: last }).unwrap();
    let (old, new) = (operator(fleet.yard), owner(fleet.annex));
    fleet.run(last, ChangeRole { key: last, old, new }).unwrap();
    fleet.run(last, RemoveRole { key: last, grant: new }).unwrap();
}

#[test]
fn of_two_owners_either_may_go_and_then_the_other_stays() {
    type Lose = fn(&mut Fleet, KeyId) -> Result<(), Refusal>;
    let ways: [Lose; 4] = [
        |fleet, id| fleet.run(fleet.owner, DeleteKey { id }),
        |fleet, id| {
            let expires_at = Some(Timestamp::from_micros(fleet.now.as_micros() + 1));
            fleet.run(fleet.owner, SetKeyExpiry { id, expires_at }).map(drop)
        },
        |fleet, key| fleet.run(fleet.owner, RemoveRole { key, grant: owner(fleet.organization) }),
        |fleet, key| {
            let (old, new) = (owner(fleet.organization), operator(fleet.organization));
            fleet.run(fleet.owner, ChangeRole { key, old, new })
        },
    ];
    for lose in ways {
        let mut fleet = Fleet::new();
        let second = fleet.key([owner(fleet.organization), operator(fleet.yard)]);
        lose(&mut fleet, second).unwrap();
        let last = fleet.owner;
        assert_kept(&mut fleet, last, last);
    }
    // The first one may go as well.
    let mut fleet = Fleet::new();
    let second = fleet.key([owner(fleet.organization)]);
    fleet.run(second, DeleteKey { id: fleet.owner }).unwrap();
    assert_kept(&mut fleet, second, second);
}

#[test]
fn who_expires_or_owns_less_does_not_count() {
    let mut fleet = Fleet::new();
    let expires_at = Some(Timestamp::from_micros(fleet.now.as_micros() + 1_000_000_000_000));
    let create = CreateKey {
        organization: None,
        name: name("for a while"),
        grants: vec![owner(fleet.organization)],
        expires_at,
    };
    let expiring = fleet.run(fleet.owner, create).unwrap().key.id;
    fleet.key([owner(fleet.hall), owner(fleet.yard)]);
    fleet.key([operator(fleet.organization)]);
    let last = fleet.owner;
    assert_kept(&mut fleet, last, last);
    // One that expires may go whenever, and counts once it lasts.
    fleet.run(fleet.owner, SetKeyExpiry { id: expiring, expires_at: None }).unwrap();
    fleet.run(expiring, DeleteKey { id: fleet.owner }).unwrap();
    assert_kept(&mut fleet, expiring, expiring);
}

/// The owner of another organization is none of this one.
#[test]
fn each_organization_keeps_its_own() {
    let mut fleet = Fleet::new();
    fleet.key([owner(fleet.elsewhere)]);
    let last = fleet.owner;
    assert_kept(&mut fleet, last, last);
}

#[test]
fn an_organization_goes_with_its_last_owner() {
    let mut fleet = Fleet::new();
    let found = FoundOrganization { name: name("third"), key_name: name("first key") };
    let (third, first) = fleet.run(Who::System, found).unwrap();
    let (id, first) = (third.id, first.key.id);
    let others = [fleet.key([operator(id)]), fleet.key([owner(id)])];
    fleet.run(first, DeleteOrganization { id }).unwrap();
    assert!(fleet.state.organization(id).is_none());
    assert!([first, others[0], others[1]].iter().all(|key| fleet.state.key(*key).is_none()));
    assert_eq!(fleet.state.count(Kind::Organization), 2);
}

#[test]
fn only_the_person_at_the_server_recovers_an_owner() {
    let mut fleet = Fleet::new();
    let recover = |organization| RecoverOwner { organization, key_name: name("recovered") };
    let organization = fleet.organization;
    assert_eq!(
        fleet.refused(fleet.owner, recover(organization)),
        denied_on_something_hidden(Permission::ManageKeys)
    );
    let unknown = OrganizationId::from_bytes([7; 16]);
    assert_eq!(fleet.refused(Who::System, recover(unknown)), Refusal::NotFound(Kind::Organization));
    let made = fleet.run(Who::System, recover(organization)).unwrap();
    assert_eq!(&*made.key.grants, [owner(organization)]);
    assert_eq!((made.key.organization, made.key.expires_at), (organization, None));
    assert_eq!(made.key.name.as_str(), "recovered");
    fleet.run(made.key.id, DeleteKey { id: fleet.owner }).unwrap();
}
