//! Parts: who makes, configures and ends them, and where they are found.

use domain::command::{
    AskForRestart, CreateMachine, CreatePart, DeleteMachine, DeletePart, MAX_PARTS, MarkAsMain,
    UpdateMachine, UpdatePart,
};
use domain::{
    Configuration, DocumentKind, Kind, MachineId, Part, PartId, Permission, Refusal, Revision, Timestamp,
    View as _, query,
};

use crate::fleet::{Fleet, Who, name, operator, owner, secret};
use crate::{denied, failed_precondition};

fn main_part(fleet: &Fleet, machine: MachineId) -> Part {
    fleet.state.parts_of(machine).find(|part| part.main).unwrap().clone()
}

fn created(machine: MachineId, text: &str) -> CreatePart {
    CreatePart { machine, name: name(text), secret: secret(text) }
}

fn renamed(id: PartId, text: &str) -> UpdatePart {
    UpdatePart { id, name: Some(name(text)), configuration: None, last_known_update: None }
}

fn configured(id: PartId, text: &str) -> UpdatePart {
    let configuration = Some(Configuration::parse(text.to_owned()).unwrap());
    UpdatePart { id, name: None, configuration, last_known_update: None }
}

/// What the newest entry does to documents: kind, id, whether it is there afterwards.
fn documents(fleet: &Fleet) -> Vec<(DocumentKind, String, bool)> {
    let documents = fleet.journal.last().unwrap().documents().iter();
    documents.map(|it| (it.kind, it.id.clone(), it.content.is_some())).collect()
}

#[test]
fn owners_add_parts_and_operators_do_not() {
    let mut fleet = Fleet::new();
    let arm = fleet.arm;
    for by in [owner(fleet.organization), owner(fleet.hall), owner(arm)].map(|it| fleet.key([it])) {
        let made = fleet.run(by, created(arm, &by.to_string())).unwrap();
        assert_eq!((made.machine, made.main, made.revision), (arm, false, 0));
        assert_eq!(made.secrets.len(), 1);
        assert_eq!(documents(&fleet), [(DocumentKind::Secret, made.secrets[0].id.to_string(), true)]);
        assert_eq!(fleet.state.part(made.id), Some(&made));
    }
    for by in [operator(fleet.organization), operator(fleet.cell), operator(arm)].map(|it| fleet.key([it])) {
        assert_eq!(fleet.refused(by, created(arm, "x")), denied(Permission::WriteRobot, arm));
    }
    assert_eq!(fleet.refused(fleet.stranger, created(arm, "x")), Refusal::NotFound(Kind::Machine));
}

#[test]
fn a_machine_has_each_name_once_and_not_endless_parts() {
    let mut fleet = Fleet::new();
    let by = fleet.owner;
    let taken = Refusal::AlreadyExists("part_name: the machine has a part with this name already".to_owned());
    assert_eq!(fleet.refused(by, created(fleet.arm, "arm-main")), taken);
    let left = fleet.run(by, created(fleet.arm, "left")).unwrap();
    let taken = Refusal::AlreadyExists("name: the machine has a part with this name already".to_owned());
    assert_eq!(fleet.refused(by, renamed(left.id, "arm-main")), taken);
    fleet.run(by, created(fleet.belt, "left")).unwrap();
    for number in 2..MAX_PARTS {
        fleet.run(by, created(fleet.arm, &format!("part {number}"))).unwrap();
    }
    let full = format!("machine {} has 100 parts, and no machine has more", fleet.arm);
    assert_eq!(fleet.refused(by, created(fleet.arm, "one more")), failed_precondition(full));
}

/// A part has no rights of its own, and reads like one that is not there to who does not see its machine.
#[test]
fn only_owners_of_the_machine_change_its_parts() {
    let mut fleet = Fleet::new();
    let part = main_part(&fleet, fleet.arm).id;
    let other = fleet.run(fleet.owner, created(fleet.arm, "left")).unwrap().id;
    let operators = [operator(fleet.organization), operator(fleet.cell), operator(fleet.arm)];
    for by in operators.map(|it| fleet.key([it])) {
        let no = denied(Permission::WriteRobot, fleet.arm);
        assert_eq!(fleet.refused(by, renamed(part, "x")), no);
        assert_eq!(fleet.refused(by, configured(part, "{}")), no);
        assert_eq!(fleet.refused(by, MarkAsMain { id: other }), no);
        assert_eq!(fleet.refused(by, AskForRestart { id: part }), no);
        assert_eq!(fleet.refused(by, DeletePart { id: other }), no);
    }
    let neighbour = fleet.key([owner(fleet.belt)]);
    for by in [fleet.stranger, neighbour] {
        let no = Refusal::NotFound(Kind::Part);
        assert_eq!(fleet.refused(by, renamed(part, "x")), no);
        assert_eq!(fleet.refused(by, configured(part, "{}")), no);
        assert_eq!(fleet.refused(by, MarkAsMain { id: other }), no);
        assert_eq!(fleet.refused(by, AskForRestart { id: part }), no);
        assert_eq!(fleet.refused(by, DeletePart { id: other }), no);
    }
}

