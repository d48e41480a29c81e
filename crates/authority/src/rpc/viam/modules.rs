//! Modules. What they say about themselves is read from the database, because no decision needs it.

use std::collections::BTreeMap;

use domain::command::{CreateModule, UpdateModule};
use domain::{
    DocumentKind, Module, ModuleRef, ModuleTexts, Organization, OrganizationId, Refusal, State, TextsId,
    View as _, query,
};
use wire::convert::{self, modules};
use wire::viam::app::v1 as pb;

use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;

/// How often a module is looked at again whose texts changed while they were read.
const LOOKS: usize = 5;

/// A module with whose it is.
pub(in crate::rpc) type Owned = (Module, Organization);

pub(super) async fn create(
    app: &App,
    call: &Call,
    request: pb::CreateModuleRequest,
) -> Result<pb::CreateModuleResponse, Failure> {
    let command = CreateModule {
        organization: convert::id("organization_id", &request.organization_id)?,
        name: convert::id("name", &request.name)?,
    };
    let made = app.engine.change(call, command).await?;
    let module_id = app.engine.read(call, None, |state, _, _| owned(state, &made))?;
    Ok(pb::CreateModuleResponse {
        module_id: modules::module_id(&module_id.0, &module_id.1),
        url: String::new(),
    })
}

pub(super) async fn update(
    app: &App,
    call: &Call,
    request: pb::UpdateModuleRequest,
) -> Result<pb::UpdateModuleResponse, Failure> {
    let command = UpdateModule {
        module: convert::id("module_id", &request.module_id)?,
        visibility: modules::parse_visibility(request.visibility)?,
        texts: modules::parse_texts(request),
    };
    app.engine.change(call, command).await?;
    Ok(pb::UpdateModuleResponse { url: String::new() })
}

pub(super) async fn get(
    app: &App,
    call: &Call,
    request: pb::GetModuleRequest,
) -> Result<pb::GetModuleResponse, Failure> {
    let module: ModuleRef = convert::id("module_id", &request.module_id)?;
    let markdown = request.include_markdown_documentation.unwrap_or(false);
    let found = told(app, markdown, || {
        app.engine.read(call, None, |state, principal, _| {
            Ok(vec![owned(state, query::get_module(state, principal, &module)?)?])
        })
    });
    Ok(pb::GetModuleResponse { module: found.await?.pop() })
}

pub(super) async fn list(
    app: &App,
    call: &Call,
    request: pb::ListModulesRequest,
) -> Result<pb::ListModulesResponse, Failure> {
    let organization = request.organization_id.unwrap_or_default();
    let organization: Option<OrganizationId> = convert::optional_id("organization_id", &organization)?;
    let markdown = request.include_markdown_documentation.unwrap_or(false);
    let modules = told(app, markdown, || {
        app.engine.read(call, None, |state, principal, _| {
            let seen = query::list_modules(state, principal, organization)?;
            seen.into_iter().map(|module| owned(state, module)).collect()
        })
    });
    Ok(pb::ListModulesResponse { modules: modules.await? })
}

/// The module, with whose it is.
pub(in crate::rpc) fn owned(state: &State, module: &Module) -> Result<Owned, Refusal> {
    let owner = state.organization(module.organization);
    let owner = owner.ok_or(Refusal::NotFound(domain::Kind::Organization))?;
    Ok((module.clone(), owner.clone()))
}

/// The modules that are found, with what they say. Whoever says something else in between is asked again.
async fn told(
    app: &App,
    markdown: bool,
    find: impl Fn() -> Result<Vec<Owned>, Refusal>,
) -> Result<Vec<pb::Module>, Failure> {
    for _ in 0..LOOKS {
        let found = find()?;
        if let Some(told) = tell(app, &found, markdown).await? {
            return Ok(told);
        }
    }
    Err(Failure::Internal("what a module says about itself is missing"))
}

async fn tell(app: &App, found: &[Owned], markdown: bool) -> Result<Option<Vec<pb::Module>>, Failure> {
    let mut told = Vec::with_capacity(found.len());
    for (module, owner) in found {
        let mut said: BTreeMap<TextsId, ModuleTexts> = BTreeMap::new();
        for texts in module.documents() {
            let Some(read) = read(app, module, texts).await? else { return Ok(None) };
            said.insert(texts, read);
        }
        let said = |texts: TextsId| said.get(&texts).cloned().unwrap_or_default();
        told.push(modules::module(module, owner, &said, markdown));
    }
    Ok(Some(told))
}

async fn read(app: &App, module: &Module, texts: TextsId) -> Result<Option<ModuleTexts>, Failure> {
    let id = texts.document(module.id);
    let unreadable = |error: &(dyn std::error::Error + 'static)| {
        tracing::error!(error, id, "what a module says about itself cannot be read");
        Failure::Internal("what a module says about itself cannot be read")
    };
    let document = app.engine.journal().document(DocumentKind::Module.name(), &id).await;
    let Some(content) = document.map_err(|error| unreadable(&error))? else { return Ok(None) };
    ModuleTexts::read(&id, &content).map(Some).map_err(|error| unreadable(&error))
}
