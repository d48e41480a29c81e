//! Keys that exist: who may manage them, and what becomes of them.

use domain::command::{
    CreateKey, DeleteKey, DuplicateKey, FoundOrganization, RenameKey, RotateKey, SetKeyExpiry,
};
use domain::{
    Actor, Caller, Denial, KeyId, Kind, Permission, Record, Refusal, Timestamp, View as _, present, verify,
};

use crate::fleet::{Fleet, Who, name, operator, owner};
use crate::{denied, denied_on_something_hidden, failed_precondition, invalid, levels};

const MANAGE: Permission = Permission::ManageKeys;

/// What everything that manages a key answers this caller, which is the same for all of it.
fn managing(fleet: &mut Fleet, by: KeyId, id: KeyId) -> Refusal {
    let refusals = [
        fleet.refused(by, RotateKey { id }),
        fleet.refused(by, DuplicateKey { id }),
        fleet.refused(by, RenameKey { id, name: name("mine now") }),
        fleet.refused(by, SetKeyExpiry { id, expires_at: None }),
        fleet.refused(by, DeleteKey { id }),
    ];
    let [first, others @ ..] = refusals;
    assert!(others.iter().all(|other| *other == first), "{first:?} and {others:?}");
    first
}

/// The same where it is allowed.
fn manage(fleet: &mut Fleet, by: KeyId, id: KeyId) {
    fleet.run(by, RenameKey { id, name: name("renamed") }).unwrap();
    let expires_at = Some(Timestamp::from_micros(fleet.now.as_micros() + 1));
    fleet.run(by, SetKeyExpiry { id, expires_at }).unwrap();
    fleet.run(by, SetKeyExpiry { id, expires_at: None }).unwrap();
    fleet.run(by, DuplicateKey { id }).unwrap();
    fleet.run(by, DeleteKey { id }).unwrap();
    assert!(fleet.state.key(id).is_none());
}

#[test]
fn owners_manage_the_keys_at_and_below_what_they_own() {
    let mut fleet = Fleet::new();
    let levels = levels(&fleet);
    for (held, own) in levels.into_iter().enumerate() {
        let by = fleet.key([owner(own)]);
        for below in &levels[held..] {
            let id = fleet.key([owner(*below)]);
            manage(&mut fleet, by, id);
        }
        for above in &levels[..held] {
            let id = fleet.key([operator(*above)]);
            assert_eq!(managing(&mut fleet, by, id), Refusal::NotFound(Kind::Key), "{own} and {above}");
        }
    }
}

/// Any-of would let the owner of a machine rotate the organization's key and so become its owner.
#[test]
fn owning_a_part_of_what_a_key_reaches_is_not_enough() {
    let mut fleet = Fleet::new();
    let by = fleet.key([owner(fleet.arm)]);
    let wide = fleet.key([owner(fleet.arm), owner(fleet.organization)]);
    assert_eq!(managing(&mut fleet, by, wide), denied(MANAGE, fleet.organization));
    // What the caller cannot see is not named.
    let aside = fleet.key([operator(fleet.arm), operator(fleet.yard)]);
    assert_eq!(managing(&mut fleet, by, aside), denied_on_something_hidden(MANAGE));
    // Owning all the parts is enough, through whichever grants.
    let both = fleet.key([owner(fleet.cell), owner(fleet.yard)]);
    manage(&mut fleet, both, aside);
}

#[test]
fn operators_manage_nothing() {
    let mut fleet = Fleet::new();
    let machine = fleet.key([operator(fleet.arm)]);
    for (by, on) in [
        (fleet.key([operator(fleet.organization)]), fleet.arm),
        (fleet.key([operator(fleet.cell)]), fleet.arm),
        (fleet.key([operator(fleet.arm)]), fleet.arm),
    ] {
        assert_eq!(managing(&mut fleet, by, machine), denied(MANAGE, on));
        let create = CreateKey {
            organization: None,
            name: name("a key"),
            grants: vec![operator(on)],
            expires_at: None,
        };
        assert_eq!(fleet.refused(by, create), denied(MANAGE, on));
    }
    assert_eq!(managing(&mut fleet, machine, machine), denied(MANAGE, fleet.arm), "not even itself");
}

