//! The behaviours that every database must show.

pub(crate) mod chain;
pub(crate) mod lines;
pub(crate) mod records;
pub(crate) mod traces;
pub(crate) mod trouble;
pub(crate) mod turns;
pub(crate) mod usage;
pub(crate) mod verify;
