//! Machines: who makes, moves and ends them.

use domain::command::{CreateMachine, DeleteMachine, UpdateMachine};
use domain::{Kind, Part};
use domain::{LocationId, MachineId, Permission, Refusal, Resource, View as _, holds};

use crate::fleet::{Fleet, Who, name, operator, owner, secret};
use crate::{denied, invalid};

fn moved(id: MachineId, to: LocationId) -> UpdateMachine {
    UpdateMachine { id, name: None, location: Some(to) }
}

fn renamed(id: MachineId, to: &str) -> UpdateMachine {
    UpdateMachine { id, name: Some(name(to)), location: None }
}

#[test]
fn a_machine_is_made_with_its_main_part() {
    let mut fleet = Fleet::new();
    let create = CreateMachine { location: fleet.nook, name: name("lathe"), secret: secret("lathe") };
    let made = fleet.run(fleet.owner, create).unwrap();
    assert_eq!((made.location, made.name.as_str(), made.created_at), (fleet.nook, "lathe", fleet.now));
    assert_eq!(fleet.state.machine(made.id), Some(&made));
    let parts: Vec<&Part> = fleet.state.parts_of(made.id).collect();
    assert_eq!(parts.len(), 1);
    assert!(parts[0].main);
    assert_eq!((parts[0].name.as_str(), parts[0].created_at), ("lathe-main", fleet.now));
    assert!(!fleet.journal.last().unwrap().narrows());
    // The part's name stays a name.
    let create = CreateMachine { location: fleet.nook, name: name(&"ä".repeat(255)), secret: secret("ä") };
    let made = fleet.run(fleet.owner, create).unwrap();
    let part = fleet.state.parts_of(made.id).next().unwrap();
    assert_eq!(part.name.as_str(), "ä".repeat(250) + "-main");
}

#[test]
fn owners_of_the_place_make_them() {
    let mut fleet = Fleet::new();
    let create = |location| CreateMachine { location, name: name("lathe"), secret: secret("lathe") };
    let by = fleet.key([owner(fleet.cell)]);
    fleet.run(by, create(fleet.cell)).unwrap();
    fleet.run(by, create(fleet.nook)).unwrap();
    let permission = Permission::CreateMachine;
    assert_eq!(fleet.refused(by, create(fleet.hall)), denied(permission, fleet.hall));
    assert_eq!(fleet.refused(by, create(fleet.annex)), Refusal::NotFound(Kind::Location));
    assert_eq!(fleet.refused(by, renamed(fleet.cart, "x")), Refusal::NotFound(Kind::Machine));
    let cell = fleet.cell;
    for by in [operator(fleet.organization), operator(cell), owner(fleet.arm)].map(|it| fleet.key([it])) {
        assert_eq!(fleet.refused(by, create(cell)), denied(permission, cell));
    }
}

#[test]
fn owners_rename_and_operators_do_not() {
    let mut fleet = Fleet::new();
    let arm = fleet.arm;
    for by in [owner(fleet.organization), owner(fleet.hall), owner(arm)].map(|it| fleet.key([it])) {
        let text = by.to_string();
        assert_eq!(fleet.run(by, renamed(arm, &text)).unwrap().name.as_str(), text);
        assert!(!fleet.journal.last().unwrap().narrows());
        fleet.run_in_vain(by, renamed(arm, &text));
        fleet.run_in_vain(by, moved(arm, fleet.cell));
        fleet.run_in_vain(by, UpdateMachine { id: arm, name: None, location: None });
    }
    for by in [operator(fleet.organization), operator(fleet.cell), operator(arm)].map(|it| fleet.key([it])) {
        assert_eq!(fleet.refused(by, renamed(arm, "x")), denied(Permission::WriteRobot, arm));
    }
    assert_eq!(fleet.refused(fleet.stranger, renamed(arm, "x")), Refusal::NotFound(Kind::Machine));
}

