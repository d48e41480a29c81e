//! Metadata: at and below what is owned, and nowhere else.

use domain::command::SetMetadata;
use domain::{
    DocumentKind, Kind, Metadata, MetadataSubject, Permission, Refusal, Resource, View as _, query,
};

use crate::fleet::{Fleet, IntoResource as _, operator, owner};
use crate::{denied, levels};

fn noted(subject: MetadataSubject) -> SetMetadata {
    SetMetadata { subject, metadata: Metadata::parse("{\"a\":1}".to_owned()).unwrap() }
}

/// From the top: the organization, the hall, the cell, the arm, its part.
fn subjects(fleet: &Fleet) -> [MetadataSubject; 5] {
    let part = fleet.state.parts_of(fleet.arm).next().unwrap().id;
    let [organization, cell, arm] = levels(fleet);
    let on = MetadataSubject::Resource;
    [on(organization), on(fleet.hall.resource()), on(cell), on(arm), MetadataSubject::Part(part)]
}

#[test]
fn owners_read_and_write_downward() {
    let mut fleet = Fleet::new();
    let subjects = subjects(&fleet);
    for (role, first) in [(owner(fleet.organization), 0), (owner(fleet.cell), 2), (owner(fleet.arm), 3)] {
        let by = fleet.key([role]);
        for (place, subject) in subjects.into_iter().enumerate() {
            let mut no = denied(Permission::ReadMetadata, fleet.organization);
            if let MetadataSubject::Resource(resource) = subject {
                no = denied(Permission::ReadMetadata, resource);
            }
            let read = query::may_read_metadata(&fleet.state, &fleet.principal(by), subject);
            assert_eq!(read, if place < first { Err(no) } else { Ok(()) }, "{subject:?} by {role:?}");
            if place < first {
                assert!(matches!(fleet.refused(by, noted(subject)), Refusal::PermissionDenied { .. }));
            } else {
                fleet.run(by, noted(subject)).unwrap();
                assert!(!fleet.journal.last().unwrap().narrows());
            }
        }
    }
}

#[test]
fn operators_and_strangers_know_of_none() {
    let mut fleet = Fleet::new();
    let subjects = subjects(&fleet);
    let roles = [operator(fleet.organization), operator(fleet.cell), operator(fleet.arm)];
    for by in roles.map(|it| fleet.key([it])) {
        for subject in subjects {
            let read = query::may_read_metadata(&fleet.state, &fleet.principal(by), subject);
            assert!(matches!(read, Err(Refusal::PermissionDenied { .. })), "{read:?}");
            assert!(matches!(fleet.refused(by, noted(subject)), Refusal::PermissionDenied { .. }));
        }
    }
    let kinds = [Kind::Organization, Kind::Location, Kind::Location, Kind::Machine, Kind::Part];
    for (subject, kind) in subjects.into_iter().zip(kinds) {
        assert_eq!(fleet.refused(fleet.stranger, noted(subject)), Refusal::NotFound(kind));
    }
}

#[test]
fn it_is_a_document_under_level_and_id() {
    let mut fleet = Fleet::new();
    let subject = MetadataSubject::Resource(Resource::Machine(fleet.arm));
    fleet.run(fleet.owner, noted(subject)).unwrap();
    let document = fleet.journal.last().unwrap().documents()[0].clone();
    assert_eq!((document.kind, document.id), (DocumentKind::Metadata, format!("machine:{}", fleet.arm)));
    let empty = SetMetadata { subject, metadata: Metadata::parse("{}".to_owned()).unwrap() };
    fleet.run(fleet.owner, empty).unwrap();
    assert_eq!(fleet.journal.last().unwrap().documents()[0].content, None);
}
