//! Random histories, lived through by the crate and by a naive model of it side by side.
//!
//! The model is written from the words of the documentation and knows no index, no draft and no lineage. Of
//! every command both say whether it is accepted and what it leaves; of every entry, whether somebody lost a
//! right by it and it does not say so. After every few commands both are asked, through somebody's eyes, who
//! may do what to what, who is let in, and what every list shows.
//!
//! The seed is new in every run and stands in what a failure prints; `CLAVIGER_SEED=…` runs it again.

#![cfg(test)]

mod acts;
mod chooser;
mod compare;
mod compare_doors;
mod compare_lists;
mod dice;
mod effects;
mod eyes;
mod invariants;
mod lists;
#[path = "../common/matrix.rs"]
#[expect(dead_code, reason = "the model looks cells up and does not count rows")]
mod matrix;
mod naive;
mod people;
mod rights;
mod rules;
mod rules_keys;
mod standing;
mod tally;
mod world;
mod wrong;

use std::hash::{BuildHasher as _, Hasher as _};

use domain::policy::Reach;
use domain::{Change, Entry, Key, Location, Permission, Record, RecordId, ResourceType, Role};

use dice::Dice;
use matrix::COLUMNS;
use tally::Tally;
use world::World;
use wrong::Wrong;

/// A run is so many histories of so many turns, each turn being one to four commands.
const HISTORIES: u64 = 20;
const TURNS: usize = 130;

fn seed() -> u64 {
    match std::env::var("CLAVIGER_SEED") {
        Ok(text) => text.parse().expect("CLAVIGER_SEED is a number"),
        // The one source of randomness in the standard library.
        Err(_) => std::hash::RandomState::new().build_hasher().finish() >> 32,
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the seed of a failed run is what one needs to run it again")]
fn the_crate_and_the_model_agree() {
    let seed = seed();
    println!("CLAVIGER_SEED={seed}");
    let mut tally = Tally::default();
    for history in 0..HISTORIES {
        let mut world = World::new(seed.wrapping_add(history), None, Entry::narrows);
        if let Err(differs) = world.history(TURNS) {
            panic!("CLAVIGER_SEED={seed}, history {history}: {differs}");
        }
        tally.add(world.tally);
    }
    println!("{tally:#?}");
    tally.assert_broad();
}

#[test]
fn every_wrong_rule_is_found() {
    let seed = seed();
    for wrong in Wrong::ALL {
        find(seed, Some(*wrong), Entry::narrows);
    }
}

/// Some of them: that each one is seen in the table itself, `policy_table` shows.
#[test]
fn wrong_cells_are_found() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    for _ in 0..30 {
        let ((level, role), permission) = (dice.one(&COLUMNS), dice.one(Permission::ALL));
        find(seed, Some(Wrong::Cell(permission, role, level)), Entry::narrows);
    }
}

/// What stays with the organization that shares, and what does not, each the other way round. Only what a role on a
/// location gives can be seen there.
#[test]
fn wrong_homes_are_found() {
    let seed = seed();
    let given = |it: &Permission| it.given_by(Role::Owner, ResourceType::Location);
    let given: Vec<_> = Permission::ALL.iter().copied().filter(given).collect();
    let (mut dice, home) = (Dice::new(seed), given.iter().filter(|it| it.reach() == Reach::Home));
    let some: Vec<_> = (0..10).map(|_| dice.one(&given)).collect();
    for permission in home.copied().chain(some) {
        find(seed, Some(Wrong::Home(permission)), Entry::narrows);
    }
}

/// Entries that do not say what they take away, each in one way.
#[test]
fn every_silent_revocation_is_found() {
    let seed = seed();
    let silent: [fn(&Entry) -> bool; 10] = [
        |entry| {
            entry.narrows() && !touches(entry, |_, after| matches!(after, Change::Delete(RecordId::Key(_))))
        },
        |entry| {
            entry.narrows()
                && !touches(entry, |_, after| matches!(after, Change::Delete(RecordId::SigningKey(_))))
        },
        |entry| entry.narrows() && !location_changes(entry, |before, after| before.parent != after.parent),
        |entry| {
            let shares = |before: &Location, after: &Location| before.shared_with != after.shared_with;
            entry.narrows() && !location_changes(entry, shares)
        },
        |entry| entry.narrows() && !touches(entry, |_, after| matches!(after, Change::Put(Record::User(_)))),
        |entry| {
            entry.narrows() && !touches(entry, |_, after| matches!(after, Change::Put(Record::Machine(_))))
        },
        |entry| {
            entry.narrows() && !touches(entry, |_, after| matches!(after, Change::Put(Record::SigningKey(_))))
        },
        |entry| entry.narrows() && !key_changes(entry, |before, after| before.generation != after.generation),
        |entry| entry.narrows() && !key_changes(entry, |before, after| before.expires_at != after.expires_at),
        |entry| entry.narrows() && !key_changes(entry, |before, after| before.grants != after.grants),
    ];
    for (number, narrows) in silent.into_iter().enumerate() {
        let found = find(seed, None, narrows);
        assert!(found.contains("nobody would wait for it"), "CLAVIGER_SEED={seed}, {number}: {found}");
    }
}

fn touches(entry: &Entry, what: impl Fn(Option<&Record>, &Change) -> bool) -> bool {
    entry.changes_with_before().any(|(change, before)| what(before, change))
}

fn location_changes(entry: &Entry, what: impl Fn(&Location, &Location) -> bool) -> bool {
    touches(entry, |before, change| match (before, change) {
        (Some(Record::Location(before)), Change::Put(Record::Location(after))) => what(before, after),
        _ => false,
    })
}

fn key_changes(entry: &Entry, what: impl Fn(&Key, &Key) -> bool) -> bool {
    touches(entry, |before, change| match (before, change) {
        (Some(Record::Key(before)), Change::Put(Record::Key(after))) => what(before, after),
        _ => false,
    })
}

/// Lives histories with something wrong until the difference is found, and says what it was.
fn find(seed: u64, wrong: Option<Wrong>, narrows: fn(&Entry) -> bool) -> String {
    for history in 0..10 * HISTORIES {
        let mut world = World::new(seed.wrapping_add(history), wrong, narrows);
        if let Err(differs) = world.history(TURNS) {
            return differs;
        }
    }
    panic!("CLAVIGER_SEED={seed}: nobody noticed that {wrong:?} is wrong");
}
