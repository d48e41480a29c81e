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
mod compare;
mod compare_lists;
mod dice;
mod effects;
mod invariants;
mod lists;
#[path = "../common/matrix.rs"]
#[expect(dead_code, reason = "the model looks cells up and does not count rows")]
mod matrix;
mod naive;
mod rules;
mod standing;
mod tally;
mod world;

use std::hash::{BuildHasher as _, Hasher as _};

use domain::{Change, Entry, Key, Permission, Record, RecordId};

use dice::Dice;
use matrix::COLUMNS;
use naive::Wrong;
use tally::Tally;
use world::World;

/// A run is so many histories of so many turns, each turn being one to four commands.
const HISTORIES: u64 = 12;
const TURNS: usize = 100;

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
        find(seed, Some(wrong), Entry::narrows);
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

/// Entries that do not say what they take away, each in one way.
#[test]
fn every_silent_revocation_is_found() {
    let seed = seed();
    let silent: [fn(&Entry) -> bool; 8] = [
        |entry| {
            entry.narrows() && !touches(entry, |_, after| matches!(after, Change::Delete(RecordId::Key(_))))
        },
        |entry| {
            entry.narrows()
                && !touches(entry, |_, after| matches!(after, Change::Delete(RecordId::SigningKey(_))))
        },
        |entry| {
            entry.narrows() && !touches(entry, |_, after| matches!(after, Change::Put(Record::Location(_))))
        },
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

fn key_changes(entry: &Entry, what: impl Fn(&Key, &Key) -> bool) -> bool {
    touches(entry, |before, change| match (before, change) {
        (Some(Record::Key(before)), Change::Put(Record::Key(after))) => what(before, after),
        _ => false,
    })
}

/// Lives histories with something wrong until the difference is found, and says what it was.
fn find(seed: u64, wrong: Option<Wrong>, narrows: fn(&Entry) -> bool) -> String {
    for history in 0..4 * HISTORIES {
        let mut world = World::new(seed.wrapping_add(history), wrong, narrows);
        if let Err(differs) = world.history(TURNS) {
            return differs;
        }
    }
    panic!("CLAVIGER_SEED={seed}: nobody noticed that {wrong:?} is wrong");
}
