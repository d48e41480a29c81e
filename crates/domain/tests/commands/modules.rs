//! Modules: who publishes what, and who may have it.

use domain::command::{
    CreateModule, DeleteOrganization, UpdateModule, UpdateOrganization, UploadModule, may_upload,
};
use domain::{
    Checksum, DocumentKind, FileId, Kind, Module, ModuleFile, ModuleRef, ModuleTexts, OrganizationId,
    Permission, Refusal, Timestamp, Version, View as _, Visibility, query,
};

use crate::fleet::{Fleet, Who, name, operator, owner};
use crate::{denied, denied_on_something_hidden, invalid};

fn create(organization: OrganizationId, name: &str) -> CreateModule {
    CreateModule { organization, name: name.parse().unwrap() }
}

fn named(organization: OrganizationId, name: &str) -> ModuleRef {
    format!("{organization}:{name}").parse().unwrap()
}

fn update(module: ModuleRef, visibility: Visibility, description: &str) -> UpdateModule {
    let texts = ModuleTexts { description: description.to_owned(), ..ModuleTexts::default() };
    UpdateModule { module, visibility, texts }
}

fn upload(module: ModuleRef, version: &str, platform: &str) -> UploadModule {
    let file = ModuleFile {
        id: FileId::from_bytes([7; 16]),
        platform: platform.parse().unwrap(),
        tags: vec![],
        size: 42,
        sha256: Checksum::from_bytes([9; 32]),
        crc32c: 7,
        uploaded_at: Timestamp::EPOCH,
    };
    UploadModule { module, version: Version::parse(version).unwrap(), file }
}

/// A fleet with a private module `arm`, and one with one version `lib`.
fn published() -> (Fleet, ModuleRef, ModuleRef) {
    let mut fleet = Fleet::new();
    let [arm, lib] = ["arm", "lib"].map(|module| named(fleet.organization, module));
    fleet.run(fleet.owner, create(fleet.organization, "arm")).unwrap();
    fleet.run(fleet.owner, create(fleet.organization, "lib")).unwrap();
    fleet.run(fleet.owner, upload(lib.clone(), "1.0.0", "linux/amd64")).unwrap();
    (fleet, arm, lib)
}

fn namespace(fleet: &mut Fleet, text: &str) -> Result<(), Refusal> {
    let (id, public_namespace) = (fleet.organization, Some(name(text)));
    let update = UpdateOrganization { id, name: None, public_namespace, region: None, cid: None };
    fleet.run(fleet.owner, update).map(drop)
}

/// What an entry did to the documents of modules: the ids put, the ids deleted.
fn documents(fleet: &Fleet) -> (Vec<String>, Vec<String>) {
    let changes = fleet.journal.last().unwrap().documents();
    let changes = changes.iter().filter(|change| change.kind == DocumentKind::Module);
    let (put, gone): (Vec<_>, Vec<_>) = changes.partition(|change| change.content.is_some());
    let ids = |changes: Vec<&domain::DocumentChange>| changes.iter().map(|it| it.id.clone()).collect();
    (ids(put), ids(gone))
}

#[test]
fn only_owners_of_the_organization_publish() {
    let (mut fleet, arm, _) = published();
    let id = fleet.organization;
    let private = Permission::WritePrivateRegistryItem;
    for by in [operator(id), owner(fleet.hall), operator(fleet.hall), owner(fleet.arm), operator(fleet.arm)]
        .map(|it| fleet.key([it]))
    {
        assert_eq!(fleet.refused(by, create(id, "x")), denied(private, id));
        let change = update(arm.clone(), Visibility::Private, "x");
        assert_eq!(fleet.refused(by, change), denied(private, id));
        assert_eq!(fleet.refused(by, upload(arm.clone(), "1.0.0", "any")), denied(private, id));
    }
    let absent = Refusal::NotFound(Kind::Module);
    assert_eq!(fleet.refused(fleet.stranger, create(id, "x")), Refusal::NotFound(Kind::Organization));
    assert_eq!(fleet.refused(fleet.stranger, update(arm.clone(), Visibility::Public, "x")), absent);
    assert_eq!(fleet.refused(fleet.stranger, upload(arm.clone(), "1.0.0", "any")), absent);
    // One that everybody sees is no secret, and still not theirs.
    fleet.run(fleet.owner, update(arm.clone(), Visibility::Public, "x")).unwrap();
    let hidden = denied_on_something_hidden(Permission::WritePublicRegistryItem);
    assert_eq!(fleet.refused(fleet.stranger, upload(arm, "1.0.0", "any")), hidden);
}

