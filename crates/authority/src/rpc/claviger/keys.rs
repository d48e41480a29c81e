//! `claviger.v1.KeyService`: expiry, creators, use, pages.

use domain::command::{CreateKey, NewKey, SetKeyExpiry};
use domain::query::{self, ListedKey};
use domain::{Actor, Key, KeyId, Permission, Refusal, Resource, ResourceType, Role, Timestamp};
use wire::claviger::v1 as pb;
use wire::claviger::v1::key_service_server::KeyService;
use wire::convert::{self, claviger};

use super::page::Page;
use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;
use crate::usage::{KEPT_DAYS, Usage};

crate::rpc::serve! {
    KeyService {
        create_key(pb::CreateKeyRequest) -> pb::CreateKeyResponse = create,
        get_key(pb::GetKeyRequest) -> pb::Key = get,
        list_keys(pb::ListKeysRequest) -> pb::ListKeysResponse = list,
        set_key_expiry(pb::SetKeyExpiryRequest) -> pb::Key = set_expiry,
        get_key_usage(pb::GetKeyUsageRequest) -> pb::GetKeyUsageResponse = usage,
        list_managers(pb::ListManagersRequest) -> pb::ListManagersResponse = managers,
    }
}

fn shown(usage: &Usage, listed: &ListedKey<'_>, now: Timestamp) -> pb::Key {
    claviger::key(listed.key, &listed.grants, listed.manageable(), last_use(usage, listed.key.id), now)
}

/// A key as the one sees it who just made or changed it, and who therefore may manage all of it.
fn changed(app: &App, key: &Key) -> pb::Key {
    let shared = app.engine.shared();
    claviger::key(key, &key.grants, true, last_use(&shared.usage, key.id), shared.clock.now())
}

fn last_use(usage: &Usage, key: KeyId) -> claviger::LastUse {
    let used = usage.last(key);
    let used = used.map(|last| claviger::LastUse { at: Some(last.at), address: last.address.to_string() });
    used.unwrap_or_default()
}

async fn create(
    app: &App,
    call: &Call,
    request: pb::CreateKeyRequest,
) -> Result<pb::CreateKeyResponse, Failure> {
    let pb::CreateKeyRequest { organization_id, name, grants, expires_at } = request;
    let grants = grants.iter().enumerate();
    let grants = grants.map(|(number, grant)| claviger::parse_grant(&format!("grants[{number}]"), grant));
    let command = CreateKey {
        organization: convert::optional_id("organization_id", &organization_id)?,
        name: convert::name("name", &name)?,
        grants: grants.collect::<Result<_, _>>()?,
        expires_at: convert::optional_timestamp("expires_at", expires_at)?,
    };
    let NewKey { key, value } = app.engine.change(call, command).await?;
    Ok(pb::CreateKeyResponse { key: Some(changed(app, &key)), value: value.expose().to_owned() })
}

async fn get(app: &App, call: &Call, request: pb::GetKeyRequest) -> Result<pb::Key, Failure> {
    let id: KeyId = convert::id("id", &request.id)?;
    let usage = &app.engine.shared().usage;
    let key = app.engine.read(call, None, |state, principal, now| {
        query::get_key(state, principal, id).map(|listed| shown(usage, &listed, now))
    })?;
    Ok(key)
}

async fn set_expiry(app: &App, call: &Call, request: pb::SetKeyExpiryRequest) -> Result<pb::Key, Failure> {
    let pb::SetKeyExpiryRequest { id, expires_at } = request;
    let command = SetKeyExpiry {
        id: convert::id("id", &id)?,
        expires_at: convert::optional_timestamp("expires_at", expires_at)?,
    };
    let key = app.engine.change(call, command).await?;
    Ok(changed(app, &key))
}

async fn list(app: &App, call: &Call, request: pb::ListKeysRequest) -> Result<pb::ListKeysResponse, Failure> {
    let pb::ListKeysRequest { organization_id, page_size, page_token, filter } = request;
    let organization = convert::id("organization_id", &organization_id)?;
    let page = Page::parse(page_size, &page_token)?;
    let filter = Filter::parse(filter.unwrap_or_default())?;
    let uses = (Permission::ManageKeys, Resource::Organization(organization));
    let usage = &app.engine.shared().usage;
    let (keys, next_page_token) = app.engine.read(call, Some(uses), |state, principal, now| {
        let keys = query::list_keys(state, principal, organization)?;
        let wanted = keys.into_iter().filter(|listed| filter.wants(listed, usage, now));
        let (page, next) = page.cut(wanted, |listed| listed.key.id);
        Ok((page.iter().map(|listed| shown(usage, listed, now)).collect(), next))
    })?;
    Ok(pb::ListKeysResponse { keys, next_page_token })
}

/// Which keys are wanted; every condition that is given must hold.
struct Filter {
    resource: Option<Resource>,
    role: Option<Role>,
    creator: Option<KeyId>,
    name_contains: String,
    expired: Option<bool>,
    unused_since: Option<Timestamp>,
}

