//! What an entry concerns, and what of it is seen by whom.

#![cfg(test)]

#[path = "common/fleet.rs"]
#[expect(dead_code, reason = "the audit log is about what was allowed")]
mod fleet;

use domain::audit::{About, PastEntry, SeenEntry, Subject, Subjects, What, asked_for, roots, see};
use domain::command::{
    AddRole, CreateKey, CreateMachine, DeleteKey, DeleteMachine, RecoverOwner, RemoveRole, RenameKey,
    ReplaceSigningKey, RotateKey, ShareLocation, UpdateMachine, UpdateOrganization,
};
use domain::{
    Actor, Draft, Entry, KeyId, OrganizationId, Overlay, Permission, RecordId, Refusal, Resource,
    SigningKeyId, State, UserId, View,
};
use fleet::{Fleet, IntoResource, Who, name, operator, owner};

/// The last entry, read back, and the fleet as it was before.
fn last(fleet: &Fleet) -> (&Entry, PastEntry, State) {
    let (entry, earlier) = fleet.journal.split_last().unwrap();
    let mut before = State::default();
    earlier.iter().for_each(|entry| before.apply(entry));
    (entry, PastEntry::decode(7, entry.at(), &entry.encode().unwrap()).unwrap(), before)
}

/// What the last entry concerns: told by the decided one and by the one read back alike.
fn subjects(fleet: &Fleet) -> Subjects {
    let (entry, past, before) = last(fleet);
    let mut overlay = Overlay::default();
    overlay.apply(entry);
    let of = |about: About, after: &Draft<'_>| {
        let mut subjects = about.subjects();
        about.place(&before, &mut subjects);
        about.place(after, &mut subjects);
        subjects
    };
    let decided = of(About::of(entry), &Draft::new(&before, &overlay));
    assert_eq!(of(past.about(), &Draft::new(&before, &past.overlay())), decided);
    decided
}

fn seen(fleet: &Fleet, root: impl IntoResource) -> Option<SeenEntry> {
    let (_, past, before) = last(fleet);
    see(&past, &before, &[root.resource()])
}

/// Kind and what happened, in order.
fn told(seen: &SeenEntry) -> Vec<(&str, What)> {
    seen.changes.iter().map(|change| (change.kind.as_str(), change.what)).collect()
}

fn within(resources: &[Resource]) -> Vec<Subject> {
    resources.iter().copied().map(Subject::Within).collect()
}

fn places(subjects: &Subjects) -> Vec<Subject> {
    subjects.iter().copied().filter(|subject| matches!(subject, Subject::Within(_))).collect()
}

#[test]
fn what_is_made_concerns_all_that_is_above_it() {
    let mut fleet = Fleet::new();
    let made = fleet
        .run(
            fleet.owner,
            CreateMachine { location: fleet.nook, name: name("new"), secret: fleet::secret("new") },
        )
        .unwrap();
    let subjects = subjects(&fleet);
    let mut expected = within(&[
        fleet.organization.resource(),
        fleet.hall.resource(),
        fleet.cell.resource(),
        fleet.nook.resource(),
        made.id.resource(),
    ]);
    expected.sort();
    assert_eq!(places(&subjects), expected);
    assert!(subjects.contains(&Subject::By(Actor::Key(fleet.owner))));
    assert!(subjects.contains(&Subject::Changed(RecordId::Machine(made.id))));
    assert_eq!(subjects.len(), 5 + 1 + 2, "machine and part");
}

