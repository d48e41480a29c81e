//! Locations: who makes, moves and ends them, and how deep they nest.

use domain::command::{
    CreateLocation, CreateMachine, DeleteLocation, DeleteMachine, NewParent, UpdateLocation,
};
use domain::{KeyId, Kind, LocationId, Permission, Refusal, View as _};

use crate::fleet::{Fleet, Who, name, operator, owner, secret};
use crate::{denied, failed_precondition, invalid};

fn moved(id: LocationId, parent: NewParent) -> UpdateLocation {
    UpdateLocation { id, name: None, parent: Some(parent), region: None }
}

fn into(id: LocationId, parent: LocationId) -> UpdateLocation {
    moved(id, NewParent::Location(parent))
}

fn too_deep(levels: usize) -> Refusal {
    invalid("parent_location_id", &format!("must leave locations nested at most 3 deep; this makes {levels}"))
}

#[test]
fn only_owners_of_the_organization_make_them() {
    let mut fleet = Fleet::new();
    let organization = fleet.organization;
    let top = CreateLocation { organization, parent: None, name: name("dock") };
    let nested = CreateLocation { parent: Some(fleet.hall), ..top.clone() };
    let made = fleet.run(fleet.owner, nested.clone()).unwrap();
    assert_eq!((made.organization, made.parent), (organization, Some(fleet.hall)));
    assert_eq!((made.name.as_str(), made.region.as_ref(), made.created_at), ("dock", None, fleet.now));
    assert_eq!(fleet.run(Who::System, top.clone()).unwrap().parent, None);
    for by in [owner(fleet.hall), operator(organization), operator(fleet.hall)].map(|it| fleet.key([it])) {
        for create in [&top, &nested] {
            assert_eq!(fleet.refused(by, create.clone()), denied(Permission::CreateLocation, organization));
        }
    }
    assert_eq!(fleet.refused(fleet.stranger, top), Refusal::NotFound(Kind::Organization));
}

#[test]
fn a_parent_lies_in_the_same_organization() {
    let mut fleet = Fleet::new();
    let (organization, unknown) = (fleet.organization, LocationId::generate(&mut fleet.rng));
    for parent in [fleet.depot, unknown] {
        let create = CreateLocation { organization, parent: Some(parent), name: name("dock") };
        assert_eq!(fleet.refused(Who::System, create.clone()), Refusal::NotFound(Kind::Location));
        assert_eq!(fleet.refused(fleet.owner, create), Refusal::NotFound(Kind::Location));
        assert_eq!(fleet.refused(Who::System, into(fleet.yard, parent)), Refusal::NotFound(Kind::Location));
        assert_eq!(fleet.refused(fleet.owner, into(fleet.yard, parent)), Refusal::NotFound(Kind::Location));
    }
}

#[test]
fn they_nest_three_deep() {
    let mut fleet = Fleet::new();
    let organization = fleet.organization;
    let below = |parent| CreateLocation { organization, parent: Some(parent), name: name("niche") };
    fleet.run(fleet.owner, below(fleet.cell)).unwrap();
    assert_eq!(fleet.refused(fleet.owner, below(fleet.nook)), too_deep(4));
    // What is moved brings what is nested in it: cell holds nook.
    assert_eq!(fleet.refused(fleet.owner, into(fleet.cell, fleet.annex)), too_deep(4));
    assert_eq!(fleet.refused(fleet.owner, into(fleet.hall, fleet.yard)), too_deep(4));
    assert_eq!(fleet.refused(fleet.owner, into(fleet.yard, fleet.nook)), too_deep(4));
    fleet.run(fleet.owner, into(fleet.cell, fleet.yard)).unwrap();
    fleet.run(fleet.owner, into(fleet.yard, fleet.hall)).unwrap_err();
    fleet.run(fleet.owner, into(fleet.nook, fleet.annex)).unwrap();
    assert_eq!(fleet.state.location(fleet.nook).unwrap().parent, Some(fleet.annex));
}

#[test]
fn none_lies_inside_itself() {
    let mut fleet = Fleet::new();
    let inside = invalid("parent_location_id", "must not be the location itself or lie inside it");
    for (id, parent) in [
        (fleet.annex, fleet.annex),
        (fleet.hall, fleet.hall),
        (fleet.cell, fleet.nook),
        (fleet.hall, fleet.cell),
        (fleet.hall, fleet.nook),
    ] {
        assert_eq!(fleet.refused(fleet.owner, into(id, parent)), inside);
    }
}

/// Location owners move "only to locations they also have access to".
#[test]
fn moving_takes_the_right_at_both_ends() {
    let mut fleet = Fleet::new();
    let (cell, nook, annex, yard) = (fleet.cell, fleet.nook, fleet.annex, fleet.yard);
    let of_cell = fleet.key([owner(cell)]);
    let of_both = fleet.key([owner(cell), owner(yard)]);
    let mixed = fleet.key([owner(cell), operator(yard)]);
    assert_eq!(fleet.refused(of_cell, into(nook, yard)), Refusal::NotFound(Kind::Location));
    assert_eq!(fleet.refused(of_cell, into(nook, annex)), Refusal::NotFound(Kind::Location));
    assert_eq!(fleet.refused(mixed, into(nook, yard)), denied(Permission::MoveLocation, yard));
    fleet.run(of_both, into(nook, yard)).unwrap();
    assert!(fleet.journal.last().unwrap().narrows(), "who owned the cell has lost it");
    assert_eq!(fleet.refused(of_cell, into(nook, cell)), Refusal::NotFound(Kind::Location));
}

