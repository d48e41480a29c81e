"""The four keys that the mission page recommends: each does all it is for, and is refused everything else."""

import asyncio
import gzip
import io
import tarfile
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from datetime import datetime, timezone
from typing import Any

import pytest
from grpclib.const import Status
from viam.app.app_client import AppClient
from viam.proto.app import Model, ModuleFileInfo

from claviger import ApiKey
from fleet import Quickstart, Site, grant, held, new_key, new_site
from wire import Wire, connect, refused, sdk, unauthenticated

# What nobody is served, and the dashboards and pipelines of the page might ask for.
NOT_SERVED = [
    "viam.app.data.v1.DataService/TabularDataByFilter",
    "viam.app.data.v1.DataService/TabularDataBySQL",
    "viam.app.build.v1.BuildService/StartBuild",
    "viam.app.mltraining.v1.MLTrainingService/ListTrainingJobs",
    "viam.app.v1.AppService/CreateFragment",
    "viam.app.v1.AppService/UpdateFragment",
    "viam.app.v1.AppService/DeleteFragment",
]


@pytest.fixture
def site(home: Quickstart) -> "Tree":
    """A plant with a hall with a cell in it, a machine in each, and a store beside the plant."""
    return asyncio.run(Tree.grow(home))


class Tree:
    def __init__(self, plant: Site, hall: Site, cell: Site, store: Site) -> None:
        self.plant, self.hall, self.cell, self.store = plant, hall, cell, store

    @classmethod
    async def grow(cls, home: Quickstart) -> "Tree":
        async with sdk(home.server, home.owner) as owner:
            plant = await new_site(owner, home.organization_id, "plant")
            hall = await new_site(owner, home.organization_id, "hall", plant.location_id)
            cell = await new_site(owner, home.organization_id, "cell", hall.location_id)
            return cls(plant, hall, cell, await new_site(owner, home.organization_id, "store"))


async def key_for(home: Quickstart, access: Any, name: str) -> ApiKey:
    """Made the way the page shows: by the owner, through the Python SDK, with a name that says what it is for."""
    async with sdk(home.server, home.owner) as owner:
        return await new_key(owner, home.organization_id, access, name=name)


async def main_part(client: AppClient, machine: str) -> Any:
    return next(part for part in await client.get_robot_parts(machine) if part.main_part)


async def denied(call: Awaitable[Any], permission: str) -> None:
    with refused(Status.PERMISSION_DENIED, permission):
        await call


async def hidden(call: Awaitable[Any]) -> None:
    with refused(Status.NOT_FOUND):
        await call


async def not_served(wire: Wire) -> None:
    for path in NOT_SERVED:
        with refused(Status.UNIMPLEMENTED, path):
            await wire.raw(path, b"")


async def nobody_s_business(client: AppClient, organization: str, machine: str, part: str) -> None:
    """What operators are refused on a machine that they may control."""
    await denied(client.get_robot_part_logs(part), "read_robot_logs")
    with refused(Status.PERMISSION_DENIED, "read_robot_logs"):
        async for _ in await client.tail_robot_part_logs(part):
            pytest.fail("logs were shown")
    await denied(client.update_robot_part(part, "mine", {"components": []}), "write_robot")
    await denied(client.mark_part_for_restart(part), "write_robot")
    await denied(client.mark_part_as_main(part), "write_robot")
    await denied(client.new_robot_part(machine, "arm"), "write_robot")
    await denied(client.delete_robot_part(part), "write_robot")
    await denied(client.get_robot_part_history(part), "read_robot_history")
    await denied(client.get_robot_metadata(machine), "read_metadata")
    await denied(client.update_robot_metadata(machine, {"a": 1}), "write_metadata")
    await denied(client.create_robot_part_secret(part), "write_robot")
    await denied(client.update_robot(machine, "mine", None), "write_robot")
    await denied(client.delete_robot(machine), "delete_machine")
    await denied(client.get_robot_api_keys(machine), "manage_keys")
    await denied(client.list_keys(organization), "manage_keys")
    await denied(client.create_key(organization, [grant("operator", "robot", machine)], "twin"), "manage_keys")
    await denied(client.list_fragments(organization), "read_fragment")
    await denied(client.create_module(organization, "driver"), "registry_item")
    await denied(client.update_organization(organization, name="ours"), "write_organization")