#[test]
fn a_name_is_given_once_in_an_organization() {
    let (mut fleet, ..) = published();
    for taken in ["arm", "ARM"] {
        let refused = fleet.refused(fleet.owner, create(fleet.organization, taken));
        assert!(matches!(refused, Refusal::AlreadyExists(_)), "{refused}");
    }
    let made = fleet.run(fleet.stranger, create(fleet.elsewhere, "arm")).unwrap();
    assert_eq!((made.visibility, made.versions.len()), (Visibility::Private, 0));
    assert_eq!(fleet.state.module_named(fleet.elsewhere, &"Arm".parse().unwrap()), Some(made.id));
    // Asked for it is as it was given.
    let capitals = update(named(fleet.elsewhere, "Arm"), Visibility::Private, "x");
    assert_eq!(fleet.refused(fleet.stranger, capitals), Refusal::NotFound(Kind::Module));
}

#[test]
fn both_prefixes_name_it() {
    let (mut fleet, arm, _) = published();
    let by_namespace: ModuleRef = "acme:arm".parse().unwrap();
    let principal = fleet.principal(fleet.owner);
    let absent = query::get_module(&fleet.state, &principal, &by_namespace);
    assert_eq!(absent.unwrap_err(), Refusal::NotFound(Kind::Module));
    namespace(&mut fleet, "acme").unwrap();
    for module in [&arm, &by_namespace] {
        let principal = fleet.principal(fleet.owner);
        assert_eq!(query::get_module(&fleet.state, &principal, module).unwrap().name.as_str(), "arm");
    }
    // An id of somebody else must not be had as a namespace.
    let mut fleet = Fleet::new();
    let elsewhere = fleet.elsewhere.to_string();
    assert_eq!(namespace(&mut fleet, &elsewhere), Err(invalid("public_namespace", "must not be a UUID")));
}

#[test]
fn versions_stand_in_order() {
    let (mut fleet, arm, _) = published();
    for version in ["1.0.0", "0.9.0", "1.10.0", "1.2.0", "1.2.0-rc.1", "1.2.0-rc.10", "1.2.0-rc.9"] {
        fleet.run(fleet.owner, upload(arm.clone(), version, "linux/amd64")).unwrap();
    }
    let made = fleet.run(fleet.owner, upload(arm, "1.2.0", "any")).unwrap();
    let order: Vec<_> = made.versions.iter().map(|version| version.number.to_string()).collect();
    assert_eq!(order, ["0.9.0", "1.0.0", "1.2.0-rc.1", "1.2.0-rc.9", "1.2.0-rc.10", "1.2.0", "1.10.0"]);
    let platforms: Vec<_> = made.versions[5].files.iter().map(|file| file.platform.as_str()).collect();
    assert_eq!(platforms, ["any", "linux/amd64"]);
    assert_eq!(made.versions[5].files[0].uploaded_at, fleet.now);
}

#[test]
fn what_was_uploaded_once_stays() {
    let (mut fleet, arm, lib) = published();
    let exists = |refusal| matches!(refusal, Refusal::AlreadyExists(_));
    assert!(exists(fleet.refused(fleet.owner, upload(lib, "1.0.0", "linux/amd64"))));
    // These two read the same where a client asks for one.
    fleet.run(fleet.owner, upload(arm.clone(), "1.0.0-linux", "any")).unwrap();
    assert!(exists(fleet.refused(fleet.owner, upload(arm.clone(), "1.0.0", "linux/any"))));
    let principal = fleet.principal(fleet.owner);
    let asked = upload(arm, "1.0.0", "linux/any");
    let refused = may_upload(&fleet.state, &principal, &asked.module, &asked.version, &asked.file.platform);
    assert!(exists(refused.unwrap_err()), "it is asked before the first byte as well");
}

#[test]
fn a_version_keeps_what_was_said_with_it() {
    let (mut fleet, arm, _) = published();
    let said = |fleet: &mut Fleet, text: &str| -> Module {
        fleet.run(fleet.owner, update(arm.clone(), Visibility::Private, text)).unwrap()
    };
    let first = said(&mut fleet, "first");
    assert_eq!(documents(&fleet).0, [first.texts.document(first.id)]);
    assert_eq!(documents(&fleet).1.len(), 1, "nobody speaks of what it said before");
    fleet.run_in_vain(fleet.owner, update(arm.clone(), Visibility::Private, "first"));
    fleet.run(fleet.owner, upload(arm.clone(), "1.0.0", "linux/amd64")).unwrap();
    let second = said(&mut fleet, "second");
    assert_eq!(
        documents(&fleet),
        (vec![second.texts.document(second.id)], vec![]),
        "1.0.0 speaks of the first"
    );
    let after = fleet.run(fleet.owner, upload(arm.clone(), "1.0.0", "linux/arm64")).unwrap();
    assert_eq!((after.texts, after.versions[0].texts), (second.texts, first.texts));
    said(&mut fleet, "third");
    assert_eq!(documents(&fleet).1, [second.texts.document(second.id)]);
    // Back to what a version says: the document is there and stays.
    said(&mut fleet, "first");
    said(&mut fleet, "fourth");
    assert_eq!(documents(&fleet).1, Vec::<String>::new());
}

