//! The policy, printed whole by really asking, and held against an independent copy of its rows.

#![cfg(test)]

#[path = "common/fleet.rs"]
#[expect(dead_code, reason = "the printed policy asks, and changes nothing")]
mod fleet;
#[path = "common/matrix.rs"]
mod matrix;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use domain::command::{CreateKey, ShareLocation};
use domain::policy::Reach;
use domain::{Grant, KeyId, Permission, Refusal, Resource, ResourceType, Role, authorize};
use fleet::{Fleet, IntoResource as _, Who};
use matrix::{COLUMNS, HOME, MATRIX, PUBLIC, WIDE};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/policy.txt");
const REGENERATE: &str = "UPDATE_SNAPSHOTS=1 cargo test -p domain --test policy_table";

const HEAD: &str = "\
Who may do what.

A block is one permission, a column one role, held on an organization (org), a location or a machine.
A line is what the question is asked about, seen from the resource the role is held on:

  the resource itself     what the role is held on
  what is below it        a location or machine inside it (every one of them answers alike)
  the location above      the location it stands in, where it stands in one
  the organization above  the organization it belongs to
  a sibling               another one of its kind, next to it

The last block is one of its own: there a location is shared with another organization, and a line is a permission,
asked on that location and on what is below it. A column is what somebody holds in that organization: a role on the
whole of it, or one on the shared location. Whatever stands above the location is not found, for all of them.

An answer is one of:

  allowed    yes
  denied     no, and the caller learns which permission is missing
  not found  no, and the caller does not learn that the thing exists
  .          there is no such thing to ask about

";

/// As wide as the longest answer at least.
const TITLES: [&str; 6] =
    ["org owner", "org operator", "location owner", "location operator", "machine owner", "machine operator"];

/// One column: a key that holds one role, and the things it is asked about.
struct Column {
    key: KeyId,
    /// By line of a block.
    targets: [Vec<Resource>; 5],
}

const LINES: [&str; 5] =
    ["the resource itself", "what is below it", "the location above", "the organization above", "a sibling"];

#[test]
fn the_printed_policy_is_the_committed_one() {
    let printed = print_policy();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(SNAPSHOT, &printed).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(SNAPSHOT).unwrap_or_default();
    let differing = committed.lines().zip(printed.lines()).position(|(old, new)| old != new);
    let line = differing.unwrap_or_else(|| committed.lines().count().min(printed.lines().count()));
    assert!(
        committed == printed,
        "the policy differs from tests/snapshots/policy.txt, first in line {}:\n  committed: {}\n  now:       {}\n\
         If every change is meant, regenerate and have somebody read the difference:\n  {REGENERATE}",
        line + 1,
        committed.lines().nth(line).unwrap_or("(end)"),
        printed.lines().nth(line).unwrap_or("(end)"),
    );
}

#[test]
fn the_table_is_the_one_of_the_documentation() {
    assert_eq!(differences(Permission::given_by, Permission::reach), Vec::<String>::new());
}

#[test]
fn every_mutated_cell_is_seen() {
    for &permission in Permission::ALL {
        for (level, role) in COLUMNS {
            let mutated = |asked: Permission, of: Role, at: ResourceType| {
                asked.given_by(of, at) != ((asked, of, at) == (permission, role, level))
            };
            let seen = differences(mutated, Permission::reach);
            assert_eq!(seen, [format!("{} for the {role} of a {level}", permission.name())]);
        }
        let mutated = |asked: Permission| match (asked == permission, asked.reach()) {
            (true, Reach::Down) => Reach::Home,
            (true, Reach::Home) => Reach::Wide,
            (true, Reach::Wide) => Reach::Down,
            (false, reach) => reach,
        };
        let seen = differences(Permission::given_by, mutated);
        assert_eq!(seen, [format!("the reach of {}", permission.name())]);
    }
}

#[test]
fn viams_names_come_first_and_are_all_there() {
    let names: Vec<_> = Permission::ALL.iter().map(|permission| permission.name()).collect();
    let (viams, ours) = names.split_at(Permission::PUBLIC);
    assert_eq!(Permission::PUBLIC, PUBLIC);
    assert_eq!(sorted(viams), sorted(&MATRIX.map(|(name, _)| name)[..PUBLIC]));
    assert_eq!(sorted(ours), sorted(&MATRIX.map(|(name, _)| name)[PUBLIC..]));
}

#[test]
fn names_find_their_permission_and_nothing_else_does() {
    for &permission in Permission::ALL {
        assert_eq!(Permission::by_name(permission.name()), Some(permission));
    }
    for unknown in ["", "permission", "READ_ROBOT", "read_robot ", "read_robots"] {
        assert_eq!(Permission::by_name(unknown), None, "{unknown:?}");
    }
}

fn sorted<'a>(names: &[&'a str]) -> BTreeSet<&'a str> {
    let set: BTreeSet<_> = names.iter().copied().collect();
    assert_eq!(set.len(), names.len(), "a name stands there twice");
    set
}

/// Where a policy differs from the rows of the documentation.
fn differences(
    given_by: impl Fn(Permission, Role, ResourceType) -> bool,
    reach: impl Fn(Permission) -> Reach,
) -> Vec<String> {
    let mut found = vec![];
    for &permission in Permission::ALL {
        for (level, role) in COLUMNS {
            if matrix::cell(permission, role, level) != Some(given_by(permission, role, level)) {
                found.push(format!("{} for the {role} of a {level}", permission.name()));
            }
        }
        let expected = match permission.name() {
            name if WIDE.contains(&name) => Reach::Wide,
            name if HOME.contains(&name) => Reach::Home,
            _ => Reach::Down,
        };
        if reach(permission) != expected {
            found.push(format!("the reach of {}", permission.name()));
        }
    }
    found
}