#[test]
fn each_configuration_is_a_revision_and_the_last_hundred_stay() {
    let mut fleet = Fleet::new();
    let id = main_part(&fleet, fleet.arm).id;
    let by = fleet.key([owner(fleet.arm)]);
    let text = "{ \"b\": 1.0,\n \"a\": 12345678901234567890 }";
    let part = fleet.run(by, configured(id, text)).unwrap();
    assert_eq!(part.revision, 1);
    let document = fleet.journal.last().unwrap().documents()[0].clone();
    assert_eq!((document.kind, &document.id), (DocumentKind::Configuration, &format!("{id}/0000000001")));
    let revision = Revision::decode(&document.id, document.content.as_deref().unwrap()).unwrap();
    assert_eq!(revision.configuration.as_str(), text);
    assert_eq!((revision.by_name.unwrap(), revision.part_name), (name("a key"), name("arm-main")));
    assert_eq!(Some(revision.at), part.configured_at);
    // Not even the hash of it is in the record: it is in the entry.
    assert!(fleet.journal.last().unwrap().encode().unwrap().contains(&document.hash().unwrap()));

    for number in 2..=100 {
        assert_eq!(fleet.run(by, configured(id, "{}")).unwrap().revision, number);
        assert_eq!(documents(&fleet).len(), 1);
    }
    fleet.run(by, configured(id, "{}")).unwrap();
    assert_eq!(
        documents(&fleet),
        [
            (DocumentKind::Configuration, format!("{id}/0000000101"), true),
            (DocumentKind::Configuration, format!("{id}/0000000001"), false),
        ]
    );
    // With the machine goes what is there: revisions 2 to 101, the secret, what is noted down.
    let part = fleet.state.part(id).unwrap().clone();
    fleet.run(by, DeleteMachine { id: fleet.arm }).unwrap();
    let gone = documents(&fleet);
    assert!(gone.iter().all(|(_, _, there)| !there));
    let ids = |kind| gone.iter().filter(|it| it.0 == kind).map(|it| it.1.clone()).collect::<Vec<_>>();
    let kept: Vec<_> = (2..=101).map(|number| Revision::document_id(id, number)).collect();
    assert_eq!(ids(DocumentKind::Configuration), kept);
    assert_eq!(ids(DocumentKind::Secret), [part.secrets[0].id.to_string()]);
    assert_eq!(ids(DocumentKind::Metadata), [format!("part:{id}"), format!("machine:{}", fleet.arm)]);
}

#[test]
fn who_knows_an_older_one_is_told_so() {
    let mut fleet = Fleet::new();
    let (by, before) = (fleet.owner, main_part(&fleet, fleet.arm));
    let knows =
        |at: Timestamp, text| UpdatePart { last_known_update: Some(at), ..configured(before.id, text) };
    let first = fleet.run(by, knows(before.last_updated(), "{\"a\":1}")).unwrap();
    assert!(first.last_updated() > before.last_updated());
    // Two who knew the same: the second loses, and nothing of the first is lost.
    let text = format!(
        "part {} was configured at {}, which is after last_known_update: read it again and repeat the change",
        before.id,
        first.last_updated()
    );
    assert_eq!(fleet.refused(by, knows(before.last_updated(), "{\"a\":2}")), Refusal::Aborted(text));
    // In the same instant as well: each revision has a time of its own.
    let second = fleet.run(by, knows(first.last_updated(), "{\"a\":3}")).unwrap();
    assert_eq!(second.last_updated().as_micros(), first.last_updated().as_micros() + 1_000);
    assert!(matches!(fleet.refused(by, knows(first.last_updated(), "{}")), Refusal::Aborted(_)));
    // A name alone is held to it too; without the time nothing is checked.
    let rename = UpdatePart { last_known_update: Some(first.last_updated()), ..renamed(before.id, "x") };
    assert!(matches!(fleet.refused(by, rename), Refusal::Aborted(_)));
    fleet.run(by, configured(before.id, "{\"a\":4}")).unwrap();
}

