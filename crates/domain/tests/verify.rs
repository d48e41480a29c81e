//! Who is let in, and for which reason who is not.

#![cfg(test)]

#[path = "common/fleet.rs"]
#[expect(dead_code, reason = "nobody is refused a command here")]
mod fleet;

use domain::command::{DeleteKey, RotateKey, SetKeyExpiry};
use domain::{Actor, Caller, Denial, KeyId, KeyValue, Principal, Refusal, Timestamp, present, verify};
use fleet::{Fleet, Who, owner};

/// A fleet, a key of it and the value of that key.
fn fleet() -> (Fleet, KeyId, String) {
    let mut fleet = Fleet::new();
    let id = fleet.key([owner(fleet.arm)]);
    let value = fleet.run(Who::System, RotateKey { id }).unwrap().value.expose().to_owned();
    (fleet, id, value)
}

fn let_in(fleet: &Fleet, id: &str, value: &str) -> Result<Actor, Denial> {
    verify(&fleet.state, id, value, fleet.now).map(|principal| principal.actor())
}

#[test]
fn an_id_and_its_value_are_let_in() {
    let (fleet, id, value) = fleet();
    let text = id.to_string();
    for id_text in [text.clone(), text.to_uppercase(), text.replace('-', "")] {
        assert_eq!(let_in(&fleet, &id_text, &value), Ok(Actor::Key(id)), "{id_text}");
    }
    let principal = verify(&fleet.state, &text, &value, fleet.now).unwrap();
    assert_eq!(principal.caller(), Caller::Key { id, generation: 2 });
    assert_eq!(principal.grants().collect::<Vec<_>>(), [&owner(fleet.arm)]);
    assert!(principal.belongs_to(fleet.organization));
}

#[test]
fn what_is_no_id_is_told_from_what_is_no_value() {
    let (fleet, id, value) = fleet();
    let (id, unknown) = (id.to_string(), KeyId::from_bytes([7; 16]).to_string());
    for bad in ["", "x", &id[1..], &format!("{{{id}}}"), &format!(" {id}"), &value] {
        assert_eq!(let_in(&fleet, bad, &value), Err(Denial::MalformedId), "{bad:?}");
    }
    let typo = value.replace(char::from(value.as_bytes()[20]), "_");
    let swapped = format!("clvk_{}", value[5..].chars().rev().collect::<String>());
    let huge = value.repeat(1_000_000 / value.len());
    for bad in ["", "x", &value[1..], &typo, &swapped, &value.to_uppercase(), &format!("{value} "), &huge] {
        for id in [&id, &unknown] {
            assert_eq!(let_in(&fleet, id, bad), Err(Denial::MalformedValue), "{:?}", bad.get(..60));
        }
    }
}

#[test]
fn each_reason_has_its_name_and_none_is_told() {
    let (mut fleet, id, value) = fleet();
    let text = id.to_string();
    let wrong = KeyValue::generate(&mut fleet.rng).expose().to_owned();
    let unknown = KeyId::from_bytes([7; 16]).to_string();
    assert_eq!(let_in(&fleet, &unknown, &value), Err(Denial::UnknownKey));
    assert_eq!(let_in(&fleet, &text, &wrong), Err(Denial::WrongValue));
    let end = Timestamp::from_micros(fleet.now.as_micros() + 1);
    fleet.run(Who::System, SetKeyExpiry { id, expires_at: Some(end) }).unwrap();
    assert_eq!(let_in(&fleet, &text, &value), Ok(Actor::Key(id)));
    fleet.now = end;
    assert_eq!(let_in(&fleet, &text, &value), Err(Denial::Expired));
    // Nobody learns from a guess that a key has expired.
    assert_eq!(let_in(&fleet, &text, &wrong), Err(Denial::WrongValue));
    fleet.run(Who::System, DeleteKey { id }).unwrap();
    assert_eq!(let_in(&fleet, &text, &value), Err(Denial::UnknownKey));
    for denial in Denial::ALL {
        assert_eq!(Refusal::Unauthenticated(denial).to_string(), "invalid credentials");
    }
}

#[test]
fn a_caller_is_who_they_are_now() {
    let (mut fleet, id, _) = fleet();
    let who = |fleet: &Fleet, generation| {
        present(&fleet.state, Caller::Key { id, generation }, fleet.now).map(|principal| principal.actor())
    };
    assert_eq!(who(&fleet, 2), Ok(Actor::Key(id)));
    for other in [0, 1, 3, u32::MAX] {
        assert_eq!(who(&fleet, other), Err(Denial::OldGeneration));
    }
    let end = Timestamp::from_micros(fleet.now.as_micros() + 1);
    fleet.run(Who::System, SetKeyExpiry { id, expires_at: Some(end) }).unwrap();
    assert_eq!(who(&fleet, 2), Ok(Actor::Key(id)));
    fleet.now = end;
    assert_eq!(who(&fleet, 2), Err(Denial::Expired));
    assert_eq!(who(&fleet, 1), Err(Denial::OldGeneration));
    fleet.run(Who::System, DeleteKey { id }).unwrap();
    assert_eq!(who(&fleet, 2), Err(Denial::UnknownKey));
}

#[test]
fn the_system_needs_no_key() {
    let fleet = Fleet::new();
    let principal = present(&fleet.state, Caller::System, fleet.now).unwrap();
    assert_eq!((principal.actor(), principal.caller()), (Actor::System, Caller::System));
    assert_eq!(principal.holdings().count(), 0);
    assert_eq!(Principal::SYSTEM.actor(), Actor::System);
}
