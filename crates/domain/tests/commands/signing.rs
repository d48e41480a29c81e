//! The authority's own keys: taken away, and sealed anew.

use domain::command::{ReplaceSigningKey, ResealSigningKeys, RetireSigningKeys};
use domain::{Kind, Permission, Refusal, SigningKeyId, View as _};

use crate::denied_on_something_hidden;
use crate::fleet::{Fleet, Who};

fn id(byte: u8) -> SigningKeyId {
    SigningKeyId::from_bytes([byte; 16])
}

/// A fleet whose authority has the keys 1 and 2.
fn with_two() -> Fleet {
    let mut fleet = Fleet::new();
    for id in [id(1), id(2)] {
        let sealed = format!("sealed {id}");
        let add = ReplaceSigningKey { purpose: "token-mac", id, sealed, instead_of: vec![] };
        fleet.run(Who::System, add).unwrap();
    }
    fleet
}

#[test]
fn they_are_taken_away_at_the_server() {
    let mut fleet = with_two();
    let retire = |ids: &[SigningKeyId]| RetireSigningKeys { ids: ids.to_vec() };
    let denied = denied_on_something_hidden(Permission::ManageKeys);
    assert_eq!(fleet.refused(fleet.owner, retire(&[id(1)])), denied);
    fleet.run(Who::System, retire(&[id(1), id(9)])).unwrap();
    assert!(fleet.journal.last().unwrap().narrows());
    assert!(fleet.state.signing_key(id(1)).is_none() && fleet.state.signing_key(id(2)).is_some());
    // What is gone is gone: nothing is written.
    let entries = fleet.journal.len();
    fleet.run(Who::System, retire(&[id(1)])).unwrap();
    assert_eq!(fleet.journal.len(), entries);
}

#[test]
fn they_are_sealed_anew_at_the_server_and_stay_the_same_keys() {
    let mut fleet = with_two();
    let reseal = |ids: &[SigningKeyId]| ResealSigningKeys {
        sealed: ids.iter().map(|id| (*id, format!("anew {id}"))).collect(),
    };
    let denied = denied_on_something_hidden(Permission::ManageKeys);
    assert_eq!(fleet.refused(fleet.owner, reseal(&[id(1)])), denied);
    let missing = Refusal::NotFound(Kind::SigningKey);
    assert_eq!(fleet.refused(Who::System, reseal(&[id(1), id(9)])), missing);
    let before = [id(1), id(2)].map(|id| fleet.state.signing_key(id).unwrap().clone());
    let entries = fleet.journal.len();
    fleet.run(Who::System, reseal(&[id(1), id(2)])).unwrap();
    assert_eq!(fleet.journal.len(), entries + 1, "all in one entry");
    for key in before {
        let after = fleet.state.signing_key(key.id).unwrap();
        assert_eq!((&after.purpose, after.created_at), (&key.purpose, key.created_at));
        assert_eq!(after.sealed, format!("anew {}", key.id));
    }
}
