"""Roles: what each may do, how they are given and taken, and that a change holds from the next call on."""

from collections.abc import Awaitable, Callable

import pytest
from grpclib.const import Status
from viam.app.app_client import AppClient
from viam.proto.app import AuthorizedPermissions

from claviger import ApiKey
from fleet import (
    ABSENT_LOCATION,
    ABSENT_UUID,
    KIND_IDS,
    KINDS,
    Quickstart,
    Site,
    TwoOrganizations,
    grant,
    held,
    new_key,
    new_site,
)
from wire import connect, refused, sdk

# What each role may do, at the level where it is held and below. Written out a second time on purpose: this is what
# docs/permissions.md promises, and the server has a table of its own.
MATRIX = """
                                    organization        location            machine
                                    owner    operator   owner    operator   owner    operator
read_organization                   yes      yes        -        -          -        -
write_organization                  yes      -          -        -          -        -
read_fragment                       yes      -          yes      -          yes      -
write_fragment                      yes      -          -        -          -        -
read_location                       yes      yes        yes      yes        -        -
write_location                      yes      -          yes      -          -        -
read_location_secret                yes      -          yes      -          -        -
read_robot                          yes      yes        yes      yes        yes      yes
read_robot_secret                   yes      -          yes      -          yes      -
read_robot_config                   yes      -          yes      -          yes      -
read_robot_logs                     yes      -          yes      -          yes      -
read_robot_history                  yes      -          yes      -          yes      -
write_robot                         yes      -          yes      -          yes      -
control_robot                       yes      yes        yes      yes        yes      yes
read_organization_data_management   yes      yes        -        -          -        -
read_location_data_management       yes      yes        yes      yes        -        -
read_robot_data_management          yes      yes        yes      yes        yes      yes
write_organization_data_management  yes      -          -        -          -        -
write_location_data_management      yes      -          yes      -          -        -
write_robot_data_management         yes      -          yes      -          yes      -
write_data_management               yes      -          yes      -          yes      -
read_mapping_sessions               yes      -          yes      -          yes      -
create_maps                         yes      -          yes      -          yes      -
read_private_registry_item          yes      -          yes      -          yes      -
write_private_registry_item         yes      -          -        -          -        -
write_public_registry_item          yes      -          -        -          -        -
read_packages                       yes      -          yes      -          yes      -
write_packages                      yes      -          yes      -          yes      -
delete_packages                     yes      -          -        -          -        -
train_models                        yes      -          yes      -          yes      -
create_dataset                      yes      -          yes      -          yes      -
list_dataset                        yes      -          yes      -          yes      -
rename_dataset                      yes      -          -        -          -        -
delete_dataset                      yes      -          -        -          -        -
configure_database_user             yes      -          -        -          -        -
get_database_connection             yes      -          -        -          -        -
"""

# What speaks of the organization as a whole: a narrower role that gives it gives it on the organization too.
ORGANIZATION_WIDE = {
    "read_fragment",
    "read_private_registry_item",
    "read_packages",
    "write_packages",
    "train_models",
    "create_dataset",
    "list_dataset",
}


def parsed(matrix: str) -> dict[str, dict[tuple[str, str], bool]]:
    rows = [line.split() for line in matrix.strip().splitlines()[2:]]
    return {name: dict(zip(KINDS, [cell == "yes" for cell in cells], strict=True)) for name, *cells in rows}


PERMISSIONS = parsed(MATRIX)


# === What each role may do ===


def test_the_matrix_is_whole() -> None:
    assert len(PERMISSIONS) == 36
    assert ORGANIZATION_WIDE < PERMISSIONS.keys()
    # Nothing that an operator may is forbidden to the owner, and nothing is gained by a narrower scope.
    for name, cells in PERMISSIONS.items():
        for level in ("organization", "location", "robot"):
            assert cells["owner", level] >= cells["operator", level], name
        for role in ("owner", "operator"):
            assert cells[role, "organization"] >= cells[role, "location"] >= cells[role, "robot"], name


