"""Organizations, locations, machines and parts: who sees what, and what moves where."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from viam.app.app_client import AppClient
from viam.proto.app import ListRobotsForOrgRequest

from fleet import (
    ABSENT_LOCATION,
    ABSENT_UUID,
    KIND_IDS,
    KINDS,
    Quickstart,
    Site,
    TwoOrganizations,
    grant,
    new_key,
    new_site,
)
from wire import connect, refused, sdk, unauthenticated

# === Who sees what ===


@dataclass(frozen=True)
class Tree:
    """A plant with a hall with a cell in it, a machine in each, and a store beside the plant."""

    plant: Site
    hall: Site
    cell: Site
    store: Site

    @classmethod
    async def grow(cls, owner: AppClient, organization_id: str) -> "Tree":
        plant = await new_site(owner, organization_id, "plant")
        hall = await new_site(owner, organization_id, "hall", plant.location_id)
        cell = await new_site(owner, organization_id, "cell", hall.location_id)
        return cls(plant, hall, cell, await new_site(owner, organization_id, "store"))

    def sites(self) -> dict[str, Site]:
        return {"plant": self.plant, "hall": self.hall, "cell": self.cell, "store": self.store}


@pytest.fixture(scope="module")
def tree(home: Quickstart) -> Tree:
    async def grow() -> Tree:
        async with sdk(home.server, home.owner) as owner:
            return await Tree.grow(owner, home.organization_id)

    return asyncio.run(grow())


# The role is held on the organization, on the hall, or on the machine in the hall.
#   sees    is in the lists and can be looked up
#   name    the same, but it only says its name and whose it is: a machine of the caller's stands in it
#   denied  is known to be there, because it lies above what the caller holds
#   -       is not there
VISIBILITY = """
                       plant    hall    cell    store
