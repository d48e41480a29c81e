//! What is written down is read back, today and by every later release, and holds no key value.

#![cfg(test)]

#[path = "common/fleet.rs"]
#[expect(dead_code, reason = "what is stored is the same whoever is refused")]
mod fleet;

use std::collections::BTreeMap;
use std::error::Error as _;

use aws_lc_rs::digest;
use domain::command::{
    AddRole, ChangeRole, CreateKey, CreateModule, CreateOrganization, DeleteKey, DeleteLocation,
    DeleteMachine, DeleteOrganization, DuplicateKey, RecoverOwner, RemoveRole, RenameKey, ReplaceSigningKey,
    RotateKey, SetKeyExpiry, UpdateLocation, UpdateMachine, UpdateOrganization, UploadModule,
};
use domain::{
    Actor, Change, Checksum, EmailHash, FileId, Invitation, Key, KeyHash, KeyId, Kind, Label, Location,
    LocationId, Machine, MachineId, Membership, Module, ModuleFile, ModuleVersion, Organization,
    OrganizationId, Part, Record, RecordId, Recorded, Resource, Secret, SigningKey, SigningKeyId, State,
    StoredError, TextsId, Timestamp, User, Version, View, Visibility, decode_record, encode_record,
};
use fleet::{Fleet, Who, name, operator, owner};

const ORGANIZATION: &str = "01a2076b-4400-7000-8000-000000000001";
const KEY: &str = "01a2076b-4400-7000-8000-000000000002";
const CREATOR: &str = "01a2076b-4400-7000-8000-000000000003";
const MACHINE: &str = "01a2076b-4400-7000-8000-000000000004";
const PART: &str = "01a2076b-4400-7000-8000-000000000005";
const SECRET: &str = "01a2076b-4400-7000-8000-000000000008";
const USER: &str = "01a2076b-4400-7000-8000-000000000009";
const INVITATION: &str = "01a2076b-4400-7000-8000-00000000000a";
const MODULE: &str = "01a2076b-4400-7000-8000-00000000000b";
const FILE: &str = "01a2076b-4400-7000-8000-00000000000c";
const SIGNING_KEY: &str = "01a2076b-4400-7000-8000-000000000006";

