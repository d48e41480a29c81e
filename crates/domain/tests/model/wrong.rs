//! Rules of the model that are wrong on purpose.

use domain::{Permission, ResourceType, Role};

macro_rules! wrongs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A rule of the model that is wrong on purpose, to show that the comparison notices.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Wrong {
            /// One cell of the policy is the other way round.
            Cell(Permission, Role, ResourceType),
            /// Whether a permission stays with the organization that a shared location belongs to is the other way
            /// round.
            Home(Permission),
            $($(#[$doc])* $name,)*
        }

        impl Wrong {
            /// All but those that say which permission.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

wrongs! {
    /// A role on a location does not reach into the locations nested in it.
    RolesStopAtNestedLocations,
    /// What is organization-wide stays where the role is held.
    NothingIsWide,
    /// What a caller must not see is denied instead of not found.
    HiddenThingsAreDenied,
    /// A key still works in the microsecond it expires in.
    KeysExpireLate,
    /// A token outlives the rotation of its key.
    OldTokensLive,
    /// Who signed in stays so, whatever became of it.
    OldSessionsLive,
    /// The last owner may go.
    LastOwnersGo,
    /// An owner that expires keeps an organization reachable.
    ExpiringOwnersCount,
    /// People who own it do not keep an organization reachable.
    PeopleDoNotCount,
    /// An owner who cannot sign in keeps an organization reachable.
    PeopleWithoutPasswordCount,
    /// Who owns one thing that a key reaches may manage the key.
    OneGrantIsEnough,
    /// Locations nest four deep.
    NestingIsFourDeep,
    /// Moving a machine takes the right on the machine only.
    MachinesMoveAnywhere,
    /// Keys keep their grants on what is deleted.
    GrantsOutliveResources,
    /// People keep their grants on what is deleted.
    PeopleKeepWhatIsDeleted,
    /// Lists show all grants of a key that reaches into what the caller owns.
    ListsShowForeignGrants,
    /// What an organization lists to a person is what they hold anywhere.
    ListsMixOrganizations,
    /// To name a thing as it is named already is a change.
    SameNameIsAChange,
    /// Holding a role twice is a change.
    SameRoleIsAChange,
    /// To share with whom it is shared already is a change.
    SharingTwiceIsAChange,
    /// What is nested in a shared location is not shared.
    SharesStopAtNestedLocations,
    /// A role on a whole organization does not reach what is shared with it.
    OrganizationRolesStopAtShares,
    /// A role on a whole organization counts as one on the organization that shares.
    OrganizationRolesCountInFull,
    /// What is organization-wide is held on what is shared as well.
    WideOnesAreShared,
    /// Whom a location is shared with sees what stands above it.
    SharesShowWhatStandsAbove,
    /// What was shared once is shared for ever.
    RolesOutliveShares,
    /// When a share ends, the roles that reached through it are deleted.
    RolesEndWithShares,
    /// The roles of keys on what is not shared any more are nobody's.
    LapsedRolesAreNobodys,
    /// A right over keys is one over those of every organization.
    OwnersManageForeignKeys,
    /// Who may manage the keys of something stops where it is shared.
    ManagersStopAtShares,
    /// A key is made for the first of the organizations that it could be made for.
    TheFirstOrganizationWillDo,
    /// A key is made for whatever organization is named.
    AnyOrganizationWillDo,
    /// Whom a location is shared with cannot share it.
    SharesAreNotHandedOn,
    /// Whom a location is shared with may end all its shares.
    GuestsEndAnyShare,
    /// Whom a location is shared with cannot give it back.
    GuestsCannotLeave,
    /// A location can be taken from the organization it belongs to.
    TheFirstShareEnds,
    /// A shared location can be moved.
    SharedLocationsMove,
    /// A location stays shared with an organization that is gone.
    SharesOutliveOrganizations,
}