organization location  sees     sees    sees    sees
organization machine   sees     sees    sees    sees
location     location  denied   sees    sees    -
location     machine   -        sees    sees    -
robot        location  denied   name    -       -
robot        machine   -        sees    -       -
"""


def expected(level: str, kind: str) -> dict[str, str]:
    head, *rows = [line.split() for line in VISIBILITY.strip().splitlines()]
    (outcomes,) = [outcomes for at, of, *outcomes in rows if (at, of) == (level, kind)]
    return dict(zip(head, outcomes, strict=True))


@pytest.mark.parametrize(("role", "level"), KINDS, ids=KIND_IDS)
async def test_everybody_sees_what_lies_at_or_below_their_roles(
    home: Quickstart, tree: Tree, role: str, level: str
) -> None:
    async with sdk(home.server, home.owner) as owner:
        key = await new_key(owner, home.organization_id, tree.hall.grant(role, level))
    async with sdk(home.server, key) as holder:
        for name, outcome in expected(level, "location").items():
            assert await location_outcome(holder, tree.sites()[name]) == outcome, name
        for name, outcome in expected(level, "machine").items():
            assert await machine_outcome(holder, tree.sites()[name]) == outcome, name

        # Clients take a refusal of this for a failed login, so it is there for everybody.
        (organization,) = await holder.list_organizations()
        assert organization.id == home.organization_id
        if level == "organization":
            assert (await holder.get_organization(home.organization_id)).id == home.organization_id
        else:
            with refused(Status.PERMISSION_DENIED, "read_organization", f"organization {home.organization_id}"):
                await holder.get_organization(home.organization_id)


async def location_outcome(client: AppClient, site: Site) -> str:
    listed = [it for it in await client.list_locations(site.organization_id) if it.id == site.location_id]
    outcome, location = await looked_up(client.get_location(site.location_id), f"location {site.location_id}")
    if location is None:
        assert listed == []
        return outcome
    assert listed == [location]
    assert [(it.organization_id, it.primary) for it in location.organizations] == [(site.organization_id, True)]
    says_more = (location.robot_count, location.HasField("created_on"))
    assert says_more in [(1, True), (0, False)]
    return "sees" if says_more == (1, True) else "name"


async def machine_outcome(client: AppClient, site: Site) -> str:
    request = ListRobotsForOrgRequest(org_id=site.organization_id)
    everywhere = await client._app_client.ListRobotsForOrg(request, metadata=client._metadata)
    listed = [it for it in everywhere.robots if it.id == site.machine_id]
    outcome, machine = await looked_up(client.get_robot(site.machine_id), f"machine {site.machine_id}")
    if machine is None:
        assert listed == []
        return outcome
    assert listed == [machine]
    assert machine.location == site.location_id
    assert await client.list_robots(site.location_id) == [machine]
    assert await client.list_robots_for_locations([site.location_id]) == [machine]
    return outcome


async def looked_up(look: Awaitable[Any], what: str) -> tuple[str, Any]:
    try:
        return "sees", await look
    except GRPCError as error:
        message = error.message or ""
        if error.status is Status.NOT_FOUND:
            # What cannot be seen is not named back either.
            assert what.split()[1] not in message
            return "-", None
        assert (error.status, what in message) == (Status.PERMISSION_DENIED, True), message
        return "denied", None


async def test_what_cannot_be_seen_reads_like_what_is_not_there(home: Quickstart, tree: Tree) -> None:
    async with sdk(home.server, home.owner) as owner:
        key = await new_key(owner, home.organization_id, tree.hall.grant("owner", "robot"))
    async with connect(home.server, key) as wire:
        for method, field, unseen, absent in [
            ("GetRobot", "id", tree.store.machine_id, ABSENT_UUID),
            ("GetRobotParts", "robot_id", tree.store.machine_id, ABSENT_UUID),
            ("GetRobotAPIKeys", "robot_id", tree.store.machine_id, ABSENT_UUID),
            ("DeleteRobot", "id", tree.store.machine_id, ABSENT_UUID),
            ("GetLocation", "location_id", tree.store.location_id, ABSENT_LOCATION),
            ("DeleteLocation", "location_id", tree.store.location_id, ABSENT_LOCATION),
            ("ListRobots", "location_id", tree.store.location_id, ABSENT_LOCATION),
            ("RotateKey", "id", home.owner.id, ABSENT_UUID),
            ("DeleteKey", "id", home.owner.id, ABSENT_UUID),
        ]:
            answers = []
            for id in (unseen, absent):
                with pytest.raises(GRPCError) as caught:
                    await wire.call(method, {field: id})
                answers.append((caught.value.status, caught.value.message))
            assert answers[0] == answers[1], method
            assert answers[0][0] is Status.NOT_FOUND, method


@pytest.mark.parametrize("role", ["owner", "operator"])
async def test_the_parts_of_a_machine_are_seen_with_it(home: Quickstart, tree: Tree, role: str) -> None:
    async with sdk(home.server, home.owner) as owner:
        key = await new_key(owner, home.organization_id, tree.hall.grant(role, "robot"))
        (elsewhere,) = await owner.get_robot_parts(tree.store.machine_id)
    async with sdk(home.server, key) as holder:
        (part,) = await holder.get_robot_parts(tree.hall.machine_id)
        assert (part.main_part, part.robot, part.location_id) == (True, tree.hall.machine_id, tree.hall.location_id)
        assert part.name == "hall-arm-main"
        looked_up = await holder.get_robot_part(part.id)
        assert (looked_up.id, looked_up.name) == (part.id, part.name)
        if role == "operator":
            assert not part.secret
            assert not part.secrets
            assert not part.robot_config
        with refused(Status.NOT_FOUND, "part not found"):
            await holder.get_robot_part(elsewhere.id)
        with refused(Status.NOT_FOUND, "machine not found"):
            await holder.get_robot_parts(tree.store.machine_id)


# === Organizations ===


async def test_a_key_makes_no_organization(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        with refused(Status.PERMISSION_DENIED, "create_organization"):
            await owner.create_organization("another")
        assert [it.id for it in await owner.list_organizations()] == [home.organization_id]


async def test_an_organization_is_updated_by_its_owner(two: TwoOrganizations) -> None:
    id = two.home.organization_id
    async with sdk(two.server, two.home.owner) as owner, sdk(two.server, two.foreign.owner) as neighbour:
        updated = await owner.update_organization(id, name="Orchard", public_namespace="orchard", region="eu", cid="7")
        assert (updated.name, updated.public_namespace, updated.default_region, updated.cid) == (
            "Orchard",
            "orchard",
            "eu",
            "7",
        )
        # What is not given stays.
        assert await owner.update_organization(id, name="Orchard Ltd") == await owner.get_organization(id)
        assert (await owner.get_organization(id)).public_namespace == "orchard"
        with refused(Status.FAILED_PRECONDITION, id, "orchard"):
            await owner.update_organization(id, public_namespace="garden")
        with refused(Status.ALREADY_EXISTS, "orchard"):
            await neighbour.update_organization(two.foreign.id, public_namespace="orchard")
        with refused(Status.INVALID_ARGUMENT, "public_namespace:"):
            await neighbour.update_organization(two.foreign.id, public_namespace="Not A Label")
        with refused(Status.NOT_FOUND, "organization not found"):
            await neighbour.update_organization(id, name="ours now")
    async with sdk(two.server, two.home.operator) as operator:
        with refused(Status.PERMISSION_DENIED, "write_organization"):
            await operator.update_organization(id, name="mine now")


async def test_an_organization_goes_when_it_is_empty_and_takes_its_keys_along(own: Quickstart) -> None:
    async with sdk(own.server, own.owner) as owner, connect(own.server) as wire:
        with refused(Status.FAILED_PRECONDITION, own.organization_id, "locations"):
            await owner.delete_organization(own.organization_id)
        await owner.delete_robot(own.machine_id)
        await owner.delete_location(own.location_id)
        await owner.delete_organization(own.organization_id)
        with unauthenticated():
            await owner.list_organizations()
        assert not await wire.accepts(own.owner)


# === Locations ===


async def test_locations_nest_to_three(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        one = await owner.create_location(home.organization_id, "one")
        two = await owner.create_location(home.organization_id, "two", one.id)
        three = await owner.create_location(home.organization_id, "three", two.id)
        assert (one.parent_location_id, two.parent_location_id, three.parent_location_id) == ("", one.id, two.id)
        with refused(Status.INVALID_ARGUMENT, "parent_location_id:", "at most 3"):
            await owner.create_location(home.organization_id, "four", three.id)
        # Nor by moving something that is two deep under something that is two deep.
        high = await owner.create_location(home.organization_id, "high")
        await owner.create_location(home.organization_id, "higher", high.id)
        with refused(Status.INVALID_ARGUMENT, "parent_location_id:", "at most 3"):
            await owner.update_location(high.id, parent_location_id=two.id)
        listed = [it.id for it in await owner.list_locations(home.organization_id)]
        assert listed.index(one.id) < listed.index(two.id) < listed.index(three.id)


async def test_a_location_is_renamed_and_moved_as_the_sdk_says(home: Quickstart) -> None:
    """The three examples of the SDK: an empty name stays, an absent parent stays, an empty parent is the top."""
    async with sdk(home.server, home.owner) as owner:
        moved, target = [await owner.create_location(home.organization_id, name) for name in ("moved", "target")]
        nested = await owner.update_location(location_id=moved.id, name="", parent_location_id=target.id)
        assert (nested.name, nested.parent_location_id) == ("moved", target.id)
        renamed = await owner.update_location(location_id=moved.id, name="renamed")
        assert (renamed.name, renamed.parent_location_id) == ("renamed", target.id)
        top = await owner.update_location(location_id=moved.id, name="", parent_location_id="")
        assert (top.name, top.parent_location_id) == ("renamed", "")


async def test_a_location_does_not_move_into_itself(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        outer = await owner.create_location(home.organization_id, "outer")
        inner = await owner.create_location(home.organization_id, "inner", outer.id)
        for parent in (outer.id, inner.id):
            with refused(Status.INVALID_ARGUMENT, "parent_location_id:"):
                await owner.update_location(outer.id, parent_location_id=parent)
        assert (await owner.get_location(outer.id)).parent_location_id == ""


async def test_a_location_goes_when_it_is_empty(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        outer = await new_site(owner, home.organization_id, "outer")
        inner = await owner.create_location(home.organization_id, "inner", outer.location_id)
        with refused(Status.FAILED_PRECONDITION, outer.location_id, "machines"):
            await owner.delete_location(outer.location_id)
        await owner.delete_robot(outer.machine_id)
        with refused(Status.FAILED_PRECONDITION, outer.location_id, "locations"):
            await owner.delete_location(outer.location_id)
        await owner.delete_location(inner.id)
        await owner.delete_location(outer.location_id)
        with refused(Status.NOT_FOUND, "location not found"):
            await owner.get_location(outer.location_id)


async def test_a_location_owner_keeps_to_what_they_own(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        tree = await Tree.grow(owner, home.organization_id)
        key = await new_key(owner, home.organization_id, tree.hall.grant("owner", "location"))
    async with sdk(home.server, key) as holder:
        assert (await holder.update_location(tree.hall.location_id, "hall 1")).name == "hall 1"
        # A new location is the organization's affair, nested or not.
        for parent in (None, tree.hall.location_id):
            with refused(Status.PERMISSION_DENIED, "create_location", f"organization {home.organization_id}"):
                await holder.create_location(home.organization_id, "annex", parent)
        # Whoever moves a location owns both ends.
        with refused(Status.PERMISSION_DENIED, "create_location"):
            await holder.update_location(tree.hall.location_id, parent_location_id="")
        with refused(Status.NOT_FOUND, "location not found"):
            await holder.update_location(tree.hall.location_id, parent_location_id=tree.store.location_id)
        with refused(Status.PERMISSION_DENIED, "write_location", f"location {tree.plant.location_id}"):
            await holder.update_location(tree.plant.location_id, "ours now")
        await holder.delete_robot(tree.cell.machine_id)
        await holder.delete_location(tree.cell.location_id)


async def test_a_location_moves_between_two_that_the_caller_owns(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        tree = await Tree.grow(owner, home.organization_id)
        key = await new_key(
            owner, home.organization_id, tree.hall.grant("owner", "location"), tree.store.grant("owner", "location")
        )
        watcher = await new_key(owner, home.organization_id, tree.store.grant("operator", "location"))
    async with sdk(home.server, key) as holder, sdk(home.server, watcher) as below:
        with refused(Status.NOT_FOUND, "machine not found"):
            await below.get_robot(tree.cell.machine_id)
        moved = await holder.update_location(tree.cell.location_id, parent_location_id=tree.store.location_id)
        assert moved.parent_location_id == tree.store.location_id
        # Who reaches it changed with its place, at once.
        assert (await below.get_robot(tree.cell.machine_id)).id == tree.cell.machine_id


# === Machines ===


async def test_a_machine_is_made_renamed_and_deleted(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        location = await owner.create_location(home.organization_id, "bench")
        id = await owner.new_robot("drill", location.id)
        assert [it.name for it in await owner.list_robots(location.id)] == ["drill"]
        assert (await owner.get_location(location.id)).robot_count == 1
        renamed = await owner.update_robot(id, "big drill", location.id)
        assert (renamed.id, renamed.name, renamed.location) == (id, "big drill", location.id)
        await owner.delete_robot(id)
        with refused(Status.NOT_FOUND, "machine not found"):
            await owner.get_robot(id)
        assert await owner.list_robots(location.id) == []


async def test_a_machine_takes_along_the_keys_that_were_only_for_it(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner, connect(home.server) as wire:
        site = await new_site(owner, home.organization_id)
        only = await new_key(owner, home.organization_id, site.grant("owner", "robot"))
        both = await new_key(
            owner, home.organization_id, site.grant("owner", "robot"), site.grant("operator", "location")
        )
        await owner.delete_robot(site.machine_id)
        assert (await wire.accepts(only), await wire.accepts(both)) == (False, True)
        listed = {key.api_key.id: key.authorizations for key in await owner.list_keys(home.organization_id)}
        assert only.id not in listed
        assert [it.resource_id for it in listed[both.id]] == [site.location_id]


async def test_a_machine_moves_between_locations_that_the_caller_owns(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        tree = await Tree.grow(owner, home.organization_id)
        key = await new_key(owner, home.organization_id, tree.hall.grant("owner", "location"))
        machine_key = await new_key(owner, home.organization_id, tree.hall.grant("owner", "robot"))
        watcher = await new_key(owner, home.organization_id, tree.cell.grant("operator", "location"))
    arm = tree.hall.machine_id
    async with sdk(home.server, key) as holder, sdk(home.server, watcher) as below:
        with refused(Status.NOT_FOUND, "machine not found"):
            await below.get_robot(arm)
        moved = await holder.update_robot(arm, "hall-arm", tree.cell.location_id)
        assert moved.location == tree.cell.location_id
        assert (await below.get_robot(arm)).location == tree.cell.location_id
        # Not out of what they own.
        with refused(Status.NOT_FOUND, "location not found"):
            await holder.update_robot(arm, "hall-arm", tree.store.location_id)
        with refused(Status.PERMISSION_DENIED, "move_machine", f"location {tree.plant.location_id}"):
            await holder.update_robot(arm, "hall-arm", tree.plant.location_id)
    async with sdk(home.server, machine_key) as holder:
        # A key of the machine goes with it, but does not move it.
        assert (await holder.update_robot(arm, "renamed", tree.cell.location_id)).name == "renamed"
        with refused(Status.PERMISSION_DENIED, "move_machine", f"machine {arm}"):
            await holder.update_robot(arm, "renamed", tree.hall.location_id)


async def test_nothing_moves_to_another_organization(two: TwoOrganizations) -> None:
    async with sdk(two.server, two.home.owner) as owner, sdk(two.server, two.foreign.owner) as neighbour:
        site = await new_site(owner, two.home.organization_id)
        abroad = await new_site(neighbour, two.foreign.id)
        with refused(Status.NOT_FOUND, "location not found"):
            await owner.update_robot(site.machine_id, "emigrant", abroad.location_id)
        with refused(Status.NOT_FOUND, "location not found"):
            await owner.update_location(site.location_id, parent_location_id=abroad.location_id)
        with refused(Status.NOT_FOUND, "location not found"):
            await owner.create_location(two.home.organization_id, "exclave", abroad.location_id)