#[test]
fn what_is_gone_concerns_where_it_stood() {
    let mut fleet = Fleet::new();
    let holder = fleet.key([operator(fleet.eye), operator(fleet.yard)]);
    fleet.run(fleet.owner, DeleteMachine { id: fleet.eye }).unwrap();
    let subjects = subjects(&fleet);
    let all = [fleet.organization.resource(), fleet.hall.resource(), fleet.cell.resource()];
    // The yard is concerned as well: a key that has a grant there has changed.
    let all = all.into_iter().chain([fleet.nook.resource(), fleet.eye.resource(), fleet.yard.resource()]);
    assert!(all.into_iter().all(|resource| subjects.contains(&Subject::Within(resource))), "{subjects:?}");
    assert!(subjects.contains(&Subject::Changed(RecordId::Key(holder))));
    assert!(!subjects.contains(&Subject::Within(fleet.elsewhere.resource())));

    // Who owns the yard sees nothing of it: of the key only a grant has changed that is none of theirs.
    assert!(seen(&fleet, fleet.yard).is_none());
    let of_hall = seen(&fleet, fleet.hall).unwrap();
    assert_eq!(told(&of_hall), [("key", What::Changed), ("part", What::Deleted), ("machine", What::Deleted)]);
    assert_eq!(of_hall.changes[0].grants_before, [operator(fleet.eye)]);
    assert_eq!(
        (&of_hall.changes[0].grants_after[..], &of_hall.changes[0].fields[..]),
        (&[][..], &["grants".to_owned()][..])
    );
    assert_eq!(
        (of_hall.changes[2].name_before.as_deref(), of_hall.changes[2].name_after.as_deref()),
        (Some("eye"), None)
    );
}

#[test]
fn a_move_concerns_both_ends() {
    let mut fleet = Fleet::new();
    fleet.run(fleet.owner, UpdateMachine { id: fleet.arm, name: None, location: Some(fleet.yard) }).unwrap();
    let subjects = subjects(&fleet);
    for place in [fleet.cell.resource(), fleet.hall.resource(), fleet.yard.resource(), fleet.arm.resource()] {
        assert!(subjects.contains(&Subject::Within(place)));
    }
    assert!(!subjects.contains(&Subject::Within(fleet.nook.resource())));
    // Each end sees that it moved, and of why it was allowed what was theirs to allow.
    let (from, to) = (seen(&fleet, fleet.hall).unwrap(), seen(&fleet, fleet.yard).unwrap());
    assert_eq!(from.changes[0].fields, ["location_id"]);
    // Its part has another address from then on.
    let changes = to.changes.iter().map(|it| (it.kind.as_str(), it.fields.clone()));
    let fields = |field: &str| vec![field.to_owned()];
    assert!(changes.eq([("machine", fields("location_id")), ("part", fields("label"))]));
    assert!(from.allowed.iter().all(|it| it.resource == Some(fleet.arm.resource())), "{from:?}");
    assert!(seen(&fleet, fleet.nook).is_none());
}

#[test]
fn of_a_key_that_reaches_further_only_the_own_grants_are_seen() {
    let mut fleet = Fleet::new();
    let id = fleet.key([owner(fleet.cell), operator(fleet.yard)]);
    let created = seen(&fleet, fleet.cell).unwrap();
    assert_eq!(told(&created), [("key", What::Created)]);
    assert_eq!(created.changes[0].grants_after, [owner(fleet.cell)]);
    assert!(created.allowed.iter().all(|it| it.resource == Some(fleet.cell.resource())));
    assert!(!format!("{created:?}").contains(&fleet.yard.to_string()));

    fleet.run(fleet.owner, AddRole { key: id, grant: operator(fleet.annex) }).unwrap();
    assert!(seen(&fleet, fleet.cell).is_none());
    let whole = seen(&fleet, fleet.organization).unwrap();
    assert_eq!((whole.changes[0].grants_before.len(), whole.changes[0].grants_after.len()), (2, 3));
    assert_eq!(seen(&fleet, fleet.annex).unwrap().changes[0].grants_after, [operator(fleet.annex)]);
    // From above both are seen.
    assert_eq!(seen(&fleet, fleet.hall).unwrap().changes[0].grants_after.len(), 2);

    fleet.run(fleet.owner, RenameKey { id, name: name("other") }).unwrap();
    let renamed = seen(&fleet, fleet.cell).unwrap();
    assert_eq!(renamed.changes[0].fields, ["name"]);
    assert_eq!(renamed.changes[0].name_before.as_deref(), Some("a key"));
    assert_eq!(renamed.changes[0].name_after.as_deref(), Some("other"));

    fleet.run(fleet.owner, RemoveRole { key: id, grant: owner(fleet.cell) }).unwrap();
    let removed = seen(&fleet, fleet.cell).unwrap();
    assert_eq!((removed.changes[0].grants_before.len(), removed.changes[0].grants_after.len()), (1, 0));
    fleet.run(fleet.owner, DeleteKey { id }).unwrap();
    assert!(seen(&fleet, fleet.cell).is_none(), "it reached nothing there any more");
    assert_eq!(told(&seen(&fleet, fleet.yard).unwrap()), [("key", What::Deleted)]);
}

