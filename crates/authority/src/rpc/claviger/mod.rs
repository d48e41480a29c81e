//! `claviger.v1`: what Viam's wire has no field for.

mod audit;
mod identity;
mod keys;
mod page;