async def test_sdk_connection_to_one_machine(home: Quickstart, site: Tree) -> None:
    """Machine, operator."""
    machine, beside = site.hall, site.cell
    key = await key_for(home, machine.grant("operator", "robot"), "arm-control")
    async with sdk(home.server, key) as client, connect(home.server, key) as wire:
        # What the SDK and the CLI look up on the way to the machine: its address, and nothing that opens it.
        part = await main_part(client, machine.machine_id)
        assert part.fqdn
        assert (await client.get_robot_part(part.id)).fqdn == part.fqdn
        assert not any([part.secret, part.secrets, part.robot_config, part.robot_config_json])
        assert (await client.get_robot(machine.machine_id)).location == machine.location_id
        assert (await client.get_location(machine.location_id)).name == "hall"
        assert len(await client.get_organizations_with_access_to_location(machine.location_id)) == 1
        asked = ["control_robot", "read_robot_logs", "write_robot"]
        assert await held(client, "robot", machine.machine_id, asked) == ["control_robot"]
        token = await wire.call("proto.rpc.v1.ExternalAuthService/AuthenticateTo", {"entity": part.fqdn})
        assert token.access_token.count(".") == 2
        # Nothing beyond it.
        assert [it.id for it in await client.list_locations(home.organization_id)] == [machine.location_id]
        assert [it.id for it in await client.list_robots(machine.location_id)] == [machine.machine_id]
        await hidden(client.get_robot(beside.machine_id))
        async with sdk(home.server, home.owner) as owner:
            other = await main_part(owner, beside.machine_id)
        await hidden(client.get_robot_part(other.id))
        with refused(Status.NOT_FOUND):
            await wire.call("proto.rpc.v1.ExternalAuthService/AuthenticateTo", {"entity": other.fqdn})
        await nobody_s_business(client, home.organization_id, machine.machine_id, part.id)
        await not_served(wire)
        async with sdk(home.server, home.owner) as owner:
            rotated = ApiKey.from_sdk(await owner.rotate_key(key.id))
        with unauthenticated():
            await client.get_robot(machine.machine_id)
    async with sdk(home.server, rotated) as client:
        assert await held(client, "robot", machine.machine_id, asked) == ["control_robot"]
        async with sdk(home.server, home.owner) as owner:
            await owner.delete_key(key.id)
        with unauthenticated():
            await client.get_robot(machine.machine_id)


CONFIGURATION = {
    "components": [
        {"name": "arm", "api": "rdk:component:arm", "model": "fake", "attributes": {"speed": 0.25, "größe": "ä\u0000b"}},
        {"name": "nested", "attributes": {"list": [1, 2.5, True, {"deep": {"deeper": []}}], "empty": {}}},
    ],
    "services": [],
    "unknown to us": {"kept": True},
}


async def test_deployment_script_for_one_site(home: Quickstart, site: Tree) -> None:
    """Location, owner."""
    key = await key_for(home, site.hall.grant("owner", "location"), "deploy-hall")
    async with sdk(home.server, key) as client, connect(home.server, key) as wire:
        (organization,) = await client.list_organizations()
        listed = [it.id for it in await client.list_locations(organization.id)]
        assert listed == [site.hall.location_id, site.cell.location_id]
        for location in listed:
            await deploy(client, home, organization.id, location)
        machine = await client.new_robot("rover", site.hall.location_id)
        await client.update_robot(machine, "rover", site.cell.location_id)
        await client.update_location(site.cell.location_id, "cell 2")
        await client.update_location_metadata(site.hall.location_id, {"shift": "night"})
        assert await client.list_fragments(organization.id) == []
        # Its own key's duplicate, which ends when the script is done.
        twin = ApiKey.from_sdk(await client.create_key_from_existing_key_authorizations(key.id))
        await client.delete_key(twin.id)

        # Nothing above it, nothing beside it, nothing of the organization.
        await denied(client.new_robot("rover", site.plant.location_id), "create_machine")
        await hidden(client.new_robot("rover", site.store.location_id))
        await hidden(client.update_robot(machine, "rover", site.store.location_id))
        await denied(client.update_robot(machine, "rover", site.plant.location_id), "move_machine")
        await denied(client.create_location(organization.id, "annex", site.hall.location_id), "create_location")
        await denied(client.update_location(site.plant.location_id, "ours"), "write_location")
        await hidden(client.get_robot(site.store.machine_id))
        await denied(client.update_organization(organization.id, name="ours"), "write_organization")
        await denied(client.get_organization_metadata(organization.id), "read_metadata")
        await denied(client.create_key(organization.id, [grant("owner", "organization", organization.id)]), "manage_keys")
        await hidden(client.create_key(organization.id, [site.store.grant("owner", "location")], "reach"))
        await denied(client.create_module(organization.id, "driver"), "registry_item")
        await denied(client.delete_organization(organization.id), "delete_organization")
        wide = await key_for(home, site.plant.grant("owner", "location"), "plant")
        with refused(Status.NOT_FOUND):
            await client.rotate_key(wide.id)
        await not_served(wire)