#[test]
fn secrets_are_called_and_not_shown() {
    let mut fleet = Fleet::new();
    let id = fleet.key([operator(fleet.arm)]);
    let hash = format!("{:?}", fleet.journal.last().unwrap().encode().unwrap());
    fleet.run(fleet.owner, RotateKey { id }).unwrap();
    let rotated = seen(&fleet, fleet.organization).unwrap();
    assert_eq!(rotated.changes[0].fields, ["value"]);
    let stored = fleet.journal.last().unwrap().encode().unwrap();
    for text in [hash, stored] {
        let start = text.find("hash").unwrap();
        let hash: String = text[start..].chars().filter(char::is_ascii_hexdigit).skip(1).take(20).collect();
        assert!(!format!("{rotated:?}").contains(&hash));
    }

    let sealed = "c2VhbGVk".to_owned();
    let signing = SigningKeyId::from_bytes([7; 16]);
    let command = ReplaceSigningKey { purpose: "token-mac", id: signing, sealed, instead_of: vec![] };
    fleet.run(Who::System, command).unwrap();
    assert!(places(&subjects(&fleet)).is_empty(), "it is nobody's");
    assert!(seen(&fleet, fleet.organization).is_none());
}

#[test]
fn nobody_sees_another_organization() {
    let mut fleet = Fleet::new();
    let command = UpdateOrganization {
        id: fleet.organization,
        name: Some(name("new")),
        public_namespace: None,
        region: None,
        cid: None,
    };
    fleet.run(fleet.owner, command).unwrap();
    assert_eq!(told(&seen(&fleet, fleet.organization).unwrap()), [("organization", What::Changed)]);
    assert!(seen(&fleet, fleet.elsewhere).is_none());
    assert!(seen(&fleet, fleet.hall).is_none());
    fleet.run(Who::System, RecoverOwner { organization: fleet.elsewhere, key_name: name("again") }).unwrap();
    assert!(seen(&fleet, fleet.organization).is_none());
    let by_system = seen(&fleet, fleet.elsewhere).unwrap();
    assert_eq!(by_system.allowed[0].resource, None);
    assert!(subjects(&fleet).contains(&Subject::By(Actor::System)));
}

#[test]
fn owners_read_at_the_top_of_what_they_own() {
    let mut fleet = Fleet::new();
    let several = fleet.key([owner(fleet.cell), owner(fleet.eye), operator(fleet.yard)]);
    let operators = fleet.key([operator(fleet.organization)]);
    let machine = fleet.key([operator(fleet.arm)]);
    let read = |who: KeyId| roots(&fleet.state, &fleet.principal(who), fleet.organization);
    assert_eq!(read(fleet.owner).unwrap(), [fleet.organization.resource()]);
    assert_eq!(read(several).unwrap(), [fleet.cell.resource()]);
    for who in [operators, machine] {
        let resource = Some(fleet.organization.resource());
        let denied = Refusal::PermissionDenied { permission: Permission::ReadAudit, resource };
        assert_eq!(read(who).unwrap_err(), denied);
    }
    assert!(matches!(read(fleet.stranger), Err(Refusal::NotFound(_))));
    assert!(fleet.state.key(several).is_some());
}

