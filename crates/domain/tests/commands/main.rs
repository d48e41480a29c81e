//! The rules of the commands, each as a test of its own.

#![cfg(test)]

#[path = "../common/fleet.rs"]
mod fleet;

mod exact;
mod grants;
mod keys;
mod locations;
mod machines;
mod metadata;
mod modules;
mod organizations;
mod owners;
mod parts;
mod roles;
mod secrets;
mod share;
mod signing;

use domain::{Permission, Refusal, Resource};

/// The refusal of somebody who sees the thing and may not do this to it.
fn denied(permission: Permission, resource: impl fleet::IntoResource) -> Refusal {
    Refusal::PermissionDenied { permission, resource: Some(resource.resource()) }
}

/// The same where what is missing lies out of the caller's sight.
const fn denied_on_something_hidden(permission: Permission) -> Refusal {
    Refusal::PermissionDenied { permission, resource: None }
}

fn invalid(field: &str, rule: &str) -> Refusal {
    Refusal::Invalid { field: field.to_owned(), rule: rule.to_owned() }
}

fn failed_precondition(text: String) -> Refusal {
    Refusal::FailedPrecondition(text)
}

/// The three levels of the fleet that the machine `arm` hangs on.
fn levels(fleet: &fleet::Fleet) -> [Resource; 3] {
    [Resource::Organization(fleet.organization), Resource::Location(fleet.cell), Resource::Machine(fleet.arm)]
}