async def deploy(client: AppClient, home: Quickstart, organization: str, location: str) -> None:
    """A machine made, configured without losing a byte, restarted, given a key and taken away again."""
    machine = await client.new_robot("rover", location)
    part = await main_part(client, machine)
    assert part.secret
    made = ApiKey.from_sdk(await client.create_key(organization, [grant("owner", "robot", machine)], "rover"))
    assert [it.api_key.id for it in await client.get_robot_api_keys(machine)] == [made.id]

    before = datetime.now(timezone.utc)
    updated = await client.update_robot_part(part.id, part.name, CONFIGURATION)
    assert updated.last_updated
    for read in (await main_part(client, machine), await client.get_robot_part(part.id)):
        assert read.robot_config == CONFIGURATION
    text = '{"components":[], "big": 12345678901234567890, "spelling": 1.50, "nothing": null}'
    async with connect(home.server, home.owner) as wire:
        await wire.call("UpdateRobotPart", {"id": part.id, "name": part.name, "robot_config_json": text})
        assert (await wire.call("GetRobotPart", {"id": part.id})).part.robot_config_json == text
    # Read and written back whole, as the CLI does.
    read = await main_part(client, machine)
    await client.update_robot_part(part.id, part.name, read.robot_config)
    assert (await main_part(client, machine)).robot_config == read.robot_config
    history = await client.get_robot_part_history(part.id, start=before)
    assert len(history) >= 3

    await client.mark_part_for_restart(part.id)
    second = await client.new_robot_part(machine, "arm")
    await client.mark_part_as_main(second)
    await client.delete_robot_part(part.id)
    assert await client.get_robot_part_logs(second) == []
    await client.update_robot_metadata(machine, {"serial": 7})
    assert await client.get_robot_metadata(machine) == {"serial": 7}
    await client.delete_robot(machine)
    with unauthenticated():
        async with sdk(home.server, made):
            pytest.fail("the key outlived its machine")


async def test_pipeline_for_module_uploads(own: Quickstart) -> None:
    """Organization, owner."""
    key = await key_for(own, grant("owner", "organization", own.organization_id), "production-deploy-ci")
    async with sdk(own.server, own.owner) as owner:
        await owner.update_organization(own.organization_id, public_namespace="acme")
        hall = await new_site(owner, own.organization_id, "hall")
        others = [
            await new_key(owner, own.organization_id, access)
            for access in (
                grant("operator", "organization", own.organization_id),
                hall.grant("owner", "location"),
                hall.grant("operator", "location"),
                hall.grant("owner", "robot"),
                hall.grant("operator", "robot"),
            )
        ]
    # The key outlives restarts.
    await asyncio.to_thread(own.server.stop)
    own.server.serve()
    archive = tarball({"run.sh": b"#!/bin/sh\n" + b"x" * 200_000})
    async with sdk(own.server, key) as client, connect(own.server, key) as wire:
        # How the upload action finds the organization of a module's namespace.
        assert [(it.id, it.public_namespace) for it in await client.list_organizations()] == [
            (own.organization_id, "acme")
        ]
        id, url = await client.create_module(own.organization_id, "driver")
        assert id == "acme:driver"
        model = Model(api="rdk:component:arm", model="acme:driver:arm")
        await client.update_module(id, "https://example.com", "drives", [model], "run.sh")
        for version in ("0.9.0", "0.10.0"):
            info = ModuleFileInfo(module_id=id, version=version, platform="linux/amd64")
            assert await client.upload_module_file(info, archive)
        module = await client.get_module(id)
        assert [it.version for it in module.versions] == ["0.9.0", "0.10.0"]
        assert [file.platform for file in module.versions[0].files] == ["linux/amd64"]
        assert module.entrypoint == "run.sh"
        assert id in [it.module_id for it in await client.list_modules(own.organization_id)]
        await not_served(wire)
        info = ModuleFileInfo(module_id=id, version="1.0.0", platform="linux/amd64")
        for other in others:
            async with sdk(own.server, other) as stranger:
                for call in (
                    stranger.create_module(own.organization_id, "mine"),
                    stranger.update_module(id, "", "mine", [], "run.sh"),
                    stranger.upload_module_file(info, archive),
                ):
                    await denied(call, "registry_item")
        async with sdk(own.server, own.owner) as owner:
            rotated = ApiKey.from_sdk(await owner.rotate_key(key.id))
    with unauthenticated():
        async with sdk(own.server, key):
            pytest.fail("the next run logged in with the old value")
    async with sdk(own.server, rotated) as client:
        await client.upload_module_file(info, archive)
        async with sdk(own.server, own.owner) as owner:
            await owner.delete_key(key.id)
            # What was published stays.
            assert [it.version for it in (await owner.get_module(id)).versions] == ["0.9.0", "0.10.0", "1.0.0"]
        with unauthenticated():
            await client.upload_module_file(info, archive)