/// "Move allowed; needs owner on source and destination location."
#[test]
fn moving_takes_the_owner_of_both_places() {
    let mut fleet = Fleet::new();
    let (arm, cell, annex, yard) = (fleet.arm, fleet.cell, fleet.annex, fleet.yard);
    let permission = Permission::MoveMachine;
    let of_machine = fleet.key([owner(arm)]);
    assert_eq!(fleet.refused(of_machine, moved(arm, yard)), denied(permission, arm));
    let of_machine_and_target = fleet.key([owner(arm), owner(yard)]);
    assert_eq!(fleet.refused(of_machine_and_target, moved(arm, yard)), denied(permission, arm));
    let of_source = fleet.key([owner(cell)]);
    assert_eq!(fleet.refused(of_source, moved(arm, yard)), Refusal::NotFound(Kind::Location));
    let mixed = fleet.key([owner(cell), operator(yard)]);
    assert_eq!(fleet.refused(mixed, moved(arm, yard)), denied(permission, yard));
    let of_hall = fleet.key([owner(fleet.hall)]);
    assert_eq!(fleet.run(of_hall, moved(arm, annex)).unwrap().location, annex);
    let of_both = fleet.key([owner(annex), owner(yard)]);
    assert_eq!(fleet.run(of_both, moved(arm, yard)).unwrap().location, yard);
}

/// "Location-derived access switches at once; machine-scoped keys keep working."
#[test]
fn who_reaches_a_machine_changes_with_its_place() {
    let mut fleet = Fleet::new();
    let [of_cell, of_yard] = [operator(fleet.cell), operator(fleet.yard)].map(|it| fleet.key([it]));
    let of_machine = fleet.key([operator(fleet.arm)]);
    let control = |fleet: &Fleet| {
        let arm = Resource::Machine(fleet.arm);
        [of_cell, of_yard, of_machine]
            .map(|key| holds(&fleet.state, &fleet.principal(key), Permission::ControlRobot, arm))
    };
    assert_eq!(control(&fleet), [true, false, true]);
    fleet.run(fleet.owner, moved(fleet.arm, fleet.yard)).unwrap();
    assert_eq!(control(&fleet), [false, true, true]);
    assert!(fleet.journal.last().unwrap().narrows());
}

#[test]
fn a_machine_stays_in_its_organization() {
    let mut fleet = Fleet::new();
    let (arm, depot) = (fleet.arm, fleet.depot);
    assert_eq!(
        fleet.refused(Who::System, moved(arm, depot)),
        invalid("location", "must lie in the machine's organization")
    );
    assert_eq!(fleet.refused(fleet.owner, moved(arm, depot)), Refusal::NotFound(Kind::Location));
}

#[test]
fn owners_end_a_machine_and_operators_do_not() {
    let mut fleet = Fleet::new();
    let arm = fleet.arm;
    for by in [operator(fleet.organization), operator(fleet.cell), operator(arm)].map(|it| fleet.key([it])) {
        assert_eq!(fleet.refused(by, DeleteMachine { id: arm }), denied(Permission::DeleteMachine, arm));
    }
    assert_eq!(fleet.refused(fleet.stranger, DeleteMachine { id: arm }), Refusal::NotFound(Kind::Machine));
    let by = fleet.key([owner(arm)]);
    fleet.run(by, DeleteMachine { id: arm }).unwrap();
    assert!(fleet.state.key(by).is_none(), "the key goes with what it was for");
}

#[test]
fn parts_and_grants_go_with_a_machine() {
    let mut fleet = Fleet::new();
    let arm = fleet.arm;
    let part = fleet.state.parts_of(arm).next().unwrap().id;
    let alone = [owner(arm), operator(arm)].map(|grant| fleet.key([grant]));
    let more = fleet.key([owner(arm), operator(fleet.belt), operator(fleet.yard)]);
    fleet.run(fleet.owner, DeleteMachine { id: arm }).unwrap();
    assert!(fleet.journal.last().unwrap().narrows());
    assert!(fleet.state.machine(arm).is_none() && fleet.state.part(part).is_none());
    assert!(alone.iter().all(|key| fleet.state.key(*key).is_none()));
    assert_eq!(&*fleet.state.key(more).unwrap().grants, [operator(fleet.yard), operator(fleet.belt)]);
    assert_eq!(fleet.state.holders(Resource::Machine(arm)).count(), 0);
    assert_eq!(fleet.refused(fleet.owner, DeleteMachine { id: arm }), Refusal::NotFound(Kind::Machine));
}
