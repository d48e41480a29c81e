//! Secrets of parts and locations: who makes and ends them, and who is nobody afterwards.

use domain::command::{
    CreateLocationSecret, CreatePartSecret, DeleteLocation, DeleteLocationSecret, DeletePartSecret,
    MAX_SECRETS, UpdateMachine,
};
use domain::{Denial, DocumentKind, Kind, PartId, Permission, Refusal, View as _, present, verify_part};

use crate::fleet::{Fleet, operator, owner, secret};
use crate::{denied, failed_precondition, invalid};

fn arm(fleet: &Fleet) -> PartId {
    fleet.state.parts_of(fleet.arm).next().unwrap().id
}

fn created(part: PartId, text: &str) -> CreatePartSecret {
    CreatePartSecret { part, secret: secret(text) }
}

fn known_by(fleet: &Fleet, text: &str) -> Result<domain::Caller, Denial> {
    verify_part(&fleet.state, &arm(fleet).to_string(), text).map(|it| it.caller())
}

#[test]
fn a_secret_is_replaced_by_making_another_first() {
    let mut fleet = Fleet::new();
    let (by, part) = (fleet.key([owner(fleet.arm)]), arm(&fleet));
    // The fixture's machines are made with their names.
    let old = fleet.state.part(part).unwrap().secrets[0].id;
    let caller = known_by(&fleet, "arm").unwrap();
    let text = format!("secret {old} is the last one of part {part}: create another first");
    let delete = DeletePartSecret { part, secret: old };
    assert_eq!(fleet.refused(by, delete), failed_precondition(text));

    let made = fleet.run(by, created(part, "new")).unwrap();
    assert!(!fleet.journal.last().unwrap().narrows());
    let ids: Vec<_> = made.secrets.iter().map(|it| it.id).collect();
    assert_eq!(ids, [old, secret("new").id]);
    known_by(&fleet, "new").unwrap();
    known_by(&fleet, "arm").unwrap();

    fleet.run(by, delete).unwrap();
    let entry = fleet.journal.last().unwrap();
    assert!(entry.narrows(), "who authenticated with it is waited for");
    let gone: Vec<_> =
        entry.documents().iter().map(|it| (it.kind, it.id.clone(), it.content.is_some())).collect();
    assert_eq!(gone, [(DocumentKind::Secret, old.to_string(), false)]);
    assert_eq!(known_by(&fleet, "arm"), Err(Denial::WrongValue));
    assert_eq!(present(&fleet.state, caller, fleet.now).err(), Some(Denial::UnknownSecret));
    known_by(&fleet, "new").unwrap();
    let unknown = invalid("secret_id", "must be the id of one of its secrets");
    assert_eq!(fleet.refused(by, delete), unknown);
}

#[test]
fn there_is_room_for_ten() {
    let mut fleet = Fleet::new();
    let (by, part, cell) = (fleet.owner, arm(&fleet), fleet.cell);
    for number in 1..MAX_SECRETS {
        fleet.run(by, created(part, &format!("secret {number}"))).unwrap();
    }
    let full = "a part has at most 10 secrets: delete one first".to_owned();
    assert_eq!(fleet.refused(by, created(part, "more")), failed_precondition(full));
    for number in 0..MAX_SECRETS {
        let secret = secret(&format!("secret of a location {number}"));
        fleet.run(by, CreateLocationSecret { location: cell, secret }).unwrap();
    }
    let full = "a location has at most 10 secrets: delete one first".to_owned();
    let more = CreateLocationSecret { location: cell, secret: secret("more") };
    assert_eq!(fleet.refused(by, more), failed_precondition(full));
}

#[test]
fn operators_and_strangers_touch_none() {
    let mut fleet = Fleet::new();
    let (part, cell, machine) = (arm(&fleet), fleet.cell, fleet.arm);
    let id = fleet.state.part(part).unwrap().secrets[0].id;
    for by in [operator(fleet.organization), operator(cell), operator(machine)].map(|it| fleet.key([it])) {
        let no = denied(Permission::WriteRobot, machine);
        assert_eq!(fleet.refused(by, created(part, "x")), no);
        assert_eq!(fleet.refused(by, DeletePartSecret { part, secret: id }), no);
    }
    let no = Refusal::NotFound(Kind::Part);
    assert_eq!(fleet.refused(fleet.stranger, created(part, "x")), no);
    assert_eq!(fleet.refused(fleet.stranger, DeletePartSecret { part, secret: id }), no);

    // The secret of a location opens all its machines: not for the owner of one.
    let create = || CreateLocationSecret { location: cell, secret: secret("x") };
    let delete = DeleteLocationSecret { location: cell, secret: id };
    for by in [operator(fleet.organization), operator(cell), owner(machine)].map(|it| fleet.key([it])) {
        assert_eq!(fleet.refused(by, create()), denied(Permission::WriteLocation, cell));
        assert_eq!(fleet.refused(by, delete), denied(Permission::WriteLocation, cell));
    }
    assert_eq!(fleet.refused(fleet.stranger, create()), Refusal::NotFound(Kind::Location));
}

#[test]
fn a_secret_of_the_location_holds_while_the_machine_stands_there() {
    let mut fleet = Fleet::new();
    let (by, cell) = (fleet.key([owner(fleet.cell)]), fleet.cell);
    assert_eq!(fleet.state.location(cell).unwrap().secrets.len(), 0);
    fleet.run(by, CreateLocationSecret { location: cell, secret: secret("of cell") }).unwrap();
    let caller = known_by(&fleet, "of cell").unwrap();
    let to = |location| UpdateMachine { id: fleet.arm, name: None, location: Some(location) };
    let (away, back) = (to(fleet.yard), to(cell));
    fleet.run(fleet.owner, away).unwrap();
    assert!(fleet.journal.last().unwrap().narrows());
    assert!(present(&fleet.state, caller, fleet.now).is_err());
    fleet.run(fleet.owner, back).unwrap();
    assert!(present(&fleet.state, caller, fleet.now).is_ok());
    // The last one of a location may go: its parts have their own.
    fleet.run(by, DeleteLocationSecret { location: cell, secret: secret("of cell").id }).unwrap();
    assert!(fleet.journal.last().unwrap().narrows());
    assert!(present(&fleet.state, caller, fleet.now).is_err());
    known_by(&fleet, "arm").unwrap();
}

#[test]
fn secrets_go_with_their_location() {
    let mut fleet = Fleet::new();
    let create = CreateLocationSecret { location: fleet.annex, secret: secret("of annex") };
    fleet.run(fleet.owner, create).unwrap();
    fleet.run(fleet.owner, DeleteLocation { id: fleet.annex }).unwrap();
    let entry = fleet.journal.last().unwrap();
    let gone: Vec<_> =
        entry.documents().iter().map(|it| (it.kind, it.id.clone(), it.content.is_some())).collect();
    assert_eq!(
        gone,
        [
            (DocumentKind::Secret, secret("of annex").id.to_string(), false),
            (DocumentKind::Metadata, format!("location:{}", fleet.annex), false),
        ]
    );
}

#[test]
fn no_entry_and_no_debug_tells_a_secret() {
    let mut fleet = Fleet::new();
    let create = created(arm(&fleet), "new");
    assert!(!format!("{create:?}").contains("sealed new"));
    fleet.run(fleet.owner, create).unwrap();
    let entry = fleet.journal.last().unwrap();
    let text = entry.encode().unwrap();
    assert!(!text.contains("sealed") && !format!("{entry:?}").contains("sealed new"), "{text}");
}