def tarball(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


POLLS = 1_000


async def test_monitoring_dashboard_for_a_location(home: Quickstart, site: Tree) -> None:
    """Location, operator."""
    key = await key_for(home, site.hall.grant("operator", "location"), "hall-wall")
    async with sdk(home.server, key) as client, connect(home.server, key) as wire:
        locations = [it.id for it in await client.list_locations(home.organization_id)]
        assert locations == [site.hall.location_id, site.cell.location_id]
        machines = sorted([site.hall.machine_id, site.cell.machine_id])
        assert sorted(it.id for it in await client.list_robots_for_locations(locations)) == machines
        for request in ({}, {"location_ids": locations}):
            summaries = await wire.call("ListMachineSummaries", {"organization_id": home.organization_id, **request})
            found = [machine for place in summaries.location_summaries for machine in place.machine_summaries]
            assert sorted(machine.machine_id for machine in found) == machines
        for machine in machines:
            part = await main_part(client, machine)
            assert part.fqdn
            assert not any([part.secret, part.secrets, part.robot_config, part.robot_config_json])
            # There is no role that only looks: whoever watches a machine may move it.
            assert await held(client, "robot", machine, ["control_robot", "read_robot_data_management"]) == [
                "control_robot",
                "read_robot_data_management",
            ]
        # Hours of a page that refreshes every thirty seconds, on the one token it started with.
        for _ in range(POLLS):
            assert len(await client.list_robots(site.hall.location_id)) == 1
        part = await main_part(client, site.cell.machine_id)
        await nobody_s_business(client, home.organization_id, site.cell.machine_id, part.id)
        await denied(client.new_robot("rover", site.hall.location_id), "create_machine")
        await denied(client.update_location(site.hall.location_id, "my wall"), "write_location")
        await denied(client.get_location_metadata(site.hall.location_id), "read_metadata")
        await denied(client.location_auth(site.hall.location_id), "read_location_secret")
        await denied(client.share_location(home.organization_id, site.hall.location_id), "share_location")
        await hidden(client.get_robot(site.store.machine_id))
        await hidden(client.get_robot(site.plant.machine_id))
        await not_served(wire)
        async with sdk(home.server, home.owner) as owner:
            await owner.delete_key(key.id)
        # The answer that no client retries.
        with unauthenticated():
            await client.list_robots(site.hall.location_id)


# === The life of a key ===


async def test_create_then_delete_rotates_without_a_failed_call(home: Quickstart, site: Tree) -> None:
    key = await key_for(home, site.hall.grant("operator", "location"), "renewed")
    async with AsyncExitStack() as stack:
        current = await stack.enter_async_context(sdk(home.server, key))
        stop, polls = asyncio.Event(), 0

        async def poll() -> None:
            nonlocal polls
            while not stop.is_set():
                assert len(await current.list_robots(site.hall.location_id)) == 1
                polls += 1

        polling = asyncio.create_task(poll())
        owner = await stack.enter_async_context(sdk(home.server, home.owner))
        for _ in range(5):
            new = ApiKey.from_sdk(await owner.create_key_from_existing_key_authorizations(key.id))
            current = await stack.enter_async_context(sdk(home.server, new))
            # What is under way with the old key comes to its end before the key does.
            so_far = polls
            while polls < so_far + 2:
                await asyncio.sleep(0.001)
            await owner.delete_key(key.id)
            key = new
        stop.set()
        await polling
    assert polls > 10


async def test_a_rotation_in_place_is_felt_by_the_very_next_call(home: Quickstart, site: Tree) -> None:
    key = await key_for(home, site.hall.grant("operator", "location"), "rotated")
    async with sdk(home.server, home.owner) as owner:
        for _ in range(20):
            async with sdk(home.server, key) as client:
                await client.list_robots(site.hall.location_id)
                rotated = ApiKey.from_sdk(await owner.rotate_key(key.id))
                with unauthenticated():
                    await client.list_robots(site.hall.location_id)
            key = rotated