/// The forms of version 1. They were released: they may be added to, never changed.
#[rustfmt::skip]
fn released() -> Vec<(&'static str, Record)> {
    let created_at: Timestamp = "2026-11-23T08:00:00.000001Z".parse().unwrap();
    let organization: OrganizationId = ORGANIZATION.parse().unwrap();
    let [hall, cell]: [LocationId; 2] = ["x7k2p9q4wz", "0123456789"].map(|id| id.parse().unwrap());
    let machine: MachineId = MACHINE.parse().unwrap();
    let key: KeyId = KEY.parse().unwrap();
    let other: OrganizationId = "01a2076b-4400-7000-8000-000000000007".parse().unwrap();
    let secret = Secret { id: SECRET.parse().unwrap(), hash: a_hash(), created_at };
    vec![
        (
            r#"{"v":1,"id":"01a2076b-4400-7000-8000-000000000001","name":"Acme","created_at":"2026-11-23T08:00:00.000001Z"}"#,
            Record::Organization(Organization {
                id: organization, name: name("Acme"), created_at,
                public_namespace: None, default_region: None, cid: None,
            }),
        ),
        (
            r#"{"v":1,"id":"01a2076b-4400-7000-8000-000000000001","name":"Größe \"10\"","created_at":"2026-11-23T08:00:00.000001Z","public_namespace":"acme","default_region":"eu","cid":"C-7"}"#,
            Record::Organization(Organization {
                id: organization, name: name("Größe \"10\""), created_at,
                public_namespace: Some(name("acme")), default_region: Some(name("eu")), cid: Some(name("C-7")),
            }),
        ),
        (
            r#"{"v":1,"id":"x7k2p9q4wz","organization_id":"01a2076b-4400-7000-8000-000000000001","name":"Hall","created_at":"2026-11-23T08:00:00.000001Z"}"#,
            Record::Location(Location {
                id: hall, organization, parent: None, name: name("Hall"), region: None, shared_with: vec![], secrets: vec![], created_at,
            }),
        ),
        (
            r#"{"v":1,"id":"0123456789","organization_id":"01a2076b-4400-7000-8000-000000000001","parent_id":"x7k2p9q4wz","name":"Cell","region":"eu","created_at":"2026-11-23T08:00:00.000001Z"}"#,
            Record::Location(Location {
                id: cell, organization, parent: Some(hall), name: name("Cell"), region: Some(name("eu")), shared_with: vec![], secrets: vec![], created_at,
            }),
        ),
        (
            r#"{"v":1,"id":"01a2076b-4400-7000-8000-000000000004","location_id":"0123456789","name":"arm","created_at":"2026-11-23T08:00:00.000001Z"}"#,
            Record::Machine(Machine { id: machine, location: cell, name: name("arm"), created_at }),
        ),
        (
            r#"{"v":1,"id":"01a2076b-4400-7000-8000-000000000005","machine_id":"01a2076b-4400-7000-8000-000000000004","name":"arm-main","main":true,"label":"arm-main-0123456789","created_at":"2026-11-23T08:00:00.000001Z"}"#,
            Record::Part(Part { id: PART.parse().unwrap(), machine, name: name("arm-main"), main: true, label: a_label(), secrets: vec![], revision: 0, configured_at: None, restart_asked_at: None, created_at }),
        ),
        (
            r#"{"v":1,"id":"01a2076b-4400-7000-8000-000000000002","organization_id":"01a2076b-4400-7000-8000-000000000001","name":"first","hash":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff","generation":1,"grants":[{"role":"owner","resource":"organization:01a2076b-4400-7000-8000-000000000001"}],"created_at":"2026-11-23T08:00:00.000001Z","creator":"system"}"#,
            Record::Key(Key {
                id: key, organization, name: name("first"), hash: a_hash(), generation: 1,
                grants: [owner(organization)].into(), created_at, creator: Actor::System, expires_at: None,
            }),
        ),
        (
            r#"{"v":1,"id":"01a2076b-4400-7000-8000-000000000002","organization_id":"01a2076b-4400-7000-8000-000000000001","name":"second","hash":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff","generation":7,"grants":[{"role":"operator","resource":"location:x7k2p9q4wz"},{"role":"owner","resource":"machine:01a2076b-4400-7000-8000-000000000004"}],"created_at":"2026-11-23T08:00:00.000001Z","creator":{"key":"01a2076b-4400-7000-8000-000000000003"},"expires_at":"2027-01-01T00:00:00Z"}"#,
            Record::Key(Key {
                id: key, organization, name: name("second"), hash: a_hash(), generation: 7,
                grants: [operator(hall), owner(machine)].into(), created_at,
                creator: Actor::Key(CREATOR.parse().unwrap()),
                expires_at: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            }),
        ),
        (
            r#"{"v":1,"id":"01a2076b-4400-7000-8000-000000000006","purpose":"token-mac","sealed":"c2VhbGVk","created_at":"2026-11-23T08:00:00.000001Z"}"#,
            Record::SigningKey(SigningKey {
                id: SIGNING_KEY.parse().unwrap(), purpose: "token-mac".to_owned(), sealed: "c2VhbGVk".to_owned(), created_at,
            }),
        ),
        (
            r#"{"v":1,"id":"0123456789","organization_id":"01a2076b-4400-7000-8000-000000000001","name":"Cell","shared_with":["01a2076b-4400-7000-8000-000000000007"],"secrets":[{"id":"01a2076b-4400-7000-8000-000000000008","hash":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff","created_at":"2026-11-23T08:00:00.000001Z"}],"created_at":"2026-11-23T08:00:00.000001Z"}"#,
            Record::Location(Location {
                id: cell, organization, parent: None, name: name("Cell"), region: None,
                shared_with: vec![other], secrets: vec![secret.clone()], created_at,
            }),
        ),
        (
            r#"{"v":1,"id":"01a2076b-4400-7000-8000-000000000005","machine_id":"01a2076b-4400-7000-8000-000000000004","name":"arm-main","main":true,"label":"arm-main-0123456789","secrets":[{"id":"01a2076b-4400-7000-8000-000000000008","hash":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff","created_at":"2026-11-23T08:00:00.000001Z"}],"revision":7,"configured_at":"2026-11-23T09:00:00Z","restart_asked_at":"2026-11-23T10:00:00Z","created_at":"2026-11-23T08:00:00.000001Z"}"#,
            Record::Part(Part {
                id: PART.parse().unwrap(), machine, name: name("arm-main"), main: true, label: a_label(), secrets: vec![secret],
                revision: 7, configured_at: Some("2026-11-23T09:00:00Z".parse().unwrap()),
                restart_asked_at: Some("2026-11-23T10:00:00Z".parse().unwrap()), created_at,
            }),
        ),
        (
            r#"{"v":1,"id":"01a2076b-4400-7000-8000-000000000009","email":"0505050505050505050505050505050505050505050505050505050505050505","memberships":[{"organization_id":"01a2076b-4400-7000-8000-000000000001","grants":[{"role":"owner","resource":"organization:01a2076b-4400-7000-8000-000000000001"}],"since":"2026-11-23T08:00:00.000001Z"}],"generation":2,"can_sign_in":true,"created_at":"2026-11-23T08:00:00.000001Z"}"#,
            Record::User(User {
                id: USER.parse().unwrap(), email: EmailHash::from_bytes([5; 32]),
                memberships: vec![Membership { organization, grants: [owner(organization)].into(), since: created_at }],
                generation: 2, can_sign_in: true, created_at,
            }),
        ),
        (
            r#"{"v":1,"id":"01a2076b-4400-7000-8000-00000000000a","organization_id":"01a2076b-4400-7000-8000-000000000001","email":"0505050505050505050505050505050505050505050505050505050505050505","grants":[{"role":"operator","resource":"location:x7k2p9q4wz"}],"token":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff","creator":{"user":"01a2076b-4400-7000-8000-000000000009"},"created_at":"2026-11-23T08:00:00.000001Z","expires_at":"2027-01-01T00:00:00Z"}"#,
            Record::Invitation(Invitation {
                id: INVITATION.parse().unwrap(), organization, email: EmailHash::from_bytes([5; 32]),
                grants: [operator(hall)].into(), token: a_hash(), creator: Actor::User(USER.parse().unwrap()),
                created_at, expires_at: "2027-01-01T00:00:00Z".parse().unwrap(),
            }),
        ),
        (
            r#"{"v":1,"id":"01a2076b-4400-7000-8000-00000000000b","organization_id":"01a2076b-4400-7000-8000-000000000001","name":"arm-2","visibility":"private","texts":"0707070707070707070707070707070707070707070707070707070707070707","created_at":"2026-11-23T08:00:00.000001Z"}"#,
            Record::Module(Module {
                id: MODULE.parse().unwrap(), organization, name: "arm-2".parse().unwrap(), visibility: Visibility::Private,
                texts: TextsId::from_bytes([7; 32]), versions: vec![], created_at,
            }),
        ),
        (
            r#"{"v":1,"id":"01a2076b-4400-7000-8000-00000000000b","organization_id":"01a2076b-4400-7000-8000-000000000001","name":"arm-2","visibility":"public_unlisted","texts":"0707070707070707070707070707070707070707070707070707070707070707","versions":[{"number":"1.0.0-rc.1","texts":"0808080808080808080808080808080808080808080808080808080808080808","files":[{"id":"01a2076b-4400-7000-8000-00000000000c","platform":"linux/arm64","tags":["distro:debian"],"size":42,"sha256":"0909090909090909090909090909090909090909090909090909090909090909","crc32c":7,"uploaded_at":"2026-11-23T08:00:00.000001Z"}]}],"created_at":"2026-11-23T08:00:00.000001Z"}"#,
            Record::Module(Module {
                id: MODULE.parse().unwrap(), organization, name: "arm-2".parse().unwrap(), visibility: Visibility::PublicUnlisted,
                texts: TextsId::from_bytes([7; 32]), created_at,
                versions: vec![ModuleVersion {
                    number: Version::parse("1.0.0-rc.1").unwrap(), texts: TextsId::from_bytes([8; 32]),
                    files: vec![ModuleFile { tags: vec!["distro:debian".to_owned()], ..a_file(created_at) }],
                }],
            }),
        ),
    ]
}

