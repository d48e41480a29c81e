//! The server: takes calls in, lets the domain decide, commits, answers.
//!
//! Read in this order:
//!
//! 1. [`Authority`]: from a data folder to a running engine, and back.
//! 2. [`engine`]: every decision; reads look, changes go to the one writer.
//! 3. [`server`]: the listener and the layer that every call passes.
//! 4. `rpc`: one file a subject, one function an endpoint.
//!
//! What this crate never holds: a rule about who may do what. Those are in `domain`.

pub mod audit;
mod authority;
mod call;
mod clock;
mod data;
pub mod engine;
mod failure;
mod feed;
pub mod files;
mod logs;
mod mark;
mod master;
mod metrics;
mod origin;
mod presence;
mod replay;
mod restarts;
pub mod restore;
mod rpc;
pub mod secrets;
pub mod server;
pub mod signing;
mod store;
mod streams;
mod trail;
mod unconfirmed;
mod usage;

pub use authority::{Authority, MasterKeySource, StartError};
pub use data::{DataDir, write_private};
pub use failure::Failure;
pub use journal::Absent;
pub use master::{MasterKey, MasterKeyError};
pub use presence::Parts;
pub use unconfirmed::Unconfirmed;
