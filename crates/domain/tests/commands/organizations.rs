//! Organizations, and what only the person at the server does.

use domain::command::{
    CreateOrganization, DeleteOrganization, FoundOrganization, ReplaceSigningKey, UpdateOrganization,
};
use domain::{Basis, Kind, OrganizationId, Permission, Refusal, SigningKeyId, View as _};

use crate::fleet::{Fleet, Who, name, operator, owner};
use crate::{denied, denied_on_something_hidden, failed_precondition, invalid};

fn nothing(id: OrganizationId) -> UpdateOrganization {
    UpdateOrganization { id, name: None, public_namespace: None, region: None, cid: None }
}

fn namespace(id: OrganizationId, text: &str) -> UpdateOrganization {
    UpdateOrganization { public_namespace: Some(name(text)), ..nothing(id) }
}

#[test]
fn no_key_makes_one() {
    let mut fleet = Fleet::new();
    let found = FoundOrganization { name: name("third"), key_name: name("first key") };
    let denied = denied_on_something_hidden(Permission::CreateOrganization);
    assert_eq!(fleet.refused(fleet.owner, CreateOrganization { name: name("third") }), denied);
    assert_eq!(fleet.refused(fleet.owner, found.clone()), denied);
    let made = fleet.run(Who::System, CreateOrganization { name: name("third") }).unwrap();
    assert_eq!((made.name.as_str(), made.created_at), ("third", fleet.now));
    assert_eq!(fleet.state.keys_of(made.id).count(), 0);
    let (made, key) = fleet.run(Who::System, found).unwrap();
    assert_eq!(fleet.state.keys_of(made.id).map(|it| it.id).collect::<Vec<_>>(), [key.key.id]);
    let [allowance] = fleet.journal.last().unwrap().allowances() else { panic!("one right was used") };
    assert_eq!((allowance.resource, allowance.basis), (None, Basis::System));
}

#[test]
fn only_its_owners_change_one() {
    let mut fleet = Fleet::new();
    let id = fleet.organization;
    let rename = UpdateOrganization { name: Some(name("x")), ..nothing(id) };
    for by in [operator(id), owner(fleet.hall), owner(fleet.arm)].map(|it| fleet.key([it])) {
        assert_eq!(fleet.refused(by, rename.clone()), denied(Permission::WriteOrganization, id));
        assert_eq!(fleet.refused(by, DeleteOrganization { id }), denied(Permission::DeleteOrganization, id));
    }
    assert_eq!(fleet.refused(fleet.stranger, rename.clone()), Refusal::NotFound(Kind::Organization));
    assert_eq!(fleet.run(fleet.owner, rename.clone()).unwrap().name.as_str(), "x");
    assert!(!fleet.journal.last().unwrap().narrows());
    fleet.run_in_vain(fleet.owner, rename);
    fleet.run_in_vain(fleet.owner, nothing(id));
}

#[test]
fn what_is_absent_stays() {
    let mut fleet = Fleet::new();
    let id = fleet.organization;
    let region = UpdateOrganization { region: Some(name("eu")), ..nothing(id) };
    let cid = UpdateOrganization { cid: Some(name("C-7")), ..nothing(id) };
    fleet.run(fleet.owner, region).unwrap();
    fleet.run(fleet.owner, namespace(id, "acme")).unwrap();
    let after = fleet.run(fleet.owner, cid).unwrap();
    assert_eq!(after.name.as_str(), "organization");
    assert_eq!(after.public_namespace, Some(name("acme")));
    assert_eq!((after.default_region, after.cid), (Some(name("eu")), Some(name("C-7"))));
}

#[test]
fn a_namespace_is_given_once_and_to_one() {
    let mut fleet = Fleet::new();
    let id = fleet.organization;
    fleet.run(fleet.owner, namespace(id, "acme")).unwrap();
    fleet.run_in_vain(fleet.owner, namespace(id, "acme"));
    assert_eq!(
        fleet.refused(fleet.owner, namespace(id, "other")),
        failed_precondition(format!("organization {id} has the namespace acme already"))
    );
    assert_eq!(
        fleet.refused(fleet.stranger, namespace(fleet.elsewhere, "acme")),
        Refusal::AlreadyExists("the namespace acme is taken".to_owned())
    );
    fleet.run(fleet.stranger, namespace(fleet.elsewhere, "acme-2")).unwrap();
}

#[test]
fn a_namespace_is_a_label() {
    let mut fleet = Fleet::new();
    let id = fleet.organization;
    let long = "a".repeat(64);
    let rule = "must be 1 to 63 lower-case letters, digits and dashes, not starting with a dash";
    for bad in ["-acme", "Acme", "ac me", "acmé", "acme.com", "a_b", &long] {
        assert_eq!(
            fleet.refused(fleet.owner, namespace(id, bad)),
            invalid("public_namespace", rule),
            "{bad:?}"
        );
    }
    for good in ["a", "0", "a-b-", &long[..63]] {
        let mut fleet = Fleet::new();
        let id = fleet.organization;
        let after = fleet.run(fleet.owner, namespace(id, good)).unwrap();
        assert_eq!(after.public_namespace, Some(name(good)));
    }
}

#[test]
fn one_with_locations_does_not_end() {
    let mut fleet = Fleet::new();
    let id = fleet.organization;
    let expected = failed_precondition(format!("organization {id} still has locations: delete them first"));
    assert_eq!(fleet.refused(fleet.owner, DeleteOrganization { id }), expected);
    assert_eq!(fleet.refused(Who::System, DeleteOrganization { id }), expected);
}

#[test]
fn signing_keys_are_replaced_at_the_server() {
    let mut fleet = Fleet::new();
    let [first, second, other] = [1, 2, 3].map(|byte| SigningKeyId::from_bytes([byte; 16]));
    let replace = |purpose, id, instead_of| ReplaceSigningKey {
        purpose,
        id,
        sealed: format!("sealed {id}"),
        instead_of,
    };
    assert_eq!(
        fleet.refused(fleet.owner, replace("token-mac", first, vec![])),
        denied_on_something_hidden(Permission::ManageKeys)
    );
    fleet.run(Who::System, replace("token-mac", first, vec![])).unwrap();
    fleet.run(Who::System, replace("jwt", other, vec![])).unwrap();
    assert!(!fleet.journal.last().unwrap().narrows(), "nothing that was signed is void");
    fleet.run(Who::System, replace("token-mac", second, vec![first])).unwrap();
    assert!(fleet.journal.last().unwrap().narrows());
    let mut left: Vec<_> = fleet.state.signing_keys().map(|key| (key.id, key.purpose.as_str())).collect();
    left.sort_unstable();
    assert_eq!(left, [(second, "token-mac"), (other, "jwt")]);
    let key = fleet.state.signing_key(second).unwrap();
    assert_eq!((key.sealed.clone(), key.created_at), (format!("sealed {second}"), fleet.now));
    // What one key has signed for one thing is void for another.
    fleet.run(Who::System, replace("token-mac", other, vec![])).unwrap();
    assert!(fleet.journal.last().unwrap().narrows());
}