fn a_label() -> Label {
    let location = "0123456789".parse().unwrap();
    Label::choose(&name("arm-main"), location, PART.parse().unwrap(), |_| false)
}

fn a_file(uploaded_at: Timestamp) -> ModuleFile {
    ModuleFile {
        id: FILE.parse::<FileId>().unwrap(),
        platform: "linux/arm64".parse().unwrap(),
        tags: vec![],
        size: 42,
        sha256: Checksum::from_bytes([9; 32]),
        crc32c: 7,
        uploaded_at,
    }
}

fn a_hash() -> KeyHash {
    let mut bytes = std::array::from_fn(|place| u8::try_from(place).unwrap());
    bytes[31] = 0xff;
    KeyHash::from_bytes(bytes)
}

fn decode(id: RecordId, text: &str) -> Result<Record, StoredError> {
    decode_record(id.kind().name(), &id.id_text(), text)
}

#[test]
fn records_are_written_in_the_released_form() {
    for (text, record) in released() {
        assert_eq!(encode_record(&record).unwrap(), text);
    }
    for kind in Kind::ALL {
        assert!(released().iter().any(|(_, record)| record.id().kind() == *kind), "{kind:?} has no form");
    }
}

#[test]
fn the_released_form_is_read() {
    for (text, expected) in released() {
        let read = decode(expected.id(), text).unwrap();
        match (&read, &expected) {
            (Record::Organization(read), Record::Organization(expected)) => assert_eq!(read, expected),
            (Record::Location(read), Record::Location(expected)) => assert_eq!(read, expected),
            (Record::Machine(read), Record::Machine(expected)) => assert_eq!(read, expected),
            (Record::Part(read), Record::Part(expected)) => assert_eq!(read, expected),
            (Record::SigningKey(read), Record::SigningKey(expected)) => assert_eq!(read, expected),
            (Record::User(read), Record::User(expected)) => assert_eq!(read, expected),
            (Record::Invitation(read), Record::Invitation(expected)) => assert_eq!(read, expected),
            (Record::Module(read), Record::Module(expected)) => assert_eq!(read, expected),
            (Record::Key(read), Record::Key(expected)) => {
                assert!(read.hash.matches(&expected.hash));
                // Everything else shows in the debug form; the hash does not.
                assert_eq!(format!("{read:?}"), format!("{expected:?}"));
            }
            _ => panic!("{text} was read as {read:?}"),
        }
    }
}

