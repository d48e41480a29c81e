"""Locations that several organizations have a part in: who reaches what, and what ends with the share."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from grpclib.const import Status
from viam.app.app_client import AppClient

from fleet import ABSENT_UUID, Site, TwoOrganizations, grant, held, new_key, new_site
from wire import authorization, connect, refused, sdk, unauthenticated


@dataclass(frozen=True)
class Plant:
    """A plant of one organization with a hall in it, a store beside it; and the owners of both organizations."""

    two: TwoOrganizations
    owner: AppClient
    neighbour: AppClient
    plant: Site
    hall: Site
    store: Site

    @property
    def theirs(self) -> str:
        return self.two.foreign.id

    async def share(self) -> None:
        await self.owner.share_location(self.theirs, self.plant.location_id)

    async def unshare(self) -> None:
        await self.owner.unshare_location(self.theirs, self.plant.location_id)


@asynccontextmanager
async def a_plant(two: TwoOrganizations) -> AsyncIterator[Plant]:
    async with AsyncExitStack() as stack:
        owner = await stack.enter_async_context(sdk(two.server, two.home.owner))
        neighbour = await stack.enter_async_context(sdk(two.server, two.foreign.owner))
        plant = await new_site(owner, two.home.organization_id, "plant")
        hall = await new_site(owner, two.home.organization_id, "hall", plant.location_id)
        yield Plant(two, owner, neighbour, plant, hall, await new_site(owner, two.home.organization_id, "store"))


async def test_a_shared_location_and_what_lies_in_it_is_reached(two: TwoOrganizations) -> None:
    async with a_plant(two) as it:
        with refused(Status.NOT_FOUND):
            await it.neighbour.get_location(it.plant.location_id)
        await it.share()
        listed = {location.id for location in await it.neighbour.list_locations(it.theirs)}
        assert {it.plant.location_id, it.hall.location_id} <= listed
        assert it.store.location_id not in listed
        assert [robot.id for robot in await it.neighbour.list_robots(it.hall.location_id)] == [it.hall.machine_id]
        async with connect(two.server, two.foreign.owner) as wire:
            machines = await wire.call("ListRobotsForOrg", {"org_id": it.theirs})
            assert {it.plant.machine_id, it.hall.machine_id} <= {robot.id for robot in machines.robots}
        asked = ["control_robot", "write_robot", "read_robot_logs", "read_packages"]
        assert await held(it.neighbour, "robot", it.hall.machine_id, asked) == asked[:3]
        machine = await it.neighbour.new_robot("theirs", it.hall.location_id)
        await it.neighbour.update_robot(machine, "renamed", it.plant.location_id)
        await it.neighbour.delete_robot(machine)


async def test_what_stands_around_it_stays_hidden(two: TwoOrganizations) -> None:
    async with a_plant(two) as it:
        await it.owner.share_location(it.theirs, it.hall.location_id)
        with refused(Status.NOT_FOUND):
            await it.neighbour.get_location(it.plant.location_id)
        with refused(Status.NOT_FOUND):
            await it.neighbour.get_organization(two.home.organization_id)
        with refused(Status.NOT_FOUND):
            await it.neighbour.list_keys(two.home.organization_id)
        hall = await it.neighbour.get_location(it.hall.location_id)
        assert hall.parent_location_id == ""
        assert [(of.organization_id, of.primary) for of in hall.organizations] == [
            (two.home.organization_id, True),
            (it.theirs, False),
        ]


async def test_moving_deleting_and_its_region_stay_with_its_own_organization(two: TwoOrganizations) -> None:
    async with a_plant(two) as it:
        await it.share()
        with refused(Status.PERMISSION_DENIED, "delete_location"):
            await it.neighbour.delete_location(it.hall.location_id)
        async with connect(two.server, two.foreign.owner) as wire:
            with refused(Status.PERMISSION_DENIED, "set_region"):
                await wire.call("UpdateLocation", {"location_id": it.plant.location_id, "region": "eu"})
        await it.neighbour.update_location(it.plant.location_id, "their name for it")
        with refused(Status.NOT_FOUND):
            await it.neighbour.create_location(two.home.organization_id, "annex", it.plant.location_id)
        with refused(Status.FAILED_PRECONDITION, "shared"):
            await it.owner.update_location(it.plant.location_id, None, it.store.location_id)


async def test_a_key_dies_with_the_share_and_revives_with_it(two: TwoOrganizations) -> None:
    async with a_plant(two) as it:
        await it.share()
        access = [grant("operator", "location", it.hall.location_id)]
        key = await new_key(it.neighbour, it.theirs, *access)
        async with sdk(two.server, key) as client:
            assert (await client.get_robot(it.hall.machine_id)).id == it.hall.machine_id
            await it.unshare()
            # The credential itself is still good: it may do nothing.
            with refused(Status.NOT_FOUND):
                await client.get_robot(it.hall.machine_id)
            assert [of.id for of in await client.list_organizations()] == [it.theirs]
            assert key.id in {listed.api_key.id for listed in await it.neighbour.list_keys(it.theirs)}
            await it.share()
            assert (await client.get_robot(it.hall.machine_id)).id == it.hall.machine_id
            await it.unshare()
            await it.neighbour.delete_key(key.id)
            with unauthenticated():
                await client.list_organizations()


async def test_each_organization_manages_its_own_keys(two: TwoOrganizations) -> None:
    async with a_plant(two) as it:
        await it.share()
        access = grant("owner", "robot", it.plant.machine_id)
        theirs = await new_key(it.neighbour, it.theirs, access)
        ours = await new_key(it.owner, two.home.organization_id, access)
        for client, organization, own, other in [
            (it.owner, two.home.organization_id, ours, theirs),
            (it.neighbour, it.theirs, theirs, ours),
        ]:
            listed = {key.api_key.id for key in await client.list_keys(organization)}
            assert own.id in listed
            assert other.id not in listed
            of_robot = {key.api_key.id for key in await client.get_robot_api_keys(it.plant.machine_id)}
            assert own.id in of_robot
            assert other.id not in of_robot
            for end in (client.rotate_key, client.delete_key, client.create_key_from_existing_key_authorizations):
                with refused(Status.NOT_FOUND):
                    await end(other.id)
            with refused(Status.NOT_FOUND):
                await client.remove_role(organization, other.id, "owner", "robot", it.plant.machine_id)


async def test_a_key_for_what_is_shared_needs_an_organization(two: TwoOrganizations) -> None:
    """The words are what the `viam` CLI looks for."""
    async with a_plant(two) as it:
        await it.share()
        for resource, id in [("location", it.plant.location_id), ("robot", it.hall.machine_id)]:
            for owner, organization in [(two.home.owner, two.home.organization_id), (two.foreign.owner, it.theirs)]:
                async with connect(two.server, owner) as wire:
                    unnamed = {"name": "x", "authorizations": [authorization("owner", resource, id)]}
                    with refused(Status.INVALID_ARGUMENT, "multiple orgs", "organization_id"):
                        await wire.call("CreateKey", unnamed)
                    named = [authorization("owner", resource, id, organization_id=organization)]
                    made = await wire.call("CreateKey", {"name": "x", "authorizations": named})
                    assert made.key
        await it.unshare()
        async with connect(two.server, two.home.owner) as wire:
            unnamed = {"name": "x", "authorizations": [authorization("owner", "location", it.plant.location_id)]}
            assert (await wire.call("CreateKey", unnamed)).key
            named = authorization("owner", "location", it.plant.location_id, organization_id=it.theirs)
            with refused(Status.INVALID_ARGUMENT, "organization_id"):
                await wire.call("CreateKey", {"name": "x", "authorizations": [named]})


async def test_who_may_share_and_who_may_end_it(two: TwoOrganizations) -> None:
    async with a_plant(two) as it:
        site, home = it.plant, two.home.organization_id
        for role in ("owner", "operator"):
            async with sdk(two.server, await new_key(it.owner, home, site.grant(role, "robot"))) as client:
                with refused(Status.PERMISSION_DENIED, "share_location"):
                    await client.share_location(it.theirs, site.location_id)
        async with sdk(two.server, await new_key(it.owner, home, site.grant("operator", "organization"))) as client:
            with refused(Status.PERMISSION_DENIED, "share_location"):
                await client.share_location(it.theirs, site.location_id)
        async with sdk(two.server, await new_key(it.owner, home, site.grant("owner", "location"))) as client:
            await client.share_location(it.theirs, site.location_id)
            await client.share_location(it.theirs, site.location_id)
            # Those it is shared with may leave, and may not put its own organization out.
            with refused(Status.FAILED_PRECONDITION):
                await it.owner.unshare_location(home, site.location_id)
            with refused(Status.PERMISSION_DENIED, "share_location"):
                await it.neighbour.unshare_location(home, site.location_id)
            await it.neighbour.unshare_location(it.theirs, site.location_id)
            with refused(Status.NOT_FOUND):
                await it.neighbour.get_location(site.location_id)


@pytest.mark.parametrize(
    ("organization", "location", "status", "field"),
    [
        ("", None, Status.INVALID_ARGUMENT, "organization_id"),
        ("not an id", None, Status.INVALID_ARGUMENT, "organization_id"),
        (None, "", Status.INVALID_ARGUMENT, "location_id"),
        (None, "nowhere!", Status.INVALID_ARGUMENT, "location_id"),
        (ABSENT_UUID, None, Status.NOT_FOUND, "organization"),
        (None, "zzzzzzzzzz", Status.NOT_FOUND, "location"),
    ],
)
async def test_bad_input(
    two: TwoOrganizations, organization: str | None, location: str | None, status: Status, field: str
) -> None:
    async with a_plant(two) as it, connect(two.server, two.home.owner) as wire:
        request = {
            "organization_id": it.theirs if organization is None else organization,
            "location_id": it.plant.location_id if location is None else location,
        }
        with refused(status, field):
            await wire.call("ShareLocation", request)


async def test_the_name_of_the_primary_organization_is_told(two: TwoOrganizations) -> None:
    """What `viam machines status` asks for, with the key of one machine."""
    async with a_plant(two) as it:
        await it.share()
        narrow = await new_key(it.owner, two.home.organization_id, it.plant.grant("operator", "robot"))
        for key, expected in [
            (two.home.owner, [two.home.organization_id, it.theirs]),
            (two.foreign.owner, [two.home.organization_id, it.theirs]),
            (narrow, [two.home.organization_id]),
        ]:
            async with connect(two.server, key) as wire:
                said = await wire.call("GetOrganizationsWithAccessToLocation", {"location_id": it.plant.location_id})
                assert [of.id for of in said.organization_identities] == expected
                assert said.organization_identities[0].name