/// JavaScript cuts off what is finer than a millisecond.
#[test]
fn a_time_that_was_cut_off_is_understood() {
    let mut fleet = Fleet::new();
    fleet.now = Timestamp::from_micros(fleet.now.as_micros() + 999);
    let made = fleet.run(fleet.owner, created(fleet.arm, "left")).unwrap();
    let cut = |at: Timestamp| Some(Timestamp::from_micros(at.as_micros() / 1_000 * 1_000));
    for _ in 0..3 {
        let known = fleet.state.part(made.id).unwrap().last_updated();
        let update = UpdatePart { last_known_update: cut(known), ..configured(made.id, "{}") };
        fleet.run(fleet.owner, update).unwrap();
    }
}

#[test]
fn nothing_new_is_nothing_written() {
    let mut fleet = Fleet::new();
    let part = main_part(&fleet, fleet.arm);
    let nothing = UpdatePart { id: part.id, name: None, configuration: None, last_known_update: None };
    fleet.run_in_vain(fleet.owner, nothing);
    fleet.run_in_vain(fleet.owner, renamed(part.id, "arm-main"));
    fleet.run_in_vain(fleet.owner, MarkAsMain { id: part.id });
}

#[test]
fn one_part_is_the_main_one_and_stays() {
    let mut fleet = Fleet::new();
    let (by, first) = (fleet.owner, main_part(&fleet, fleet.arm).id);
    let second = fleet.run(by, created(fleet.arm, "left")).unwrap().id;
    let text = format!(
        "part {first} is the main part of its machine: mark another as main first, or delete the machine"
    );
    assert_eq!(fleet.refused(by, DeletePart { id: first }), failed_precondition(text));
    fleet.run(by, MarkAsMain { id: second }).unwrap();
    assert_eq!(main_part(&fleet, fleet.arm).id, second);
    assert_eq!(fleet.state.parts_of(fleet.arm).filter(|part| part.main).count(), 1);
    fleet.run(by, configured(first, "{}")).unwrap();
    fleet.run(by, DeletePart { id: first }).unwrap();
    assert!(fleet.journal.last().unwrap().narrows());
    assert!(fleet.state.part(first).is_none());
    assert!(documents(&fleet).contains(&(DocumentKind::Configuration, format!("{first}/0000000001"), false)));
}

#[test]
fn a_restart_is_asked_for_by_its_time() {
    let mut fleet = Fleet::new();
    let part = main_part(&fleet, fleet.arm);
    assert_eq!(part.restart_asked_at, None);
    fleet.run(fleet.owner, AskForRestart { id: part.id }).unwrap();
    assert_eq!(fleet.state.part(part.id).unwrap().restart_asked_at, Some(fleet.now));
}

fn found(fleet: &Fleet, address: &str) -> Option<PartId> {
    query::part_by_address(&fleet.state, address)
}

#[test]
fn an_address_follows_the_name_and_the_place() {
    let mut fleet = Fleet::new();
    let (by, part) = (fleet.owner, main_part(&fleet, fleet.arm));
    let before = format!("arm-main-{}", fleet.cell);
    assert_eq!(part.label.as_str(), before);
    for address in [before.clone(), before.to_uppercase(), format!("{before}.local.example.com")] {
        assert_eq!(found(&fleet, &address), Some(part.id), "{address}");
    }
    let renamed = fleet.run(by, renamed(part.id, "Left Arm")).unwrap();
    assert_eq!(renamed.label.as_str(), format!("left-arm-{}", fleet.cell));
    assert_eq!(found(&fleet, &before), None);

    let to = UpdateMachine { id: fleet.arm, name: None, location: Some(fleet.yard) };
    fleet.run(by, to).unwrap();
    let after = format!("left-arm-{}", fleet.yard);
    assert_eq!(fleet.state.part(part.id).unwrap().label.as_str(), after);
    assert_eq!((found(&fleet, renamed.label.as_str()), found(&fleet, &after)), (None, Some(part.id)));
    fleet.run(by, DeleteMachine { id: fleet.arm }).unwrap();
    assert_eq!(found(&fleet, &after), None);
}