#[test]
fn who_may_have_it() {
    let (mut fleet, arm, lib) = published();
    fleet.run(fleet.owner, update(lib.clone(), Visibility::PublicUnlisted, "")).unwrap();
    fleet.run(fleet.stranger, create(fleet.elsewhere, "theirs")).unwrap();
    let theirs = named(fleet.elsewhere, "theirs");
    fleet.run(fleet.stranger, update(theirs.clone(), Visibility::Public, "")).unwrap();
    let id = fleet.organization;
    let denied = denied(Permission::ReadPrivateRegistryItem, id);
    let absent = Refusal::NotFound(Kind::Module);
    let [operators, sites, machines] =
        [operator(id), owner(fleet.hall), owner(fleet.arm)].map(|it| fleet.key([it]));
    for (who, refused, listed) in [
        (fleet.owner, None, vec!["arm", "lib", "theirs"]),
        (sites, None, vec!["arm", "lib", "theirs"]),
        (machines, None, vec!["arm", "lib", "theirs"]),
        (operators, Some(denied), vec!["theirs"]),
        (fleet.stranger, Some(absent.clone()), vec!["theirs"]),
    ] {
        let principal = fleet.principal(who);
        assert_eq!(query::get_module(&fleet.state, &principal, &arm).err(), refused);
        assert!(query::get_module(&fleet.state, &principal, &lib).is_ok());
        assert!(query::get_module(&fleet.state, &principal, &theirs).is_ok());
        let found = query::list_modules(&fleet.state, &principal, None).unwrap();
        let mut names: Vec<_> = found.iter().map(|module| module.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, listed);
    }
    let stranger = fleet.principal(fleet.stranger);
    let refused = query::list_modules(&fleet.state, &stranger, Some(id));
    assert_eq!(refused.unwrap_err(), Refusal::NotFound(Kind::Organization));
    assert!(query::get_public_module(&fleet.state, &lib).is_ok());
    assert_eq!(query::get_public_module(&fleet.state, &arm).unwrap_err(), absent);
}

#[test]
fn public_ones_can_be_made_private_again() {
    let (mut fleet, arm, _) = published();
    for (visibility, narrows) in
        [(Visibility::Public, false), (Visibility::PublicUnlisted, false), (Visibility::Private, true)]
    {
        fleet.run(fleet.owner, update(arm.clone(), visibility, "")).unwrap();
        assert_eq!(fleet.journal.last().unwrap().narrows(), narrows);
        let listed = fleet.state.public_modules().count();
        assert_eq!(listed, usize::from(!visibility.is_private()));
    }
}

#[test]
fn they_go_with_their_organization() {
    let (mut fleet, arm, _) = published();
    let gone = fleet.run(Who::System, domain::command::CreateOrganization { name: name("gone") }).unwrap();
    fleet.run(Who::System, create(gone.id, "x")).unwrap();
    fleet.run(Who::System, update(named(gone.id, "x"), Visibility::Public, "x")).unwrap();
    fleet.run(Who::System, upload(named(gone.id, "x"), "1.0.0", "any")).unwrap();
    fleet.run(Who::System, update(named(gone.id, "x"), Visibility::Public, "y")).unwrap();
    fleet.run(Who::System, DeleteOrganization { id: gone.id }).unwrap();
    assert_eq!(documents(&fleet).1.len(), 2, "what it says, and what its version says");
    assert_eq!((fleet.state.count(Kind::Module), fleet.state.public_modules().count()), (2, 0));
    assert!(query::get_public_module(&fleet.state, &arm).is_err());
}

#[test]
fn namespaces_are_free_or_not() {
    let (mut fleet, ..) = published();
    let free = |fleet: &Fleet, who, text: &str, of| {
        query::namespace_available(&fleet.state, &fleet.principal(who), &name(text), of)
    };
    let (id, elsewhere) = (fleet.organization, fleet.elsewhere);
    assert_eq!(free(&fleet, fleet.owner, "acme", Some(id)), Ok(true));
    namespace(&mut fleet, "acme").unwrap();
    assert_eq!(free(&fleet, fleet.owner, "acme", Some(id)), Ok(true), "it is theirs");
    assert_eq!(free(&fleet, fleet.owner, "acme-2", Some(id)), Ok(false), "they have one already");
    assert_eq!(free(&fleet, fleet.stranger, "acme", Some(elsewhere)), Ok(false));
    assert_eq!(free(&fleet, fleet.stranger, "acme", None), Ok(false));
    assert_eq!(free(&fleet, fleet.stranger, "other", None), Ok(true));
    let absent = Refusal::NotFound(Kind::Organization);
    assert_eq!(free(&fleet, fleet.stranger, "other", Some(id)), Err(absent));
    for bad in ["Acme", "-a", "a_b", "a.b"] {
        assert!(matches!(free(&fleet, fleet.owner, bad, None), Err(Refusal::Invalid { .. })), "{bad}");
    }
}
