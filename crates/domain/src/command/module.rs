//! Modules: create, update, upload a version for a platform.

use super::{Command, Context, Decision, put};
use crate::authorize::Permit;
use crate::document::{DocumentChange, DocumentKind};
use crate::id::{ModuleId, OrganizationId};
use crate::module::{
    MAX_PLATFORMS, MAX_VERSIONS, Module, ModuleFile, ModuleName, ModuleRef, ModuleTexts, ModuleVersion,
    Platform, TextsId, Version, Visibility, file_name,
};
use crate::policy::Permission;
use crate::query;
use crate::record::Kind;
use crate::refusal::Refusal;
use crate::resource::Resource;
use crate::verify::Principal;
use crate::view::View;

/// Make a module without any version. It is private until somebody says otherwise.
#[derive(Clone, Debug)]
pub struct CreateModule {
    /// Whose it is.
    pub organization: OrganizationId,
    /// What to call it; free in the organization, in capitals or not.
    pub name: ModuleName,
}

impl Command for CreateModule {
    type Reply = Module;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Module>, Refusal> {
        let resource = Resource::Organization(self.organization);
        let permit = context.authorize(Permission::WritePrivateRegistryItem, resource)?;
        if context.view.module_named(self.organization, &self.name).is_some() {
            let said = format!("organization {} has a module {} already", self.organization, self.name);
            return Err(Refusal::AlreadyExists(said));
        }
        let id = ModuleId::generate(context.now, context.rng);
        let (texts, document) = ModuleTexts::default().document(id)?;
        let made = Module {
            id,
            organization: self.organization,
            name: self.name,
            visibility: Visibility::Private,
            texts,
            versions: Vec::new(),
            created_at: context.now,
        };
        Ok(context.decision(permit, vec![put(made.clone())], made).with_documents(vec![document]))
    }
}

/// Say who may have a module and what it is. Everything is said anew; what its versions said stays.
#[derive(Clone, Debug)]
pub struct UpdateModule {
    /// Which module.
    pub module: ModuleRef,
    /// Who may have it. Nobody knows yet which machines use it, so a public one may always be made private.
    pub visibility: Visibility,
    /// What it is.
    pub texts: ModuleTexts,
}

impl Command for UpdateModule {
    type Reply = Module;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Module>, Refusal> {
        let (mut permit, before) = writable(context.view, &context.principal, &self.module)?;
        if before.visibility.is_private() && !self.visibility.is_private() {
            let resource = Resource::Organization(before.organization);
            permit = permit.and(context.authorize(Permission::WritePublicRegistryItem, resource)?);
        }
        self.texts.check()?;
        let (texts, document) = self.texts.document(before.id)?;
        let after = Module { visibility: self.visibility, texts, ..before.clone() };
        if after == *before {
            return Ok(Decision::unchanged(permit, after));
        }
        let documents = said_anew(before, &after, document);
        Ok(context.decision(permit, vec![put(after.clone())], after).with_documents(documents))
    }
}

/// What is said now in place of what was said before, unless a version still says that.
fn said_anew(before: &Module, after: &Module, document: DocumentChange) -> Vec<DocumentChange> {
    let forgotten = before.documents().filter(|texts| after.documents().all(|kept| kept != *texts));
    forgotten.map(|texts| without(before.id, texts)).chain([document]).collect()
}

pub(super) fn without(module: ModuleId, texts: TextsId) -> DocumentChange {
    DocumentChange::delete(DocumentKind::Module, &texts.document(module))
}

/// Add a version's file for a platform. The file lies in the store already, and nobody reaches it before.
#[derive(Clone, Debug)]
pub struct UploadModule {
    /// Which module.
    pub module: ModuleRef,
    /// Which version of it.
    pub version: Version,
    /// What was uploaded; the time is set when it is decided.
    pub file: ModuleFile,
}

impl Command for UploadModule {
    type Reply = Module;

    fn decide(self, context: &mut Context<'_>) -> Result<Decision<Module>, Refusal> {
        let Self { module, version, file } = self;
        let principal = &context.principal;
        let (permit, before) = may_upload(context.view, principal, &module, &version, &file.platform)?;
        let mut after = before.clone();
        let file = ModuleFile { uploaded_at: context.now, ..file };
        let place = match after.versions.binary_search_by(|known| known.number.cmp(&version)) {
            Ok(place) => place,
            Err(place) => {
                let new = ModuleVersion { number: version, texts: before.texts, files: Vec::new() };
                after.versions.insert(place, new);
                place
            }
        };
        if let Some(version) = after.versions.get_mut(place) {
            version.files.push(file);
            version.files.sort_by(|one, other| one.platform.cmp(&other.platform));
        }
        Ok(context.decision(permit, vec![put(after.clone())], after))
    }
}

/// Whether a file may be uploaded: asked before the first byte, and again when the file is to be added.
///
/// # Errors
/// Why not.
pub fn may_upload<'v, V: View + ?Sized>(
    view: &'v V,
    principal: &Principal<'_>,
    module: &ModuleRef,
    version: &Version,
    platform: &Platform,
) -> Result<(Permit, &'v Module), Refusal> {
    let (permit, found) = writable(view, principal, module)?;
    // Two different pairs can read the same, 1.0.0-linux for any and 1.0.0 for linux/any: clients could not tell.
    if found.file_called(&file_name(version, platform)).is_some() {
        return Err(Refusal::AlreadyExists(format!(
            "version {version} of module {module} is there for {platform} already: upload another version"
        )));
    }
    match found.version(version) {
        Some(known) if known.files.len() >= MAX_PLATFORMS => {
            let rule = format!("must be one of at most {MAX_PLATFORMS} of a version");
            Err(Refusal::invalid("module_file_info.platform", rule))
        }
        None if found.versions.len() >= MAX_VERSIONS => {
            let rule = format!("must be one of at most {MAX_VERSIONS} of a module");
            Err(Refusal::invalid("module_file_info.version", rule))
        }
        _ => Ok((permit, found)),
    }
}

/// The module, if the principal may change it. Whoever may not even have it learns nothing of it.
fn writable<'v, V: View + ?Sized>(
    view: &'v V,
    principal: &Principal<'_>,
    module: &ModuleRef,
) -> Result<(Permit, &'v Module), Refusal> {
    let found = query::find_module(view, module).ok_or(Refusal::NotFound(Kind::Module))?;
    let permission = match found.visibility {
        Visibility::Private => Permission::WritePrivateRegistryItem,
        Visibility::Public | Visibility::PublicUnlisted => Permission::WritePublicRegistryItem,
    };
    let resource = Resource::Organization(found.organization);
    match crate::authorize::authorize(view, principal, permission, resource) {
        Ok(permit) => Ok((permit, found)),
        Err(Refusal::NotFound(_)) if found.visibility.is_private() => Err(Refusal::NotFound(Kind::Module)),
        Err(Refusal::NotFound(_)) => Err(Refusal::PermissionDenied { permission, resource: None }),
        Err(refusal) => Err(refusal),
    }
}
