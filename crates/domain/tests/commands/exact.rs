//! Time and randomness are arguments: the same ones give the same ids and the same values.

use domain::KeyHash;
use domain::command::{CreateKey, CreateLocation, CreateMachine, RotateKey};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::fleet::{Fleet, name, owner, secret};

#[test]
fn a_seed_gives_exact_ids_and_values() {
    let mut fleet = Fleet::new();
    fleet.rng = ChaCha20Rng::seed_from_u64(1);
    let (organization, by) = (fleet.organization, fleet.owner);

    let location = CreateLocation { organization, parent: None, name: name("dock") };
    let location = fleet.run(by, location).unwrap();
    assert_eq!(location.id.to_string(), "axihq6nd0g");

    let machine = CreateMachine { location: location.id, name: name("crane"), secret: secret("crane") };
    let machine = fleet.run(by, machine).unwrap();
    assert_eq!(machine.id.to_string(), "01a2076b-4400-7157-912e-0e171f60de9e");

    let grants = vec![owner(machine.id)];
    let key = CreateKey { organization: None, name: name("crane"), grants, expires_at: None };
    let made = fleet.run(by, key).unwrap();
    assert_eq!(made.key.id.to_string(), "01a2076b-4400-752a-a2ee-65511a5d129d");
    assert_eq!(made.value.expose(), "clvk_xrKqfDozs6K4c0YOS6MMun8O8sHiwQYPCdcAbK7VPev2gaExt");
    assert!(made.key.hash.matches(&KeyHash::of("clvk_xrKqfDozs6K4c0YOS6MMun8O8sHiwQYPCdcAbK7VPev2gaExt")));

    let rotated = fleet.run(by, RotateKey { id: made.key.id }).unwrap();
    assert_eq!(rotated.value.expose(), "clvk_FJh19GMH9XmVZQyRRcuQaoRSe5raAtpkmslh6BzuD2O48jyhf");
}

/// 48 bits of milliseconds, so that a list in order of ids is one in order of time.
#[test]
fn ids_start_with_the_time_of_their_creation() {
    let mut fleet = Fleet::new();
    let before = fleet.key([owner(fleet.arm)]);
    fleet.now = domain::Timestamp::from_micros(fleet.now.as_micros() + 1_000);
    let after = fleet.key([owner(fleet.arm)]);
    assert_eq!(before.to_string()[..13], *"01a2076b-4400");
    assert_eq!(after.to_string()[..13], *"01a2076b-4401");
    assert!(before < after);
}