impl Filter {
    fn parse(filter: pb::KeyFilter) -> Result<Self, Refusal> {
        let pb::KeyFilter { resource, role, creator_key_id, name_contains, state, unused_since } = filter;
        let expired = match pb::KeyState::try_from(state) {
            Ok(pb::KeyState::Unspecified) => None,
            Ok(pb::KeyState::Active) => Some(false),
            Ok(pb::KeyState::Expired) => Some(true),
            Err(_) => return Err(Refusal::invalid("filter.state", "must be active or expired")),
        };
        let resource = resource.map(|it| claviger::parse_resource("filter.resource", Some(&it)));
        Ok(Self {
            resource: resource.transpose()?,
            role: claviger::parse_role("filter.role", role)?,
            creator: convert::optional_id("filter.creator_key_id", &creator_key_id)?,
            name_contains: name_contains.to_lowercase(),
            expired,
            unused_since: convert::optional_timestamp("filter.unused_since", unused_since)?,
        })
    }

    fn wants(&self, listed: &ListedKey<'_>, usage: &Usage, now: Timestamp) -> bool {
        let key = listed.key;
        let granted = listed.grants.iter().any(|grant| {
            self.role.is_none_or(|role| role == grant.role)
                && self.resource.is_none_or(|resource| resource == grant.resource)
        });
        granted
            && self.creator.is_none_or(|creator| key.creator == Actor::Key(creator))
            && key.name.as_str().to_lowercase().contains(&self.name_contains)
            && self.expired.is_none_or(|expired| key.expired(now) == expired)
            && self.unused_since.is_none_or(|since| usage.last(key.id).is_none_or(|last| last.at < since))
    }
}

async fn usage(
    app: &App,
    call: &Call,
    request: pb::GetKeyUsageRequest,
) -> Result<pb::GetKeyUsageResponse, Failure> {
    let pb::GetKeyUsageRequest { id, from_day, to_day } = request;
    let id: KeyId = convert::id("id", &id)?;
    let now = app
        .engine
        .read(call, None, |state, principal, now| query::get_key(state, principal, id).map(|_| now))?;
    let from = day("from_day", from_day.as_deref())?.unwrap_or_else(|| now.day().saturating_sub(KEPT_DAYS));
    let to = day("to_day", to_day.as_deref())?.unwrap_or_else(|| now.day());
    // What was gathered since the last flush belongs to the answer. In a task: a caller who goes away must not take
    // it along.
    let engine = app.engine.clone();
    let flushed = tokio::spawn(async move { engine.shared().usage.flush(engine.journal()).await }).await;
    if !matches!(flushed, Ok(Ok(()))) {
        tracing::error!(?flushed, "the uses gathered were not written");
    }
    let rows = app.engine.journal().tallies(&id.to_string(), from, to).await;
    let rows = rows.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "uses could not be read");
        Failure::Internal("the uses of the key cannot be read; the authority's log says why")
    })?;
    Ok(pb::GetKeyUsageResponse { rows: rows.iter().map(row).collect() })
}

/// Days since the epoch from `2026-11-23`.
fn day(field: &str, text: Option<&str>) -> Result<Option<i32>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let midnight: Result<Timestamp, _> = format!("{text}T00:00:00Z").parse();
    match midnight {
        Ok(midnight) if text.len() == 10 => Ok(Some(midnight.day())),
        _ => Err(Refusal::invalid(field, "must be a day such as 2026-11-23")),
    }
}

fn row(tally: &journal::Tally) -> pb::KeyUsage {
    let midnight = Timestamp::from_micros(i64::from(tally.day) * 86_400_000_000).to_string();
    let (permission, resource) = tally.label.split_once(' ').unwrap_or((&tally.label, ""));
    let resource = resource.split_once(':').and_then(|(level, id)| {
        let level = ResourceType::ALL.into_iter().find(|known| known.name() == level)?;
        Resource::parse(level, id).ok().map(claviger::resource)
    });
    pb::KeyUsage {
        day: midnight.chars().take(10).collect(),
        permission: permission.to_owned(),
        resource,
        count: tally.count,
    }
}

async fn managers(
    app: &App,
    call: &Call,
    request: pb::ListManagersRequest,
) -> Result<pb::ListManagersResponse, Failure> {
    let resource = claviger::parse_resource("resource", request.resource.as_ref())?;
    let uses = (Permission::ManageKeys, resource);
    let managers = app.engine.read(call, Some(uses), |state, principal, _| {
        let found = query::list_managers(state, principal, resource)?;
        let managers = found.into_iter().map(|(key, grant)| pb::Manager {
            key_id: key.id.to_string(),
            name: key.name.to_string(),
            grant: Some(claviger::grant(grant)),
        });
        Ok(managers.collect())
    })?;
    Ok(pb::ListManagersResponse { managers })
}