#[test]
fn two_of_one_name_have_two_addresses() {
    let mut fleet = Fleet::new();
    let (by, first) = (fleet.owner, main_part(&fleet, fleet.arm));
    let twin = CreateMachine { location: fleet.cell, name: name("arm"), secret: secret("twin") };
    let twin = fleet.run(by, twin).unwrap().id;
    let second = main_part(&fleet, twin);
    assert_eq!(second.name, first.name);
    assert_ne!(second.label, first.label);
    assert_eq!(found(&fleet, first.label.as_str()), Some(first.id));
    assert_eq!(found(&fleet, second.label.as_str()), Some(second.id));
    // One that keeps its name keeps its address, whatever becomes of the other.
    fleet.run(by, DeleteMachine { id: fleet.arm }).unwrap();
    fleet.run(by, configured(second.id, "{}")).unwrap();
    assert_eq!(found(&fleet, second.label.as_str()), Some(second.id));

    // Parts of one machine whose names differ and whose labels would not: both move.
    let [one, other] = ["Camera", "camera"].map(|text| fleet.run(by, created(twin, text)).unwrap());
    assert_ne!(one.label, other.label);
    fleet.run(by, UpdateMachine { id: twin, name: None, location: Some(fleet.yard) }).unwrap();
    for part in [second.id, one.id, other.id].map(|id| fleet.state.part(id).unwrap().clone()) {
        assert!(part.label.as_str().ends_with(&fleet.yard.to_string()));
        assert_eq!(found(&fleet, part.label.as_str()), Some(part.id));
    }
}

#[test]
fn a_name_leads_to_one_part_or_to_none() {
    let mut fleet = Fleet::new();
    let arm = main_part(&fleet, fleet.arm);
    let ask = |fleet: &Fleet, by, text| {
        query::part_by_name(&fleet.state, &fleet.principal(by), text, fleet.cell).map(|part| part.id)
    };
    let by = fleet.key([operator(fleet.arm)]);
    assert_eq!(ask(&fleet, by, "arm-main"), Ok(arm.id));
    assert_eq!(ask(&fleet, by, "belt-main"), Err(Refusal::NotFound(Kind::Part)));
    assert_eq!(ask(&fleet, fleet.stranger, "arm-main"), Err(Refusal::NotFound(Kind::Location)));
    let twin = CreateMachine { location: fleet.cell, name: name("arm"), secret: secret("twin") };
    fleet.run(Who::System, twin).unwrap();
    assert_eq!(ask(&fleet, by, "arm-main"), Ok(arm.id));
    let text =
        format!("2 parts in location {} have this name: ask for the one that is meant by its id", fleet.cell);
    assert_eq!(ask(&fleet, fleet.owner, "arm-main"), Err(failed_precondition(text)));
}

#[test]
fn summaries_hold_what_the_caller_sees_and_not_more_than_asked() {
    let mut fleet = Fleet::new();
    let all = [fleet.arm, fleet.belt, fleet.eye, fleet.cart];
    let keys = [operator(fleet.organization), operator(fleet.cell), operator(fleet.arm)];
    let [organization, cell, arm] = keys.map(|it| fleet.key([it]));
    let ask = |by, within: &[_], limit| {
        let within = within.iter().copied().collect();
        let principal = fleet.principal(by);
        let found = query::machine_summaries(&fleet.state, &principal, fleet.organization, &within, limit)?;
        let machines = found.iter().flat_map(|(location, machines)| {
            assert!(!machines.is_empty() && machines.iter().all(|it| it.location == location.id));
            machines.iter().map(|it| it.id)
        });
        let mut machines: Vec<_> = machines.collect();
        machines.sort_unstable();
        Ok::<_, Refusal>(machines)
    };
    let mut sorted = all;
    sorted.sort_unstable();
    assert_eq!(ask(organization, &[], 100).unwrap(), sorted);
    assert_eq!(ask(organization, &[], 3).unwrap().len(), 3);
    let mut in_cell = [fleet.arm, fleet.belt, fleet.eye];
    in_cell.sort_unstable();
    assert_eq!(ask(organization, &[fleet.cell], 100).unwrap(), in_cell);
    assert_eq!(ask(cell, &[], 100), ask(cell, &[fleet.cell], 100));
    assert_eq!(ask(cell, &[fleet.nook], 100).unwrap(), [fleet.eye]);
    assert_eq!(ask(arm, &[], 100).unwrap(), [fleet.arm]);
    assert_eq!(ask(cell, &[fleet.yard], 100), Err(Refusal::NotFound(Kind::Location)));
    assert_eq!(ask(fleet.stranger, &[], 100), Err(Refusal::NotFound(Kind::Organization)));
}
