"""Parts of machines: names, addresses, secrets, what is noted down, and machines in short."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from grpclib.const import Status
from viam.app.app_client import AppClient

from fleet import ABSENT_LOCATION, ABSENT_UUID, KIND_IDS, KINDS, Quickstart, Site, TwoOrganizations, new_key, new_site
from wire import connect, refused, sdk

INVALID, ABSENT, PRECONDITION = Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.FAILED_PRECONDITION


async def main_part_id(client: AppClient, machine_id: str) -> str:
    (id,) = [part.id for part in await client.get_robot_parts(machine_id) if part.main_part]
    return id


# === Parts and addresses ===


async def test_parts_come_and_go(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        first = await main_part_id(owner, site.machine_id)
        second = await owner.new_robot_part(site.machine_id, "left")
        with refused(Status.ALREADY_EXISTS, "part_name: the machine has a part with this name"):
            await owner.new_robot_part(site.machine_id, "left")
        parts = await owner.get_robot_parts(site.machine_id)
        assert [(part.id, part.name, part.main_part) for part in parts] == [
            (first, "hall-arm-main", True),
            (second, "left", False),
        ]
        with refused(PRECONDITION, first, "mark another as main first"):
            await owner.delete_robot_part(first)
        await owner.mark_part_as_main(second)
        assert await main_part_id(owner, site.machine_id) == second
        await owner.mark_part_for_restart(second)
        await owner.delete_robot_part(first)
        with refused(ABSENT, "part not found"):
            await owner.get_robot_part(first)
        assert len(await owner.get_robot_parts(site.machine_id)) == 1


async def test_an_address_is_one_label_below_the_domain(new_server: Callable[..., Any]) -> None:
    fleet = Quickstart.start(new_server(["--domain", "Robots.Example.com"]))
    async with sdk(fleet.server, fleet.owner) as owner:
        hall = await owner.create_location(fleet.organization_id, "hall")
        yard = await owner.create_location(fleet.organization_id, "yard")
        names = ["Arm (links)", "arm links", "機械", "x" * 255]
        machines = [await owner.new_robot(name, hall.id) for name in names]
        addresses = [await address(owner, machine, hall.id) for machine in machines]
        assert len(set(addresses)) == len(names)
        assert addresses[0] == f"arm-links-main-{hall.id}"
        assert re.fullmatch(rf"arm-links-main-[0-9a-v]{{6}}-{hall.id}", addresses[1])
        assert addresses[2] == f"main-{hall.id}"
        assert len(addresses[3]) == 63
        # It follows the place and the part's name, and leaves the neighbour's alone.
        await owner.update_robot(machines[0], names[0], yard.id)
        assert await address(owner, machines[0], yard.id) == f"arm-links-main-{yard.id}"
        assert await address(owner, machines[1], hall.id) == addresses[1]
        await owner.update_robot_part(await main_part_id(owner, machines[1]), "Gripper")
        assert await address(owner, machines[1], hall.id) == f"gripper-{hall.id}"
    await asyncio.to_thread(fleet.server.stop)


async def address(owner: AppClient, machine: str, location: str) -> str:
    (part,) = await owner.get_robot_parts(machine)
    label = part.dns_name
    assert re.fullmatch(rf"[a-z0-9]([a-z0-9-]{{0,61}}[a-z0-9])-{location}", label) and len(label) <= 63
    assert part.fqdn == f"{label}.robots.example.com"
    assert part.local_fqdn == f"{label}.local.robots.example.com"
    assert part.location_id == location
    return label


async def test_a_part_is_found_by_its_name(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner, connect(home.server, home.owner) as wire:
        site = await new_site(owner, home.organization_id)
        request = {"name": "hall-arm-main", "location_id": site.location_id}
        found = (await wire.call("GetRobotPartByNameAndLocation", request)).part
        assert found.id == await main_part_id(owner, site.machine_id)
        await owner.new_robot("hall-arm", site.location_id)
        with refused(PRECONDITION, "2 parts", site.location_id):
            await wire.call("GetRobotPartByNameAndLocation", request)
        with refused(ABSENT, "part not found"):
            await wire.call("GetRobotPartByNameAndLocation", {**request, "name": "other"})


async def test_what_never_called_awaits_its_setup(home: Quickstart) -> None:
    async with connect(home.server, home.owner) as wire:
        robot = (await wire.call("GetRobot", {"id": home.machine_id})).robot
        (part,) = (await wire.call("GetRobotParts", {"robot_id": home.machine_id})).parts
        for it in (robot, part):
            assert (it.online_state, it.seconds_since_online, it.HasField("last_access")) == (3, 0, False)


# === Secrets ===


async def test_a_secret_is_read_again_and_is_gone_when_deleted(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        id = await main_part_id(owner, site.machine_id)
        (first,) = (await owner.get_robot_part(id)).secrets or []
        assert len(first.secret) == 43
        assert first.state == 1
        with refused(PRECONDITION, first.id, "create another first"):
            await owner.delete_robot_part_secret(id, first.id)
        made = await owner.create_robot_part_secret(id)
        again = await owner.get_robot_part(id)
        assert [it.id for it in again.secrets or []] == [it.id for it in made.secrets or []]
        old, new = again.secrets or []
        assert old == first
        assert len({old.secret, new.secret}) == 2
        # Clients that know of one only get the one that will stay.
        assert again.secret == new.secret
        await owner.delete_robot_part_secret(id, first.id)
        assert (await owner.get_robot_part(id)).secrets == [new]
        with refused(INVALID, "secret_id:"):
            await owner.delete_robot_part_secret(id, first.id)
        for _ in range(9):
            await owner.create_robot_part_secret(id)
        with refused(PRECONDITION, "at most 10 secrets"):
            await owner.create_robot_part_secret(id)


async def test_a_location_begins_without_secrets(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        auth = await owner.location_auth(site.location_id)
        assert (auth.location_id, auth.secret, list(auth.secrets)) == (site.location_id, "", [])
        first = await owner.create_location_secret(site.location_id)
        second = await owner.create_location_secret(site.location_id)
        assert second.secrets[0] == first.secrets[0]
        assert second.secret == second.secrets[1].secret
        assert await owner.location_auth(site.location_id) == second
        for it in second.secrets:
            await owner.delete_location_secret(it.id, site.location_id)
        assert list((await owner.location_auth(site.location_id)).secrets) == []
        # Nobody is told them but by this call.
        assert not (await owner.get_location(site.location_id)).HasField("auth")


@pytest.mark.parametrize(("role", "level"), KINDS, ids=KIND_IDS)
async def test_who_reads_the_secrets_of_a_location(home: Quickstart, role: str, level: str) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        await owner.create_location_secret(site.location_id)
        key = await new_key(owner, home.organization_id, site.grant(role, level))
    async with sdk(home.server, key) as client:
        if role == "owner" and level != "robot":
            assert len((await client.location_auth(site.location_id)).secrets) == 1
        else:
            with refused(Status.PERMISSION_DENIED, "read_location_secret"):
                await client.location_auth(site.location_id)
            with refused(Status.PERMISSION_DENIED, "write_location"):
                await client.create_location_secret(site.location_id)


async def test_secrets_survive_a_restart_and_lie_nowhere_in_clear(own: Quickstart) -> None:
    """What stops the server looks for every secret that the SDK was told, in the database and the logs."""
    async with sdk(own.server, own.owner) as owner:
        id = await main_part_id(owner, own.machine_id)
        before = (await owner.create_robot_part_secret(id)).secrets
        auth = await owner.create_location_secret(own.location_id)
    await asyncio.to_thread(own.server.stop)
    own.server.serve()
    async with sdk(own.server, own.owner) as owner:
        assert (await owner.get_robot_part(id)).secrets == before
        assert await owner.location_auth(own.location_id) == auth


# === Metadata ===

# From the top: each level's way to read and to write.
LEVELS = ("organization", "location", "robot", "part")


async def read(client: AppClient, site: Site, part: str, level: str) -> Any:
    by_level = {
        "organization": lambda: client.get_organization_metadata(site.organization_id),
        "location": lambda: client.get_location_metadata(site.location_id),
        "robot": lambda: client.get_robot_metadata(site.machine_id),
        "part": lambda: client.get_robot_part_metadata(part),
    }
    return await by_level[level]()


async def write(client: AppClient, site: Site, part: str, level: str, data: dict[str, Any]) -> None:
    by_level = {
        "organization": lambda: client.update_organization_metadata(site.organization_id, data),
        "location": lambda: client.update_location_metadata(site.location_id, data),
        "robot": lambda: client.update_robot_metadata(site.machine_id, data),
        "part": lambda: client.update_robot_part_metadata(part, data),
    }
    await by_level[level]()


@pytest.mark.parametrize(("role", "level"), KINDS, ids=KIND_IDS)
async def test_metadata_is_the_owners_and_only_downward(home: Quickstart, role: str, level: str) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        part = await main_part_id(owner, site.machine_id)
        for at in LEVELS:
            await write(owner, site, part, at, {"token": at})
        key = await new_key(owner, home.organization_id, site.grant(role, level))
    async with sdk(home.server, key) as client:
        for at in LEVELS:
            if role == "owner" and LEVELS.index(at) >= LEVELS.index(level):
                assert await read(client, site, part, at) == {"token": at}
                await write(client, site, part, at, {"by": [level, 1.5, True, {}]})
                assert await read(client, site, part, at) == {"by": [level, 1.5, True, {}]}
            else:
                with refused(Status.PERMISSION_DENIED, "read_metadata"):
                    await read(client, site, part, at)
                with refused(Status.PERMISSION_DENIED, "write_metadata"):
                    await write(client, site, part, at, {})


async def test_metadata_is_replaced_whole_and_can_be_taken_away(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner, connect(home.server, home.owner) as wire:
        site = await new_site(owner, home.organization_id)
        part = await main_part_id(owner, site.machine_id)
        assert await read(owner, site, part, "robot") == {}
        await write(owner, site, part, "robot", {"a": 1, "b": 2})
        await write(owner, site, part, "robot", {"c": 3})
        assert await read(owner, site, part, "robot") == {"c": 3}
        with refused(INVALID, "data: must be there"):
            await wire.call("UpdateRobotMetadata", {"id": site.machine_id})
        assert await read(owner, site, part, "robot") == {"c": 3}
        most = {"a": "x" * (64 * 1024 - len('{"a":""}'))}
        await write(owner, site, part, "robot", most)
        with refused(INVALID, "data: must be at most 65536 bytes", "has 65537"):
            await write(owner, site, part, "robot", {"a": most["a"] + "x"})
        assert await read(owner, site, part, "robot") == most
        await wire.call("UpdateRobotMetadata", {"id": site.machine_id, "data": {}})
        assert await read(owner, site, part, "robot") == {}


# === Summaries ===


async def test_summaries_show_what_is_seen_and_not_more_than_asked(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        hall = await new_site(owner, home.organization_id)
        cell = await new_site(owner, home.organization_id, "cell", hall.location_id)
        extra = [await owner.new_robot(f"robot {number}", hall.location_id) for number in range(4)]
        grants = [hall.grant("operator", "location"), hall.grant("operator", "robot")]
        of_location, of_machine = [await new_key(owner, home.organization_id, it) for it in grants]
    everything = {hall.machine_id, cell.machine_id, *extra}

    async def ask(key: Any, **request: Any) -> set[str]:
        async with connect(home.server, key) as wire:
            asked = {"organization_id": home.organization_id, **request}
            summaries = (await wire.call("ListMachineSummaries", asked)).location_summaries
        for location in summaries:
            assert location.location_name
            for machine in location.machine_summaries:
                (part,) = [part for part in machine.part_summaries if part.is_main_part]
                assert part.part_id and part.part_name and part.online_state == 3
                assert part.dns_name.endswith(f"-{location.location_id}")
        return {machine.machine_id for location in summaries for machine in location.machine_summaries}

    assert await ask(of_location) == everything
    assert await ask(of_location, location_ids=[hall.location_id]) == everything
    assert await ask(of_location, location_ids=[cell.location_id]) == {cell.machine_id}
    assert await ask(of_machine) == {hall.machine_id}
    assert len(await ask(of_location, limit=3)) == 3
    assert await ask(of_location, fragment_ids=[ABSENT_UUID]) == set()
    assert everything < await ask(home.owner, limit=10_000)
    with refused(ABSENT, "location not found"):
        await ask(of_machine, location_ids=[cell.location_id])


async def test_a_hundred_machines_are_told_unless_more_are_asked_for(own: Quickstart) -> None:
    async with sdk(own.server, own.owner) as owner:
        for number in range(104):
            await owner.new_robot(f"robot {number}", own.location_id)
    async with connect(own.server, own.owner) as wire:

        async def count(**request: Any) -> int:
            asked = {"organization_id": own.organization_id, **request}
            reply = await wire.call("ListMachineSummaries", asked)
            return sum(len(it.machine_summaries) for it in reply.location_summaries)

        assert [await count(), await count(limit=102), await count(limit=1000)] == [100, 102, 105]


# === What is refused ===

Request = Callable[[Site, str], dict[str, Any]]

REFUSED: dict[str, tuple[str, Request, Status, str]] = {
    "no-machine": ("NewRobotPart", lambda s, p: {"part_name": "x"}, INVALID, "robot_id:"),
    "no-part-name": ("NewRobotPart", lambda s, p: {"robot_id": s.machine_id}, INVALID, "part_name: must have"),
    "line-break": ("NewRobotPart", lambda s, p: {"robot_id": s.machine_id, "part_name": "a\nb"}, INVALID, "part_name:"),
    "absent-machine": ("NewRobotPart", lambda s, p: {"robot_id": ABSENT_UUID, "part_name": "x"}, ABSENT, "machine"),
    "update-nothing": ("UpdateRobotPart", lambda s, p: {"name": "x"}, INVALID, "id:"),
    "update-no-name": ("UpdateRobotPart", lambda s, p: {"id": p}, INVALID, "name: must have"),
    "update-percent": ("UpdateRobotPart", lambda s, p: {"id": "%s", "name": "x"}, INVALID, "id:"),
    "update-absent": ("UpdateRobotPart", lambda s, p: {"id": ABSENT_UUID, "name": "x"}, ABSENT, "part not found"),
    "update-a-machine": ("UpdateRobotPart", lambda s, p: {"id": s.machine_id, "name": "x"}, ABSENT, "part not found"),
    "delete-braces": ("DeleteRobotPart", lambda s, p: {"part_id": f"{{{p}}}"}, INVALID, "part_id:"),
    "main-nothing": ("MarkPartAsMain", lambda s, p: {}, INVALID, "part_id:"),
    "restart-absent": ("MarkPartForRestart", lambda s, p: {"part_id": ABSENT_UUID}, ABSENT, "part not found"),
    "secret-of-nothing": ("CreateRobotPartSecret", lambda s, p: {}, INVALID, "part_id:"),
    "delete-no-secret": ("DeleteRobotPartSecret", lambda s, p: {"part_id": p}, INVALID, "secret_id:"),
    "delete-absent-secret": (
        "DeleteRobotPartSecret",
        lambda s, p: {"part_id": p, "secret_id": ABSENT_UUID},
        INVALID,
        "secret_id: must be the id of one of its secrets",
    ),
    "auth-of-a-uuid": ("LocationAuth", lambda s, p: {"location_id": s.machine_id}, INVALID, "location_id:"),
    "auth-absent": ("LocationAuth", lambda s, p: {"location_id": ABSENT_LOCATION}, ABSENT, "location not found"),
    "secret-of-no-location": ("CreateLocationSecret", lambda s, p: {}, INVALID, "location_id:"),
    "delete-no-location-secret": (
        "DeleteLocationSecret",
        lambda s, p: {"location_id": s.location_id, "secret_id": "x"},
        INVALID,
        "secret_id:",
    ),
    "history-of-text": ("GetRobotPartHistory", lambda s, p: {"id": "x"}, INVALID, "id:"),
    "history-of-a-machine": ("GetRobotPartHistory", lambda s, p: {"id": s.machine_id}, ABSENT, "part not found"),
    "name-nowhere": ("GetRobotPartByNameAndLocation", lambda s, p: {"name": "x"}, INVALID, "location_id:"),
    "no-name": ("GetRobotPartByNameAndLocation", lambda s, p: {"location_id": s.location_id}, INVALID, "name:"),
    "summaries-of-text": ("ListMachineSummaries", lambda s, p: {"organization_id": "x"}, INVALID, "organization_id:"),
    "summaries-in-text": (
        "ListMachineSummaries",
        lambda s, p: {"organization_id": s.organization_id, "location_ids": [s.location_id, "?"]},
        INVALID,
        "location_ids[1]:",
    ),
    "summaries-none": (
        "ListMachineSummaries",
        lambda s, p: {"organization_id": s.organization_id, "limit": 0},
        INVALID,
        "limit: must be 1 to 10000",
    ),
    "summaries-too-many": (
        "ListMachineSummaries",
        lambda s, p: {"organization_id": s.organization_id, "limit": 10_001},
        INVALID,
        "limit: must be 1 to 10000",
    ),
    "metadata-of-text": ("GetOrganizationMetadata", lambda s, p: {"organization_id": "?"}, INVALID, "organization_id:"),
    "metadata-of-no-location": ("GetLocationMetadata", lambda s, p: {}, INVALID, "location_id:"),
    "metadata-of-a-part": ("GetRobotMetadata", lambda s, p: {"id": p}, ABSENT, "machine not found"),
    "metadata-of-a-machine": ("GetRobotPartMetadata", lambda s, p: {"id": s.machine_id}, ABSENT, "part not found"),
    "no-data": ("UpdateLocationMetadata", lambda s, p: {"location_id": s.location_id}, INVALID, "data: must be there"),
    "no-data-of-a-part": ("UpdateRobotPartMetadata", lambda s, p: {"id": p}, INVALID, "data: must be there"),
    "no-data-at-the-top": (
        "UpdateOrganizationMetadata",
        lambda s, p: {"organization_id": s.organization_id},
        INVALID,
        "data: must be there",
    ),
}


@pytest.mark.parametrize(("method", "request_", "status", "words"), REFUSED.values(), ids=REFUSED)
async def test_a_request_that_is_wrong_is_refused_with_the_reason(
    two: TwoOrganizations, method: str, request_: Request, status: Status, words: str
) -> None:
    async with sdk(two.server, two.home.owner) as owner:
        site = await new_site(owner, two.home.organization_id)
        part = await main_part_id(owner, site.machine_id)
    async with connect(two.server, two.home.owner) as wire:
        before = await wire.call("GetRobotParts", {"robot_id": site.machine_id})
        with refused(status, words):
            await wire.call(method, request_(site, part))
        assert await wire.call("GetRobotParts", {"robot_id": site.machine_id}) == before


def test_a_domain_that_is_none_is_refused(new_server: Callable[..., Any]) -> None:
    server = new_server(["--domain", "not a domain"])
    with pytest.raises(AssertionError, match="--domain"):
        server.quickstart()