#[test]
fn every_point_in_time_survives() {
    // The last second that protobuf knows lies beyond the last one of the calendar we print with.
    let micros = [0, -1, 1_795_420_800_000_001, 253_402_300_799_999_999, i64::MAX, i64::MIN];
    for expires_at in micros.map(Timestamp::from_micros) {
        let mut fleet = Fleet::new();
        let mut key = fleet.state.key(fleet.owner).unwrap().clone();
        key.expires_at = Some(expires_at);
        let text = encode_record(&Record::Key(key)).unwrap();
        fleet.state.load(decode(RecordId::Key(fleet.owner), &text).unwrap());
        assert_eq!(fleet.state.key(fleet.owner).unwrap().expires_at, Some(expires_at), "{text}");
    }
}

#[test]
fn a_newer_version_is_refused_with_both_numbers() {
    for (text, record) in released() {
        let (kind, id) = (record.id().kind().name(), record.id().id_text());
        let expected =
            format!("the stored {kind} {id} has version 2, this release reads up to 1: use a newer release");
        let newer = text.replace(r#""v":1"#, r#""v":2"#);
        assert_eq!(decode(record.id(), &newer).unwrap_err().to_string(), expected);
        // Also where the newer form lacks what this release wants.
        assert_eq!(decode(record.id(), r#"{"v":2}"#).unwrap_err().to_string(), expected);
    }
    for newer in [r#"{"v":3}"#, r#"{"v":3,"actor":"system","via":"","allowed":[],"changes":[]}"#] {
        assert_eq!(
            Recorded::decode(42, Timestamp::EPOCH, newer).unwrap_err().to_string(),
            "the stored entry 42 has version 3, this release reads up to 1: use a newer release"
        );
    }
}

#[test]
fn an_unknown_kind_is_refused() {
    let expected = "there is no kind of record called robot: written by a newer release?";
    assert_eq!(decode_record("robot", "x", "{}").unwrap_err().to_string(), expected);
    for change in [r#"{"kind":"robot","id":"x","value":{}}"#, r#"{"kind":"robot","id":"x"}"#] {
        let entry = format!(r#"{{"v":1,"actor":"system","via":"","allowed":[],"changes":[{change}]}}"#);
        assert_eq!(Recorded::decode(1, Timestamp::EPOCH, &entry).unwrap_err().to_string(), expected);
    }
}

#[test]
fn what_cannot_be_read_says_which_record_it_is() {
    for (text, record) in released() {
        let (kind, id) = (record.id().kind().name(), record.id().id_text());
        for broken in ["", "{}", "null", &text[..text.len() - 1], &text.replace("01a2076b", "zzzzzzzz")] {
            // There is a UUID in every form, so the last of these breaks all of them.
            let error = decode(record.id(), broken).unwrap_err();
            assert_eq!(error.to_string(), format!("the stored {kind} {id} cannot be read"), "{broken}");
            assert!(error.source().is_some(), "the parser has a reason");
        }
    }
    let error = Recorded::decode(7, Timestamp::EPOCH, "[]").unwrap_err();
    assert_eq!(error.to_string(), "the stored entry 7 cannot be read");
    let change = r#"{"kind":"machine","id":"not an id"}"#;
    let entry = format!(r#"{{"v":1,"actor":"system","via":"","allowed":[],"changes":[{change}]}}"#);
    let error = Recorded::decode(7, Timestamp::EPOCH, &entry).unwrap_err();
    assert_eq!(error.to_string(), "the stored machine not an id cannot be read");
}

/// A fleet to which everything was done that can be done, and every key value that was handed out on the way.
fn lived_in() -> (Fleet, Vec<String>) {
    let mut fleet = Fleet::new();
    let mut values = vec![];
    let (organization, first) = (fleet.organization, fleet.owner);
    let create = CreateKey {
        organization: Some(organization),
        name: name("robot arm"),
        grants: vec![owner(fleet.arm), operator(fleet.hall)],
        expires_at: Some("2027-01-01T00:00:00Z".parse().unwrap()),
    };
    let made = fleet.run(first, create).unwrap();
    values.push(made.value.expose().to_owned());
    let key = made.key.id;
    for _ in 0..3 {
        values.push(fleet.run(first, RotateKey { id: key }).unwrap().value.expose().to_owned());
    }
    let copy = fleet.run(first, DuplicateKey { id: key }).unwrap();
    values.push(copy.value.expose().to_owned());
    let recover = RecoverOwner { organization, key_name: name("recovered") };
    values.push(fleet.run(Who::System, recover).unwrap().value.expose().to_owned());
    fleet.run(first, RenameKey { id: key, name: name("arm of a robot") }).unwrap();
    fleet.run(first, SetKeyExpiry { id: key, expires_at: None }).unwrap();
    fleet.run(first, AddRole { key, grant: operator(fleet.yard) }).unwrap();
    fleet.run(first, RemoveRole { key, grant: operator(fleet.hall) }).unwrap();
    let (old, new) = (operator(fleet.yard), owner(fleet.yard));
    fleet.run(first, ChangeRole { key, old, new }).unwrap();
    fleet.run(first, DeleteKey { id: copy.key.id }).unwrap();
    let update = UpdateOrganization {
        id: organization,
        name: Some(name("Acme")),
        public_namespace: Some(name("acme")),
        region: Some(name("eu")),
        cid: Some(name("C-7")),
    };
    fleet.run(first, update).unwrap();
    let update = UpdateLocation { id: fleet.annex, name: None, parent: None, region: Some(name("eu")) };
    fleet.run(first, update).unwrap();
    let update = UpdateMachine { id: fleet.cart, name: Some(name("wagon")), location: Some(fleet.annex) };
    fleet.run(first, update).unwrap();
    fleet.run(first, DeleteLocation { id: fleet.yard }).unwrap();
    fleet.run(first, CreateModule { organization, name: "arm".parse().unwrap() }).unwrap();
    for version in ["2.0.0", "1.0.0"] {
        let (module, version) = ("acme:arm".parse().unwrap(), Version::parse(version).unwrap());
        let file = a_file(Timestamp::EPOCH);
        fleet.run(first, UploadModule { module, version, file }).unwrap();
    }
    fleet.run(first, DeleteMachine { id: fleet.eye }).unwrap();
    for id in [1, 2].map(|byte| SigningKeyId::from_bytes([byte; 16])) {
        let (sealed, instead_of) =
            ("c2VhbGVk".to_owned(), fleet.state.signing_keys().map(|it| it.id).collect());
        let replace = ReplaceSigningKey { purpose: "token-mac", id, sealed, instead_of };
        fleet.run(Who::System, replace).unwrap();
    }
    let empty = fleet.run(Who::System, CreateOrganization { name: name("empty") }).unwrap();
    fleet.run(Who::System, DeleteOrganization { id: empty.id }).unwrap();
    (fleet, values)
}

/// Every record of a state in its stored form, found by walking the indexes.
fn dump(state: &State) -> BTreeMap<RecordId, String> {
    let mut found: Vec<RecordId> = state.organizations().map(RecordId::Organization).collect();
    found.extend(state.signing_keys().map(|it| RecordId::SigningKey(it.id)));
    let mut next = 0;
    while let Some(of) = found.get(next).copied() {
        found.extend(Kind::ALL.iter().flat_map(|kind| state.children(of, *kind)));
        next += 1;
    }
    found.into_iter().map(|id| (id, encode_record(&state.record(id).unwrap()).unwrap())).collect()
}

/// Who holds what, by the index that checks and deletions use.
fn holders(state: &State) -> BTreeMap<Resource, Vec<KeyId>> {
    let resource = |id: &RecordId| match *id {
        RecordId::Organization(id) => Some(Resource::Organization(id)),
        RecordId::Location(id) => Some(Resource::Location(id)),
        RecordId::Machine(id) => Some(Resource::Machine(id)),
        _ => None,
    };
    dump(state).keys().filter_map(resource).map(|of| (of, state.holders(of).collect())).collect()
}

#[test]
fn the_journal_read_back_gives_the_same_state() {
    let (fleet, _) = lived_in();
    let mut replayed = State::default();
    for (seq, entry) in (1..).zip(&fleet.journal) {
        let recorded = Recorded::decode(seq, entry.at(), &entry.encode().unwrap()).unwrap();
        assert_eq!(recorded.at(), entry.at());
        replayed.replay(&recorded);
    }
    assert_eq!(dump(&replayed), dump(&fleet.state));
    assert_eq!(holders(&replayed), holders(&fleet.state));
    let counted: usize = Kind::ALL.iter().map(|kind| fleet.state.count(*kind)).sum();
    assert_eq!(dump(&fleet.state).len(), counted, "a record hangs in no index");
}

#[test]
fn the_records_read_back_give_the_same_state() {
    let (fleet, _) = lived_in();
    let records = dump(&fleet.state);
    let [mut upward, mut downward] = [State::default(), State::default()];
    records.iter().for_each(|(id, text)| upward.load(decode(*id, text).unwrap()));
    records.iter().rev().for_each(|(id, text)| downward.load(decode(*id, text).unwrap()));
    for loaded in [upward, downward] {
        assert_eq!(dump(&loaded), records);
        assert_eq!(holders(&loaded), holders(&fleet.state));
    }
}

/// Every change names what it replaced by the hash of its stored form: an edited record or a missing entry shows.
#[test]
fn every_change_carries_the_hash_of_what_stood_there() {
    let (fleet, _) = lived_in();
    let mut stored: BTreeMap<String, String> = BTreeMap::new();
    let mut replaced = 0;
    for entry in &fleet.journal {
        let written: serde_json::Value = serde_json::from_str(&entry.encode().unwrap()).unwrap();
        let changes = written["changes"].as_array().unwrap();
        assert_eq!(changes.len(), entry.changes().len());
        for (change, written) in entry.changes().iter().zip(changes) {
            let id = format!("{:?}", change.id());
            let before = match change {
                Change::Put(record) => stored.insert(id, encode_record(record).unwrap()),
                Change::Delete(_) => stored.remove(&id),
            };
            let expected = before.as_deref().map(sha256);
            assert_eq!(written.get("before").map(|hash| hash.as_str().unwrap()), expected.as_deref());
            replaced += usize::from(before.is_some());
        }
    }
    assert!(replaced > 10, "only {replaced} changes had something to replace");
}

fn sha256(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value that is in this text, whole or but for its public prefix.
fn leaked<'a>(text: &str, values: &'a [String]) -> Option<&'a String> {
    values.iter().find(|value| text.contains(&value["clvk_".len()..]))
}

#[test]
fn no_key_value_is_ever_written_down() {
    let (fleet, values) = lived_in();
    assert_eq!(values.len(), 6);
    assert_eq!(
        leaked(&format!("so {} it is", values[5]), &values),
        Some(&values[5]),
        "the search finds them"
    );
    for entry in &fleet.journal {
        assert_eq!(leaked(&entry.encode().unwrap(), &values), None);
        assert_eq!(leaked(&format!("{entry:?}"), &values), None);
    }
    for text in dump(&fleet.state).values() {
        assert_eq!(leaked(text, &values), None);
    }
    assert_eq!(leaked(&format!("{:?}", fleet.state), &values), None);
}

/// A log line is not the place for a hash either, nor for the value in a reply.
#[test]
fn neither_value_nor_hash_shows_in_a_debug_form() {
    let mut fleet = Fleet::new();
    let made = fleet.run(Who::System, RotateKey { id: fleet.owner }).unwrap();
    let hash: String = made.key.hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(encode_record(&Record::Key(made.key.clone())).unwrap().contains(&hash), "stored it is");
    for shown in [format!("{made:?}"), format!("{:?}", fleet.state), format!("{:?}", fleet.journal)] {
        assert_eq!(leaked(&shown, &[made.value.expose().to_owned()]), None);
        assert!(!shown.contains(&hash) && !shown.contains(&format!("{:?}", made.key.hash.as_bytes())));
    }
}

/// The form of an entry, which is the audit log: who, through what, why it was allowed, what changed.
#[test]
fn entries_are_written_in_the_released_form() {
    let mut fleet = Fleet::new();
    let key = fleet.key([owner(fleet.arm)]);
    fleet.run(fleet.owner, RenameKey { id: key, name: name("arm") }).unwrap();
    fleet.run(fleet.owner, DeleteMachine { id: fleet.arm }).unwrap();
    let [founded, .., renamed, deleted] = fleet.journal.as_slice() else { panic!("there are entries") };
    for (entry, expected) in [(founded, FOUNDED), (renamed, RENAMED), (deleted, DELETED)] {
        assert_eq!(entry.encode().unwrap(), expected);
    }
}

/// Entries of version 1 as the first release wrote them, read without anything of today's.
#[test]
fn the_released_form_of_an_entry_is_read() {
    let read = Recorded::decode(1, Timestamp::from_micros(5), FOUNDED).unwrap();
    assert_eq!(read.at(), Timestamp::from_micros(5));
    let [Change::Put(Record::Organization(organization)), Change::Put(Record::Key(key))] = read.changes()
    else {
        panic!("{read:?}");
    };
    assert_eq!(organization.name, name("organization"));
    assert_eq!((key.organization, &*key.grants), (organization.id, &[owner(organization.id)][..]));

    let read = Recorded::decode(2, Timestamp::EPOCH, RENAMED).unwrap();
    let [Change::Put(Record::Key(renamed))] = read.changes() else { panic!("{read:?}") };
    assert_eq!((&renamed.name, renamed.organization), (&name("arm"), organization.id));

    let read = Recorded::decode(3, Timestamp::EPOCH, DELETED).unwrap();
    let [Change::Delete(RecordId::Key(gone)), Change::Delete(part), Change::Delete(machine)] = read.changes()
    else {
        panic!("{read:?}");
    };
    assert_eq!(*gone, renamed.id);
    assert_eq!((part.kind(), machine.kind()), (Kind::Part, Kind::Machine));
}

const FOUNDED: &str = concat!(
    r#"{"v":1,"actor":"system","via":"/test.Service/Call","#,
    r#""allowed":[{"permission":"create_organization"}],"changes":[{"kind":"organization","#,
    r#""id":"01a2076b-4400-75e3-9ba3-da635ce94806","value":{"v":1,"#,
    r#""id":"01a2076b-4400-75e3-9ba3-da635ce94806","name":"organization","#,
    r#""created_at":"2026-11-23T08:00:00Z"}},{"kind":"key","#,
    r#""id":"01a2076b-4400-7e16-86c3-7479cc26bf9a","value":{"v":1,"#,
    r#""id":"01a2076b-4400-7e16-86c3-7479cc26bf9a","#,
    r#""organization_id":"01a2076b-4400-75e3-9ba3-da635ce94806","name":"owner of organization","#,
    r#""hash":"1dea57d9736c9e9ba9b8d4b45c5445729efbcfefb94948287819ca67624e6d11","generation":1,"#,
    r#""grants":[{"role":"owner","resource":"organization:01a2076b-4400-75e3-9ba3-da635ce94806"}],"#,
    r#""created_at":"2026-11-23T08:00:00Z","creator":"system"}}]}"#,
);

const RENAMED: &str = concat!(
    r#"{"v":1,"actor":{"key":"01a2076b-4400-7e16-86c3-7479cc26bf9a"},"via":"/test.Service/Call","#,
    r#""allowed":[{"permission":"manage_keys","#,
    r#""resource":"machine:01a2076b-4400-7bcc-9c9e-5ee5c50fece8","by":{"role":"owner","#,
    r#""resource":"organization:01a2076b-4400-75e3-9ba3-da635ce94806"}}],"changes":[{"kind":"key","#,
    r#""id":"01a2076b-4400-7377-977d-49041de866ed","value":{"v":1,"#,
    r#""id":"01a2076b-4400-7377-977d-49041de866ed","#,
    r#""organization_id":"01a2076b-4400-75e3-9ba3-da635ce94806","name":"arm","#,
    r#""hash":"4fc4aa4094fa5d4144faf7b38bc44e4f4b79424d43a0ac47b73b94881f845e9e","generation":1,"#,
    r#""grants":[{"role":"owner","resource":"machine:01a2076b-4400-7bcc-9c9e-5ee5c50fece8"}],"#,
    r#""created_at":"2026-11-23T08:00:00Z","creator":"system"},"#,
    r#""before":"dced4b63412f6407cd8393d43ad6f722622984ead917c9a196f2378d2a56cbe9"}]}"#,
);

const DELETED: &str = concat!(
    r#"{"v":1,"actor":{"key":"01a2076b-4400-7e16-86c3-7479cc26bf9a"},"via":"/test.Service/Call","#,
    r#""allowed":[{"permission":"delete_machine","#,
    r#""resource":"machine:01a2076b-4400-7bcc-9c9e-5ee5c50fece8","by":{"role":"owner","#,
    r#""resource":"organization:01a2076b-4400-75e3-9ba3-da635ce94806"}}],"changes":[{"kind":"key","#,
    r#""id":"01a2076b-4400-7377-977d-49041de866ed","#,
    r#""before":"f5cfe860a4d5e6ed9c98a015d72d89837f5a647804a201a314f010f96ca31c74"},{"kind":"part","#,
    r#""id":"01a2076b-4400-7d54-9e74-1e31886512e9","#,
    r#""before":"953455fbe8ac8e511bda7f714b7f310d221d4c0b619a00047b21a27ccfbd2073"},{"kind":"machine","#,
    r#""id":"01a2076b-4400-7bcc-9c9e-5ee5c50fece8","#,
    r#""before":"041e17dff7206ef1eae160caafb62116ce670a526cf0e395ccbc7b49bd15b67b"}],"documents":["#,
    r#"{"kind":"secret","id":"ddf7ff5e-bd9d-66ce-1614-66c1c0262430"},"#,
    r#"{"kind":"metadata","id":"part:01a2076b-4400-7d54-9e74-1e31886512e9"},"#,
    r#"{"kind":"metadata","id":"machine:01a2076b-4400-7bcc-9c9e-5ee5c50fece8"}]}"#,
);
