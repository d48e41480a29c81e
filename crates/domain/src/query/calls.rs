//! What a part asks for itself, or somebody asks in its place.

use crate::id::PartId;
use crate::policy::Permission;
use crate::record::{Actor, Kind, Part};
use crate::refusal::Refusal;
use crate::verify::Principal;
use crate::view::View;

use super::parts::part_for;

/// The part for which the caller speaks: the caller itself, or one whose secret the caller may read and could
/// thus call with.
///
/// # Errors
/// For another part's caller and for strangers, there is no such part. Who sees its machine is told what is missing.
pub fn speak_for<'a, V: View + ?Sized>(
    view: &'a V,
    principal: &Principal<'_>,
    id: PartId,
) -> Result<&'a Part, Refusal> {
    if principal.actor() == Actor::Part(id) {
        return view.part(id).ok_or(Refusal::NotFound(Kind::Part));
    }
    part_for(view, principal, Permission::ReadRobotSecret, id)
}
