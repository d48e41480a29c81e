//! The audit log: what an entry concerns, and what of it may be seen by whom.
//!
//! The rule. Who holds `read_audit` on an organization sees every entry that concerns it, whole. Who holds it on a
//! location or a machine sees the entries that concerned that resource, or something below it, as the fleet stood
//! when they were decided; and of each only
//!
//! - the changes of records that stood at or below that resource before or after the entry, a key, a person and an
//!   invitation standing wherever they have a grant;
//! - of their grants, those at or below it; one of which nothing else has changed is left out;
//! - the allowances on what stood at or below it.
//!
//! Keys and people belong to the organization that they hold their grants in. The owners of what others share with it
//! are not told of them, and the audit log of what is shared stays with the organization that it belongs to.
//!
//! An entry of which nothing is left is not seen at all. Nobody sees the hash of a key or sealed bytes: what stands
//! here has no field for them.

mod past;
mod seen;
mod subject;

pub use past::{PastAllowance, PastChange, PastEntry, above};
pub use seen::{SeenChange, SeenEntry, What, asked_for, roots, see};
pub use subject::{About, Subject, Subjects};