#[test]
fn what_is_not_known_is_shown_by_its_name() {
    let fleet = Fleet::new();
    let (machine, organization) = (fleet.arm.resource(), fleet.organization);
    let body = format!(
        r#"{{"v":1,"actor":{{"satellite":"u-1"}},"via":"/new.Service/Call","more":1,
            "allowed":[{{"permission":"fly","resource":"machine:{0}"}},{{"permission":"x","resource":"planet:9"}}],
            "changes":[{{"kind":"wing","id":"9","value":{{"v":1,"name":"left","feathers":3}}}},
                       {{"kind":"machine","id":"no id","before":"00"}}]}}"#,
        fleet.arm
    );
    let past = PastEntry::decode(3, fleet.now, &body).unwrap();
    assert_eq!((past.actor, past.allowed[1].resource), (None, None));
    // Something was allowed of which nobody can say where it stands.
    assert!(see(&past, &fleet.state, &[organization.resource()]).is_none());
    let body = body.replace(r#","resource":"planet:9""#, &format!(r#","resource":"machine:{}""#, fleet.arm));
    let past = PastEntry::decode(3, fleet.now, &body).unwrap();
    let shown = see(&past, &fleet.state, &[machine]).unwrap();
    assert_eq!(told(&shown), [("wing", What::Created), ("machine", What::Deleted)]);
    assert_eq!(shown.changes[0].name_after.as_deref(), Some("left"));
    assert!(see(&past, &fleet.state, &[fleet.belt.resource()]).is_none());
    let newer = body.replace(r#"{"v":1,"actor""#, r#"{"v":2,"actor""#);
    assert!(PastEntry::decode(3, fleet.now, &newer).unwrap_err().to_string().contains("version 2"));
}

#[test]
fn what_is_shared_stays_with_its_organization_and_keys_with_theirs() {
    let mut fleet = Fleet::new();
    let (hall, cell, elsewhere) = (fleet.hall, fleet.cell, fleet.elsewhere);
    fleet.run(fleet.owner, ShareLocation { id: hall, organization: elsewhere }).unwrap();
    assert_eq!(seen(&fleet, fleet.organization).unwrap().changes[0].fields, ["shared_with"]);
    assert!(seen(&fleet, elsewhere).is_none());

    // A key of those whom it is shared with is their own matter, with all it may do.
    let grants = vec![operator(cell), operator(fleet.depot)];
    let organization = Some(elsewhere);
    let create = CreateKey { organization, name: name("theirs"), grants, expires_at: None };
    fleet.run(fleet.stranger, create).unwrap();
    assert!(seen(&fleet, fleet.organization).is_none());
    assert!(seen(&fleet, cell).is_none());
    let theirs = seen(&fleet, elsewhere).unwrap();
    assert_eq!((theirs.changes[0].grants_after.len(), theirs.allowed.len()), (2, 2));
    assert_eq!(seen(&fleet, fleet.depot).unwrap().changes[0].grants_after, [operator(fleet.depot)]);

    // What they do to what is shared is told to those whose it is.
    fleet
        .run(
            fleet.stranger,
            CreateMachine { location: cell, name: name("guest"), secret: fleet::secret("guest") },
        )
        .unwrap();
    assert_eq!(told(&seen(&fleet, cell).unwrap())[0], ("machine", What::Created));
    assert!(seen(&fleet, elsewhere).is_none());

    let reader = fleet.principal(fleet.stranger);
    assert_eq!(roots(&fleet.state, &reader, elsewhere).unwrap(), [elsewhere.resource()]);
    assert!(roots(&fleet.state, &reader, fleet.organization).is_err());
    assert!(asked_for(&fleet.state, &reader, elsewhere, hall.resource()).is_err());
}

#[test]
fn of_a_person_each_organization_sees_its_own() {
    let fleet = Fleet::new();
    let user: UserId = "01a2076b-4400-7000-8000-000000000009".parse().unwrap();
    let body = |memberships: &str, more: &str| {
        let hash = "00".repeat(32);
        format!(
            r#"{{"v":1,"actor":{{"user":"{user}"}},"via":"/t.T/T","allowed":[],"changes":[{{"kind":"user","id":"{user}",
                "value":{{"v":1,"id":"{user}","email":"{hash}","memberships":[{memberships}],{more},
                "created_at":"2026-11-23T08:00:00Z"}},"before":"00"}}],
                "documents":[{{"kind":"person","id":"{user}","hash":"{hash}"}}]}}"#
        )
    };
    let member = |organization: OrganizationId, resource: &str| {
        format!(
            r#"{{"organization_id":"{organization}","grants":[{{"role":"owner","resource":"{resource}"}}],
                "since":"2026-11-23T08:00:00Z"}}"#
        )
    };
    let here = member(fleet.organization, &format!("location:{}", fleet.cell));
    let there = member(fleet.elsewhere, &format!("location:{}", fleet.depot));
    let active = r#""generation":1,"can_sign_in":true"#;
    let read =
        |memberships: &str, more: &str| PastEntry::decode(9, fleet.now, &body(memberships, more)).unwrap();
    let with = |entry: &PastEntry| {
        let mut state = State::default();
        fleet.journal.iter().for_each(|entry| state.apply(entry));
        state.load(entry.changes[0].after.clone().unwrap());
        state
    };
    let both = read(&format!("{here},{there}"), active);
    assert_eq!(both.actor, Some(Actor::User(user)));
    assert_eq!(both.changes.len(), 1, "the document is told of by the record");
    // They leave the other organization: that is told there, and not here.
    let left = read(&here, active);
    let of = |root: Resource| see(&left, &with(&both), &[root]);
    for root in [fleet.organization.resource(), fleet.cell.resource(), fleet.hall.resource()] {
        assert!(of(root).is_none());
    }
    let told = of(fleet.elsewhere.resource()).unwrap();
    assert_eq!(
        (&told.changes[0].fields[..], told.changes[0].grants_before.len()),
        (&["memberships".to_owned()][..], 1)
    );
    assert!(!format!("{told:?}").contains(&fleet.cell.to_string()));
    // Signed out everywhere: told wherever they are a member, and to nobody below whom they hold nothing.
    let out = read(&format!("{here},{there}"), r#""generation":2,"can_sign_in":false"#);
    for root in [fleet.organization.resource(), fleet.cell.resource(), fleet.elsewhere.resource()] {
        let told = see(&out, &with(&both), &[root]).unwrap();
        assert_eq!(told.changes[0].fields, ["can_sign_in", "generation"]);
    }
    assert!(see(&out, &with(&both), &[fleet.yard.resource()]).is_none());
}

#[test]
fn a_document_of_its_own_is_told_of_where_it_was_allowed() {
    let fleet = Fleet::new();
    let body = format!(
        r#"{{"v":1,"actor":"system","via":"/t.T/T","allowed":[{{"permission":"write_robot","resource":"machine:{}"}}],
            "changes":[],"documents":[{{"kind":"config","id":"c","hash":"{}"}},{{"kind":"notes","id":"n"}}]}}"#,
        fleet.arm,
        "ab".repeat(32)
    );
    let past = PastEntry::decode(3, fleet.now, &body).unwrap();
    let shown = see(&past, &fleet.state, &[fleet.cell.resource()]).unwrap();
    assert_eq!(told(&shown), [("config", What::Changed), ("notes", What::Deleted)]);
    assert!(!format!("{shown:?}").contains("abab"));
    assert!(see(&past, &fleet.state, &[fleet.yard.resource()]).is_none());
}
