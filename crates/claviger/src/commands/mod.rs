//! One file a command: its arguments, what it does, what it prints.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod exchange_master_key;
pub(crate) mod export_journal;
pub(crate) mod init;
pub(crate) mod quickstart;
pub(crate) mod recover;
pub(crate) mod restore;
pub(crate) mod rotate_keys;
pub(crate) mod serve;
pub(crate) mod status;

mod node;

use std::future::Future;

use anyhow::Context as _;
use domain::command::NewKey;
use serde::Serialize;

/// A key as it is printed, once.
#[derive(Debug, Serialize)]
struct ShownKey {
    id: String,
    key: String,
}

impl ShownKey {
    fn of(new: &NewKey) -> Self {
        Self { id: new.key.id.to_string(), key: new.value.expose().to_owned() }
    }
}

/// Runs what a command does.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("the runtime could not be started")?.block_on(work)
}
