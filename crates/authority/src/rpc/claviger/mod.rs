//! `claviger.v1`: what Viam's wire has no field for.

mod identity;
mod keys;
mod page;