#[test]
fn keys_out_of_sight_are_not_there() {
    let mut fleet = Fleet::new();
    let (yard, arm) = (fleet.key([owner(fleet.yard)]), fleet.key([owner(fleet.arm)]));
    let gone = fleet.key([owner(fleet.arm)]);
    fleet.run(fleet.owner, DeleteKey { id: gone }).unwrap();
    for (by, id) in [(yard, arm), (fleet.stranger, arm), (arm, fleet.owner), (fleet.owner, gone)] {
        assert_eq!(managing(&mut fleet, by, id), Refusal::NotFound(Kind::Key));
    }
}

#[test]
fn an_owner_key_manages_itself() {
    let mut fleet = Fleet::new();
    let key = fleet.key([owner(fleet.arm)]);
    fleet.run(key, RotateKey { id: key }).unwrap();
    manage(&mut fleet, key, key);
}

#[test]
fn a_rotation_changes_the_value_and_nothing_else() {
    let mut fleet = Fleet::new();
    let create = CreateKey {
        organization: None,
        name: name("deploy"),
        grants: vec![owner(fleet.arm), operator(fleet.cell)],
        expires_at: Some(Timestamp::from_micros(fleet.now.as_micros() + 2_000_000)),
    };
    let made = fleet.run(fleet.owner, create).unwrap();
    let (id, old_value, token) = (made.key.id, made.value, Caller::Key { id: made.key.id, generation: 1 });
    fleet.now = Timestamp::from_micros(fleet.now.as_micros() + 1_000_000);
    let rotated = fleet.run(fleet.owner, RotateKey { id }).unwrap();

    let after = fleet.state.key(id).unwrap();
    assert!(!after.hash.matches(&made.key.hash) && after.hash.matches(&rotated.value.hash()));
    assert_eq!((made.key.generation, after.generation), (1, 2));
    assert_eq!((after.id, after.organization, &after.name), (id, made.key.organization, &made.key.name));
    assert_eq!((&after.grants, after.expires_at), (&made.key.grants, made.key.expires_at));
    assert_eq!((after.created_at, after.creator), (made.key.created_at, Actor::Key(fleet.owner)));

    let verified = |value: &str| verify(&fleet.state, &id.to_string(), value, fleet.now).map(|it| it.actor());
    assert_eq!(verified(old_value.expose()), Err(Denial::WrongValue));
    assert_eq!(verified(rotated.value.expose()), Ok(Actor::Key(id)));
    assert_eq!(present(&fleet.state, token, fleet.now).map(drop), Err(Denial::OldGeneration));
    assert!(fleet.journal.last().unwrap().narrows());
}

#[test]
fn generations_end() {
    let mut fleet = Fleet::new();
    let mut key = fleet.state.key(fleet.owner).unwrap().clone();
    key.generation = u32::MAX - 1;
    let id = key.id;
    fleet.state.load(Record::Key(key));
    fleet.run(id, RotateKey { id }).unwrap();
    assert_eq!(
        fleet.refused(id, RotateKey { id }),
        failed_precondition(format!("key {id} cannot be rotated any more: make another"))
    );
}

#[test]
fn a_duplicate_has_the_same_grants_and_the_same_end() {
    let mut fleet = Fleet::new();
    let create = CreateKey {
        organization: None,
        name: name("deploy"),
        grants: vec![owner(fleet.arm), operator(fleet.cell)],
        expires_at: Some(Timestamp::from_micros(fleet.now.as_micros() + 2_000_000)),
    };
    let made = fleet.run(Who::System, create).unwrap();
    fleet.run(fleet.owner, RotateKey { id: made.key.id }).unwrap();
    fleet.now = Timestamp::from_micros(fleet.now.as_micros() + 1_000_000);
    let copy = fleet.run(fleet.owner, DuplicateKey { id: made.key.id }).unwrap();

    assert_ne!(copy.key.id, made.key.id);
    assert_eq!(copy.key.name.as_str(), "deploy (copy)");
    assert_eq!((&copy.key.grants, copy.key.expires_at), (&made.key.grants, made.key.expires_at));
    assert_eq!((copy.key.generation, copy.key.organization), (1, fleet.organization));
    assert_eq!((copy.key.created_at, copy.key.creator), (fleet.now, Actor::Key(fleet.owner)));
    let verified = verify(&fleet.state, &copy.key.id.to_string(), copy.value.expose(), fleet.now);
    assert_eq!(verified.map(|it| it.actor()), Ok(Actor::Key(copy.key.id)));
    assert_eq!(fleet.state.key(made.key.id).unwrap().name.as_str(), "deploy", "the first one stays");
    assert!(!fleet.journal.last().unwrap().narrows());
}