@pytest.mark.parametrize(("role", "level"), KINDS, ids=KIND_IDS)
async def test_permissions_are_those_of_the_matrix(home: Quickstart, role: str, level: str) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        sibling = await new_site(owner, home.organization_id)
        nested = await new_site(owner, home.organization_id, parent=site.location_id)
        key = await new_key(owner, home.organization_id, site.grant(role, level))

    everything = list(PERMISSIONS)
    column = [name for name in everything if PERMISSIONS[name][role, level]]
    wide = [name for name in column if name in ORGANIZATION_WIDE]
    inside = {
        "organization": [site, sibling, nested],
        "location": [site, nested],
        "robot": [site],
    }[level]
    async with sdk(home.server, key) as holder:
        for place in (site, sibling, nested):
            in_location = column if place in inside and level != "robot" else []
            in_machine = column if place in inside else []
            assert await held(holder, "location", place.location_id, everything) == in_location
            assert await held(holder, "robot", place.machine_id, everything) == in_machine
        on_top = column if level == "organization" else wide
        assert await held(holder, "organization", home.organization_id, everything) == on_top


async def test_roles_add_up(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        grants = [site.grant("operator", "location"), site.grant("owner", "robot")]
        key = await new_key(owner, home.organization_id, *grants)
    async with sdk(home.server, key) as holder:
        asked = ["write_robot", "write_location", "read_location"]
        assert await held(holder, "robot", site.machine_id, asked) == ["write_robot", "read_location"]
        assert await held(holder, "location", site.location_id, asked) == ["read_location"]


async def test_a_check_answers_in_the_order_of_its_questions(home: Quickstart) -> None:
    questions = [
        ("robot", home.machine_id, ["write_robot", "control_robot", "read_robot"]),
        ("organization", home.organization_id, ["read_organization"]),
        ("robot", home.machine_id, ["read_robot", "no_such_permission", "control_robot", "control_robot"]),
        ("location", ABSENT_LOCATION, ["read_location"]),
    ]
    asked = [AuthorizedPermissions(resource_type=it[0], resource_id=it[1], permissions=it[2]) for it in questions]
    async with sdk(home.server, home.operator) as operator:
        answered = [
            (it.resource_type, it.resource_id, list(it.permissions)) for it in await operator.check_permissions(asked)
        ]
    assert answered == [
        ("robot", home.machine_id, ["control_robot", "read_robot"]),
        ("organization", home.organization_id, []),
        ("robot", home.machine_id, ["read_robot", "control_robot", "control_robot"]),
        ("location", ABSENT_LOCATION, []),
    ]


async def test_a_check_without_questions_is_refused(home: Quickstart) -> None:
    async with sdk(home.server, home.operator) as operator:
        with refused(Status.INVALID_ARGUMENT, "permissions:"):
            await operator.check_permissions([])


async def test_a_check_on_another_organization_says_no(two: TwoOrganizations) -> None:
    async with sdk(two.server, two.foreign.owner) as stranger:
        for level in ("organization", "location", "robot"):
            site = Site(two.home.organization_id, two.home.location_id, two.home.machine_id)
            assert await held(stranger, level, site.resource_id(level), list(PERMISSIONS)) == []


# === Add, change, remove ===


async def test_a_role_is_added_and_holds_on_the_next_call(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        key = await new_key(owner, home.organization_id, grant("operator", "robot", home.machine_id))
        async with sdk(home.server, key) as holder:
            with refused(Status.NOT_FOUND, "machine not found"):
                await holder.get_robot(site.machine_id)
            await add(owner, site, key, "operator", "location")
            assert (await holder.get_robot(site.machine_id)).id == site.machine_id
        assert await roles(owner, site) == [(key.id, "location_operator")]


async def test_adding_a_role_again_changes_nothing(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        key = await new_key(owner, home.organization_id, site.grant("operator", "location"))
        await add(owner, site, key, "operator", "location")
        assert await roles(owner, site) == [(key.id, "location_operator")]
        with refused(Status.ALREADY_EXISTS, key.id, f"operator of location {site.location_id}"):
            await add(owner, site, key, "owner", "location")
        assert await roles(owner, site) == [(key.id, "location_operator")]


async def test_a_role_is_taken_away_and_gone_on_the_next_call(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        key = await new_key(
            owner, home.organization_id, site.grant("owner", "location"), grant("operator", "robot", home.machine_id)
        )
        async with sdk(home.server, key) as holder:
            assert (await holder.update_robot(site.machine_id, "still mine", site.location_id)).name == "still mine"
            await remove(owner, site, key, "owner", "location")
            with refused(Status.NOT_FOUND, "machine not found"):
                await holder.update_robot(site.machine_id, "not any more", site.location_id)
            assert (await holder.get_robot(home.machine_id)).id == home.machine_id
        assert (await owner.get_robot(site.machine_id)).name == "still mine"


async def test_the_last_role_of_a_key_is_not_taken_away(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        key = await new_key(owner, home.organization_id, site.grant("operator", "robot"))
        with refused(Status.FAILED_PRECONDITION, key.id, "delete the key"):
            await remove(owner, site, key, "operator", "robot")
        async with sdk(home.server, key) as holder:
            assert (await holder.get_robot(site.machine_id)).id == site.machine_id


async def test_a_role_that_is_not_held_is_not_taken_away(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        key = await new_key(
            owner, home.organization_id, site.grant("operator", "robot"), grant("operator", "robot", home.machine_id)
        )
        with refused(Status.FAILED_PRECONDITION, key.id, f"owner of machine {site.machine_id}"):
            await remove(owner, site, key, "owner", "robot")


async def test_a_change_to_operator_holds_on_the_next_call_of_an_open_connection(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        key = await new_key(owner, home.organization_id, site.grant("owner", "location"))
        async with sdk(home.server, key) as one, connect(home.server, key) as other:
            rename = {"location_id": site.location_id, "name": "by its owner"}
            assert (await other.call("UpdateLocation", rename)).location.name == "by its owner"

            await change(owner, key, (site, "owner", "location"), (site, "operator", "location"))

            missing = ("write_location", f"location {site.location_id}")
            with refused(Status.PERMISSION_DENIED, *missing):
                await one.update_location(site.location_id, "by its operator")
            with refused(Status.PERMISSION_DENIED, *missing):
                await other.call("UpdateLocation", {**rename, "name": "by its operator"})
            # What is left of the right is still there, with the same token.
            assert (await one.get_location(site.location_id)).name == "by its owner"


async def test_a_change_to_another_resource_holds_on_the_next_call_of_an_open_connection(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        here, there = [await new_site(owner, home.organization_id) for _ in range(2)]
        key = await new_key(owner, home.organization_id, here.grant("operator", "location"))
        async with sdk(home.server, key) as holder:
            assert (await holder.get_robot(here.machine_id)).id == here.machine_id
            await change(owner, key, (here, "operator", "location"), (there, "operator", "robot"))
            with refused(Status.NOT_FOUND, "machine not found"):
                await holder.get_robot(here.machine_id)
            with refused(Status.NOT_FOUND, "location not found"):
                await holder.get_location(here.location_id)
            assert (await holder.get_robot(there.machine_id)).id == there.machine_id
        assert await roles(owner, here) == []
        assert await roles(owner, there) == [(key.id, "robot_operator")]


async def test_a_change_needs_the_role_it_changes(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        here, there = [await new_site(owner, home.organization_id) for _ in range(2)]
        key = await new_key(
            owner, home.organization_id, here.grant("operator", "location"), there.grant("owner", "location")
        )
        with refused(Status.FAILED_PRECONDITION, key.id, f"owner of location {here.location_id}"):
            await change(owner, key, (here, "owner", "location"), (here, "operator", "location"))
        with refused(Status.ALREADY_EXISTS, key.id, f"location {there.location_id}"):
            await change(owner, key, (here, "operator", "location"), (there, "operator", "location"))
        assert sorted(await roles(owner, here) + await roles(owner, there)) == [
            (key.id, "location_operator"),
            (key.id, "location_owner"),
        ]


# === Who may manage ===


@pytest.mark.parametrize(("role", "level"), KINDS, ids=KIND_IDS)
async def test_owners_manage_keys_and_operators_do_not(home: Quickstart, role: str, level: str) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        key = await new_key(owner, home.organization_id, site.grant(role, level))
        other = await new_key(owner, home.organization_id, site.grant("operator", level))
    async with sdk(home.server, key) as holder:
        acts: list[Callable[[], Awaitable[object]]] = [
            lambda: holder.create_key(home.organization_id, [site.grant("operator", level)], "made"),
            lambda: holder.create_key_from_existing_key_authorizations(other.id),
            lambda: holder.list_keys(home.organization_id),
            lambda: holder.get_robot_api_keys(site.machine_id),
            lambda: holder.rotate_key(other.id),
            lambda: add(holder, site, other, "operator", "robot"),
            lambda: holder.delete_key(other.id),
        ]
        for act in acts:
            if role == "owner":
                await act()
            else:
                with refused(Status.PERMISSION_DENIED, "manage_keys"):
                    await act()
    async with connect(home.server) as wire:
        # The owner rotated and deleted it; the operator did not get to it.
        assert await wire.accepts(other) == (role == "operator")


async def test_a_narrower_owner_does_not_get_hold_of_a_wider_key(home: Quickstart) -> None:
    """Otherwise the owner of a machine could rotate the key of the organization and take its place."""
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        wide = await new_key(owner, home.organization_id, site.grant("owner", "organization"))
        both = await new_key(
            owner, home.organization_id, site.grant("operator", "robot"), site.grant("owner", "organization")
        )
        narrow = await new_key(owner, home.organization_id, site.grant("owner", "robot"))
    async with sdk(home.server, narrow) as holder:
        for act in (holder.rotate_key, holder.delete_key, holder.create_key_from_existing_key_authorizations):
            # It has no business on this machine, so for the machine's owner it is not there.
            with refused(Status.NOT_FOUND, "key not found"):
                await act(wide.id)
            # It works on this machine, so they see it; but it also reaches elsewhere.
            with refused(Status.PERMISSION_DENIED, "manage_keys"):
                await act(both.id)
        with refused(Status.PERMISSION_DENIED, "manage_keys", f"organization {home.organization_id}"):
            await holder.create_key(home.organization_id, [site.grant("operator", "organization")], "wider")
        with refused(Status.PERMISSION_DENIED, "manage_keys", f"location {site.location_id}"):
            await add(holder, site, narrow, "owner", "location")
        # They see of the shared key what concerns their machine, and nothing of the wide one.
        listed = {
            key.api_key.id: [it.resource_id for it in key.authorizations]
            for key in await holder.list_keys(home.organization_id)
        }
        assert listed == {both.id: [site.machine_id], narrow.id: [site.machine_id]}
        # They may take their machine away from it.
        await remove(holder, site, both, "operator", "robot")
    async with connect(home.server) as wire:
        assert [await wire.accepts(key) for key in (wide, both, narrow)] == [True] * 3


async def test_a_location_owner_lists_the_keys_inside(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site, sibling = [await new_site(owner, home.organization_id) for _ in range(2)]
        nested = await new_site(owner, home.organization_id, parent=site.location_id)
        holder_key = await new_key(owner, home.organization_id, site.grant("owner", "location"))
        inside = [
            await new_key(owner, home.organization_id, site.grant("operator", "robot")),
            await new_key(owner, home.organization_id, nested.grant("operator", "location")),
            await new_key(owner, home.organization_id, nested.grant("owner", "robot"), sibling.grant("owner", "robot")),
        ]
        await new_key(owner, home.organization_id, sibling.grant("owner", "location"))
    async with sdk(home.server, holder_key) as holder:
        listed = await holder.list_keys(home.organization_id)
        assert [key.api_key.id for key in listed] == [holder_key.id, *(key.id for key in inside)]
        # Of the last one only what lies inside.
        assert [it.resource_id for it in listed[-1].authorizations] == [nested.machine_id]


async def test_the_last_owner_stays(own: Quickstart) -> None:
    organization = Site(own.organization_id, own.location_id, own.machine_id)
    async with sdk(own.server, own.owner) as owner:
        last = (own.owner.id, own.organization_id)
        with refused(Status.FAILED_PRECONDITION, *last):
            await owner.delete_key(own.owner.id)
        with refused(Status.FAILED_PRECONDITION, *last):
            await change(
                owner, own.owner, (organization, "owner", "organization"), (organization, "operator", "organization")
            )
        with refused(Status.FAILED_PRECONDITION, *last):
            await change(owner, own.owner, (organization, "owner", "organization"), (organization, "owner", "location"))
        await add(owner, organization, own.owner, "owner", "location")
        with refused(Status.FAILED_PRECONDITION, *last):
            await remove(owner, organization, own.owner, "owner", "organization")
        assert await held(owner, "organization", own.organization_id, ["write_organization"]) == ["write_organization"]

        second = await new_key(owner, own.organization_id, organization.grant("owner", "organization"))
        await owner.delete_key(own.owner.id)
    async with sdk(own.server, second) as owner:
        with refused(Status.FAILED_PRECONDITION, second.id, own.organization_id):
            await owner.delete_key(second.id)


# === Who sees the roles ===


async def test_roles_are_listed_for_owners_inside_what_they_own(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        location_owner = await new_key(owner, home.organization_id, site.grant("owner", "location"))
        operator = await new_key(owner, home.organization_id, site.grant("operator", "robot"))
        everything = {
            (it.identity_id, it.authorization_id, it.resource_id)
            for it in await owner.list_authorizations(home.organization_id)
        }
        assert (home.owner.id, "organization_owner", home.organization_id) in everything
        assert (operator.id, "robot_operator", site.machine_id) in everything
        (one,) = await owner.list_authorizations(home.organization_id, [site.machine_id])
        assert (one.authorization_type, one.identity_type, one.organization_id) == (
            "role",
            "api-key",
            home.organization_id,
        )
        assert (one.identity_id, one.authorization_id, one.resource_type) == (operator.id, "robot_operator", "robot")
    async with sdk(home.server, location_owner) as holder:
        assert {
            (it.identity_id, it.authorization_id) for it in await holder.list_authorizations(home.organization_id)
        } == {
            (location_owner.id, "location_owner"),
            (operator.id, "robot_operator"),
        }
    async with sdk(home.server, operator) as holder:
        # Operators see the roles of people, of whom there are none yet; keys are their owners' business.
        assert await holder.list_authorizations(home.organization_id) == []
        with refused(Status.NOT_FOUND, "machine not found"):
            await holder.list_authorizations(home.organization_id, [home.machine_id])
        with refused(Status.NOT_FOUND, "organization not found"):
            await holder.list_authorizations(ABSENT_UUID)


async def roles(client: AppClient, site: Site) -> list[tuple[str, str]]:
    """The roles held on exactly this location and its machine."""
    listed = await client.list_authorizations(site.organization_id, [site.location_id, site.machine_id])
    return [(it.identity_id, it.authorization_id) for it in listed]


async def add(client: AppClient, site: Site, key: ApiKey, role: str, level: str) -> None:
    await client.add_role(site.organization_id, key.id, role, level, site.resource_id(level))  # type: ignore[arg-type]


async def remove(client: AppClient, site: Site, key: ApiKey, role: str, level: str) -> None:
    await client.remove_role(site.organization_id, key.id, role, level, site.resource_id(level))  # type: ignore[arg-type]


async def change(client: AppClient, key: ApiKey, old: tuple[Site, str, str], new: tuple[Site, str, str]) -> None:
    (from_site, from_role, from_level), (to_site, to_role, to_level) = old, new
    await client.change_role(
        organization_id=from_site.organization_id,
        old_identity_id=key.id,
        old_role=from_role,  # type: ignore[arg-type]
        old_resource_type=from_level,  # type: ignore[arg-type]
        old_resource_id=from_site.resource_id(from_level),
        new_identity_id=key.id,
        new_role=to_role,  # type: ignore[arg-type]
        new_resource_type=to_level,  # type: ignore[arg-type]
        new_resource_id=to_site.resource_id(to_level),
    )