fn print_policy() -> String {
    let mut fleet = Fleet::new();
    let columns = columns(&mut fleet);
    let mut text = HEAD.to_owned();
    for (number, &permission) in Permission::ALL.iter().enumerate() {
        if number == 0 {
            text.push_str("==== The permissions of Viam's clients ====\n\n");
        }
        if number == Permission::PUBLIC {
            text.push_str("==== Our own, for what has no public name ====\n\n");
        }
        writeln!(text, "{:36}{}", permission.name(), row(TITLES)).unwrap();
        for (line, label) in LINES.iter().enumerate() {
            let answers = columns.each_ref().map(|it| answer(&fleet, it.key, permission, &it.targets[line]));
            writeln!(text, "  {label:34}{}", row(answers)).unwrap();
        }
        text.push('\n');
    }
    print_shares(&mut fleet, &mut text);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

const THROUGH_SHARES: [(&str, ResourceType, Role); 4] = [
    ("org owner", ResourceType::Organization, Role::Owner),
    ("org operator", ResourceType::Organization, Role::Operator),
    ("location owner", ResourceType::Location, Role::Owner),
    ("location operator", ResourceType::Location, Role::Operator),
];

/// What the other organization may on a shared location.
fn print_shares(fleet: &mut Fleet, text: &mut String) {
    let (shared, organization) = (fleet.cell, fleet.elsewhere);
    fleet.run(Who::System, ShareLocation { id: shared, organization }).unwrap();
    let shared = shared.resource();
    let keys = THROUGH_SHARES.map(|(_, level, role)| {
        let resource = if level == ResourceType::Location { shared } else { organization.resource() };
        let (name, grants) = (fleet::name("a key"), vec![Grant { role, resource }]);
        let create = CreateKey { organization: Some(organization), name, grants, expires_at: None };
        fleet.run(Who::System, create).unwrap().key.id
    });
    let [nook, hall] = [fleet.nook, fleet.hall].map(|location| location.resource());
    let machines = [fleet.arm, fleet.belt, fleet.eye].map(|machine| machine.resource());
    let below: Vec<_> = [shared, nook].into_iter().chain(machines).collect();
    let above = [hall, fleet.organization.resource()];
    text.push_str("==== On a location that is shared with another organization ====\n\n");
    let padded = |cells: [&str; 4]| {
        let cells = cells.iter().zip(THROUGH_SHARES);
        let cells = cells.map(|(cell, (title, ..))| format!("  {cell:width$}", width = title.len()));
        cells.collect::<String>().trim_end().to_owned()
    };
    writeln!(text, "{:36}{}", "", padded(THROUGH_SHARES.map(|(title, ..)| title))).unwrap();
    for &permission in Permission::ALL {
        let answers = keys.map(|key| answer(fleet, key, permission, &below));
        writeln!(text, "{:36}{}", permission.name(), padded(answers)).unwrap();
        let hidden = keys.map(|key| answer(fleet, key, permission, &above));
        assert_eq!(hidden, ["not found"; 4], "{} above what is shared", permission.name());
    }
}

fn row(cells: [&str; 6]) -> String {
    let cells = cells.iter().zip(TITLES);
    let padded: String = cells.map(|(cell, title)| format!("  {cell:width$}", width = title.len())).collect();
    padded.trim_end().to_owned()
}

/// The roles are held on the organization, on a location in the middle of the hierarchy and on a machine in it.
fn columns(fleet: &mut Fleet) -> [Column; 6] {
    let organization = fleet.organization.resource();
    let [hall, cell, nook] = [fleet.hall, fleet.cell, fleet.nook].map(|location| location.resource());
    let [annex, yard] = [fleet.annex, fleet.yard].map(|location| location.resource());
    let [arm, belt, eye] = [fleet.arm, fleet.belt, fleet.eye].map(|machine| machine.resource());
    let (cart, elsewhere) = (fleet.cart.resource(), fleet.elsewhere.resource());
    let below_organization = vec![hall, cell, nook, annex, yard, arm, belt, eye, cart];
    let targets = |level| match level {
        ResourceType::Organization => {
            [vec![organization], below_organization.clone(), vec![], vec![], vec![elsewhere]]
        }
        ResourceType::Location => {
            [vec![cell], vec![nook, arm, belt, eye], vec![hall], vec![organization], vec![annex]]
        }
        ResourceType::Machine => [vec![arm], vec![], vec![cell, hall], vec![organization], vec![belt]],
    };
    let mut column = |(level, role)| {
        let targets = targets(level);
        let grant = Grant { role, resource: targets[0][0] };
        Column { key: fleet.key([grant]), targets }
    };
    COLUMNS.map(&mut column)
}

/// What all of the targets answer.
fn answer(fleet: &Fleet, key: KeyId, permission: Permission, targets: &[Resource]) -> &'static str {
    let answers: BTreeSet<_> = targets
        .iter()
        .map(|target| match authorize(&fleet.state, &fleet.principal(key), permission, *target) {
            Ok(_) => "allowed",
            Err(Refusal::PermissionDenied { .. }) => "denied",
            Err(Refusal::NotFound(_)) => "not found",
            Err(other) => panic!("{} on {target}: {other}", permission.name()),
        })
        .collect();
    assert!(answers.len() <= 1, "{} is answered {answers:?} on {targets:?}", permission.name());
    answers.first().copied().unwrap_or(".")
}