/// Owners of a location may move what they own about inside of it.
#[test]
fn location_owners_move_inside_their_own() {
    let mut fleet = Fleet::new();
    let by = fleet.key([owner(fleet.hall)]);
    fleet.run(by, into(fleet.nook, fleet.hall)).unwrap();
    fleet.run(by, into(fleet.nook, fleet.annex)).unwrap();
}

#[test]
fn to_the_top_is_for_owners_of_the_organization() {
    let mut fleet = Fleet::new();
    let cell = fleet.cell;
    let by = fleet.key([owner(fleet.hall)]);
    assert_eq!(
        fleet.refused(by, moved(cell, NewParent::Top)),
        denied(Permission::CreateLocation, fleet.organization)
    );
    fleet.run(fleet.owner, moved(cell, NewParent::Top)).unwrap();
    assert_eq!(fleet.state.location(cell).unwrap().parent, None);
    // Where it is already, nobody asks for a right to move.
    let by = fleet.key([owner(cell)]);
    fleet.run_in_vain(by, moved(cell, NewParent::Top));
}

#[test]
fn operators_and_machine_owners_change_none() {
    let mut fleet = Fleet::new();
    let cell = fleet.cell;
    for by in [operator(fleet.organization), operator(cell), owner(fleet.arm)].map(|it| fleet.key([it])) {
        let rename = UpdateLocation { id: cell, name: Some(name("x")), parent: None, region: None };
        assert_eq!(fleet.refused(by, rename), denied(Permission::WriteLocation, cell));
        assert_eq!(fleet.refused(by, into(cell, fleet.annex)), denied(Permission::WriteLocation, cell));
        assert_eq!(fleet.refused(by, DeleteLocation { id: cell }), denied(Permission::DeleteLocation, cell));
    }
}

#[test]
fn what_is_absent_stays_and_what_is_so_already_is_not_written_down() {
    let mut fleet = Fleet::new();
    let id = fleet.cell;
    let by = fleet.key([owner(id)]);
    let update = |name, region| UpdateLocation { id, name, parent: None, region };
    let renamed = fleet.run(by, update(Some(name("den")), None)).unwrap();
    assert_eq!((renamed.name.as_str(), renamed.parent, renamed.region), ("den", Some(fleet.hall), None));
    let placed = fleet.run(by, update(None, Some(name("eu")))).unwrap();
    assert_eq!((placed.name.as_str(), placed.region), ("den", Some(name("eu"))));
    assert!(!fleet.journal.last().unwrap().narrows());
    fleet.run_in_vain(by, update(None, None));
    fleet.run_in_vain(by, update(Some(name("den")), Some(name("eu"))));
    fleet.run_in_vain(by, into(id, fleet.hall));
}

#[test]
fn only_empty_ones_end() {
    let mut fleet = Fleet::new();
    let (cell, nook) = (fleet.cell, fleet.nook);
    let by = fleet.key([owner(cell)]);
    let machines =
        |id| failed_precondition(format!("location {id} still holds machines: move or delete them first"));
    let locations =
        |id| failed_precondition(format!("location {id} still holds locations: move or delete them first"));
    assert_eq!(fleet.refused(by, DeleteLocation { id: cell }), machines(cell));
    for machine in [fleet.arm, fleet.belt] {
        fleet.run(by, DeleteMachine { id: machine }).unwrap();
    }
    assert_eq!(fleet.refused(by, DeleteLocation { id: cell }), locations(cell));
    assert_eq!(fleet.refused(by, DeleteLocation { id: nook }), machines(nook));
    fleet.run(by, DeleteMachine { id: fleet.eye }).unwrap();
    fleet.run(by, DeleteLocation { id: nook }).unwrap();
    // Their own last: the key goes with what it was for.
    fleet.run(by, DeleteLocation { id: cell }).unwrap();
    assert!(fleet.state.location(cell).is_none() && fleet.state.key(by).is_none());
}

#[test]
fn keys_lose_what_ends_and_end_with_their_last_grant() {
    let mut fleet = Fleet::new();
    let annex = fleet.annex;
    let alone: [KeyId; 2] = [owner(annex), operator(annex)].map(|grant| fleet.key([grant]));
    let more = fleet.key([owner(annex), operator(fleet.yard)]);
    let above = fleet.key([owner(fleet.hall)]);
    fleet.run(above, DeleteLocation { id: annex }).unwrap();
    assert!(fleet.journal.last().unwrap().narrows());
    assert!(alone.iter().all(|key| fleet.state.key(*key).is_none()));
    assert_eq!(&*fleet.state.key(more).unwrap().grants, [operator(fleet.yard)]);
    assert_eq!(&*fleet.state.key(above).unwrap().grants, [owner(fleet.hall)]);
    // A new one with the same place in the world is another one.
    let create = CreateMachine { location: annex, name: name("ghost"), secret: secret("ghost") };
    assert_eq!(fleet.refused(Who::System, create), Refusal::NotFound(Kind::Location));
}