#[test]
fn the_name_of_a_duplicate_stays_a_name() {
    let mut fleet = Fleet::new();
    let key = fleet.key([owner(fleet.arm)]);
    for (given, copied) in [
        ("a", "a (copy)".to_owned()),
        ("a (copy)", "a (copy) (copy)".to_owned()),
        (&"ä".repeat(248), "ä".repeat(248) + " (copy)"),
        (&"ä".repeat(249), "ä".repeat(248) + " (copy)"),
        (&"ä".repeat(255), "ä".repeat(248) + " (copy)"),
    ] {
        fleet.run(fleet.owner, RenameKey { id: key, name: name(given) }).unwrap();
        assert_eq!(fleet.run(fleet.owner, DuplicateKey { id: key }).unwrap().key.name.as_str(), copied);
    }
}

#[test]
fn what_is_so_already_is_not_written_down() {
    let mut fleet = Fleet::new();
    let id = fleet.key([owner(fleet.arm)]);
    assert_eq!(fleet.run_in_vain(id, RenameKey { id, name: name("a key") }).id, id);
    assert_eq!(fleet.run_in_vain(id, SetKeyExpiry { id, expires_at: None }).id, id);
    let expires_at = Some(Timestamp::from_micros(fleet.now.as_micros() + 1));
    assert_eq!(fleet.run(id, SetKeyExpiry { id, expires_at }).unwrap().expires_at, expires_at);
    assert_eq!(fleet.run_in_vain(id, SetKeyExpiry { id, expires_at }).expires_at, expires_at);
}

#[test]
fn an_expiry_is_set_into_the_future_only() {
    let mut fleet = Fleet::new();
    let id = fleet.key([owner(fleet.arm)]);
    let at = |fleet: &Fleet, micros| Some(Timestamp::from_micros(fleet.now.as_micros() + micros));
    let past = invalid("expires_at", "must lie in the future; it is 2026-11-23T08:00:00Z now");
    for micros in [-1, 0] {
        let expires_at = at(&fleet, micros);
        assert_eq!(fleet.refused(fleet.owner, SetKeyExpiry { id, expires_at }), past);
    }
    // Sooner takes something away, later and never give it.
    for (micros, narrows) in [(Some(10), true), (Some(5), true), (Some(20), false), (None, false)] {
        let expires_at = micros.and_then(|micros| at(&fleet, micros));
        fleet.run(fleet.owner, SetKeyExpiry { id, expires_at }).unwrap();
        assert_eq!(fleet.journal.last().unwrap().narrows(), narrows, "{micros:?}");
    }
}

#[test]
fn a_key_is_refused_from_the_microsecond_it_expires_in() {
    let mut fleet = Fleet::new();
    let id = fleet.key([owner(fleet.arm)]);
    let end = fleet.now.as_micros() + 5;
    let expires_at = Some(Timestamp::from_micros(end));
    fleet.run(fleet.owner, SetKeyExpiry { id, expires_at }).unwrap();
    fleet.now = Timestamp::from_micros(end - 1);
    fleet.run(id, RenameKey { id, name: name("still there") }).unwrap();
    fleet.now = Timestamp::from_micros(end);
    let rename = RenameKey { id, name: name("too late") };
    assert_eq!(fleet.refused(id, rename), Refusal::Unauthenticated(Denial::Expired));
    // Others may give it more time.
    fleet.run(fleet.owner, SetKeyExpiry { id, expires_at: None }).unwrap();
    fleet.run(id, RenameKey { id, name: name("back again") }).unwrap();
}

#[test]
fn a_key_remembers_who_made_it() {
    let mut fleet = Fleet::new();
    let by_system = fleet.key([owner(fleet.arm)]);
    assert_eq!(fleet.state.key(by_system).unwrap().creator, Actor::System);
    let grants = vec![operator(fleet.arm)];
    let create = CreateKey { organization: None, name: name("a key"), grants, expires_at: None };
    let by_key = fleet.run(by_system, create).unwrap().key.id;
    assert_eq!(fleet.state.key(by_key).unwrap().creator, Actor::Key(by_system));
    let found = FoundOrganization { name: name("third"), key_name: name("first key") };
    let (organization, first) = fleet.run(Who::System, found).unwrap();
    assert_eq!(first.key.creator, Actor::System);
    assert_eq!(&*first.key.grants, [owner(organization.id)]);
}
