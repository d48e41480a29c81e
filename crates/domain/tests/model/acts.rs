//! What can be done to a fleet, and done to the real one.

use domain::command::{
    AddRole, ChangeRole, CreateKey, CreateLocation, CreateMachine, CreateOrganization, DeleteKey,
    DeleteLocation, DeleteMachine, DeleteOrganization, DuplicateKey, FoundOrganization, NewKey, RecoverOwner,
    RemoveRole, RenameKey, ReplaceSigningKey, ResealSigningKeys, RetireSigningKeys, RotateKey, SetKeyExpiry,
    ShareLocation, UnshareLocation, UpdateLocation, UpdateMachine, UpdateOrganization,
};
use domain::{Command, Context, Entry, Key, Location, Machine, Organization, Refusal};

macro_rules! acts {
    ($($name:ident => $reply:ident,)*) => {
        /// Any command.
        #[derive(Clone, Debug)]
        pub(crate) enum Act {
            $($name($name),)*
        }

        impl Act {
            /// What to call it in a count.
            pub(crate) const fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }

            /// All the names, to see that none was forgotten.
            pub(crate) const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// Lets the crate decide.
            pub(crate) fn decide(self, context: &mut Context<'_>) -> Result<(Option<Entry>, Reply), Refusal> {
                match self {
                    $(Self::$name(command) => {
                        let decision = command.decide(context)?;
                        Ok((decision.entry, Reply::$reply(decision.reply)))
                    })*
                }
            }
        }
    };
}

acts! {
    AddRole => Nothing,
    ChangeRole => Nothing,
    CreateKey => NewKey,
    CreateLocation => Location,
    CreateMachine => Machine,
    CreateOrganization => Organization,
    DeleteKey => Nothing,
    DeleteLocation => Nothing,
    DeleteMachine => Nothing,
    DeleteOrganization => Nothing,
    DuplicateKey => NewKey,
    FoundOrganization => Founded,
    RecoverOwner => NewKey,
    RemoveRole => Nothing,
    RenameKey => Key,
    ReplaceSigningKey => Nothing,
    ResealSigningKeys => Nothing,
    RetireSigningKeys => Nothing,
    RotateKey => NewKey,
    SetKeyExpiry => Key,
    ShareLocation => Nothing,
    UnshareLocation => Nothing,
    UpdateLocation => Location,
    UpdateMachine => Machine,
    UpdateOrganization => Organization,
}

/// What the caller is told.
#[derive(Debug)]
pub(crate) enum Reply {
    Nothing(()),
    Organization(Organization),
    Location(Location),
    Machine(Machine),
    Key(Key),
    NewKey(NewKey),
    Founded((Organization, NewKey)),
}
