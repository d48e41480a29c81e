"""A key from its creation to its end, through the unmodified Python SDK."""

import asyncio
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from grpclib.const import Status
from viam.app.app_client import AppClient
from viam.app.viam_client import ViamClient
from viam.proto.app import APIKeyWithAuthorizations, RenameKeyRequest
from viam.rpc.dial import DialOptions

from claviger import ApiKey, Server
from fleet import KIND_IDS, KINDS, Quickstart, Site, grant, held, new_key, new_site
from keyform import is_well_formed
from wire import connect, refused, sdk, unauthenticated, watch

# === Create ===


@pytest.mark.parametrize(("role", "level"), KINDS, ids=KIND_IDS)
async def test_a_key_is_created_at_each_level_with_each_role(home: Quickstart, role: str, level: str) -> None:
    name = f"{level}-{role}"
    before = datetime.now(UTC)
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        key = ApiKey.from_sdk(await owner.create_key(site.organization_id, [site.grant(role, level)], name))
        listed = await find(owner, home.organization_id, key.id)

    assert is_well_formed(key.value)
    assert (listed.api_key.id, listed.api_key.name) == (key.id, name)
    created = listed.api_key.created_on.ToDatetime(UTC)
    assert before - timedelta(seconds=5) < created < datetime.now(UTC) + timedelta(seconds=5)
    (authorization,) = listed.authorizations
    assert authorization.authorization_type == "role"
    assert authorization.authorization_id == f"{level}_{role}"
    assert (authorization.resource_type, authorization.resource_id) == (level, site.resource_id(level))
    assert authorization.org_id == home.organization_id

    async with sdk(home.server, key) as holder:
        (organization,) = await holder.list_organizations()
        assert organization.id == home.organization_id
        allowed = await held(holder, "robot", site.machine_id, ["control_robot", "write_robot"])
    assert allowed == (["control_robot", "write_robot"] if role == "owner" else ["control_robot"])


async def test_one_key_can_hold_roles_on_several_resources(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        here, there = [await new_site(owner, home.organization_id) for _ in range(2)]
        grants = [here.grant("owner", "location"), there.grant("operator", "robot")]
        key = await new_key(owner, home.organization_id, *grants)
    async with sdk(home.server, key) as holder:
        assert await held(holder, "robot", here.machine_id, ["write_robot", "control_robot"]) != []
        assert await held(holder, "robot", there.machine_id, ["write_robot", "control_robot"]) == ["control_robot"]


async def test_the_name_is_made_up_by_the_sdk_when_none_is_given(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        operator = grant("operator", "robot", home.machine_id)
        _, id = await owner.create_key(home.organization_id, [operator])
        listed = await find(owner, home.organization_id, id)
    # str(datetime.now()), which is what the SDK sends.
    assert datetime.fromisoformat(listed.api_key.name)


async def test_the_value_is_told_once(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        key = await new_key(owner, home.organization_id, site.grant("owner", "robot"))
    async with connect(home.server, home.owner) as wire:
        replies = [
            await wire.call("ListKeys", {"org_id": home.organization_id}),
            await wire.call("GetRobotAPIKeys", {"robot_id": site.machine_id}),
            await wire.call("ListAuthorizations", {"organization_id": home.organization_id}),
            await wire.call("RenameKey", {"id": key.id, "name": "renamed"}),
        ]
    for reply in replies:
        # The key is in the reply, its value is not.
        assert key.id in str(reply)
        assert key.value not in str(reply)
    for listed in [*replies[0].api_keys, *replies[1].api_keys]:
        assert listed.api_key.key == ""


# === List ===


async def test_keys_are_listed_oldest_first(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        made = [
            await new_key(owner, home.organization_id, site.grant("operator", "robot"), name=f"key-{number}")
            for number in range(3)
        ]
        listed = [
            (key.api_key.id, key.api_key.name)
            for key in await owner.list_keys(org_id=home.organization_id)
            if key.authorizations[0].resource_id == site.machine_id
        ]
    assert listed == [(key.id, f"key-{number}") for number, key in enumerate(made)]


async def test_the_listing_loop_of_the_page_needs_api_key(home: Quickstart) -> None:
    """The page prints `key.api_key_id` and `key.name`, which its own SDK does not have."""
    async with sdk(home.server, home.owner) as owner:
        keys = await owner.list_keys(org_id=home.organization_id)
    lines = [f"{key.api_key.id}: {key.api_key.name}" for key in keys]
    assert any(line.startswith(f"{home.owner.id}: ") for line in lines)
    assert not hasattr(keys[0], "api_key_id")
    assert not hasattr(keys[0], "name")


async def test_the_keys_of_a_machine_are_listed_owners_first(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        operator = await new_key(owner, home.organization_id, site.grant("operator", "robot"))
        machine_owner = await new_key(owner, home.organization_id, site.grant("owner", "robot"))
        await new_key(owner, home.organization_id, site.grant("owner", "location"))
        listed = await owner.get_robot_api_keys(site.machine_id)
    assert [key.api_key.id for key in listed] == [machine_owner.id, operator.id]


# === Use ===


async def test_a_key_is_used_through_dial_options(home: Quickstart) -> None:
    options = DialOptions.with_api_key(api_key=home.owner.value, api_key_id=home.owner.id)
    options.insecure = True
    async with await ViamClient.create_from_dial_options(options, home.server.url) as client:
        watch(client)
        organizations = await client.app_client.list_organizations()
    assert [organization.id for organization in organizations] == [home.organization_id]


async def test_a_key_is_used_from_the_environment(home: Quickstart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIAM_API_KEY_ID", home.operator.id)
    monkeypatch.setenv("VIAM_API_KEY", home.operator.value)
    async with await ViamClient.create_from_env_vars(DialOptions(insecure=True), home.server.url) as client:
        watch(client)
        machine = await client.app_client.get_robot(home.machine_id)
    assert machine.id == home.machine_id


async def test_the_clients_for_other_services_do_not_break_the_connection(home: Quickstart) -> None:
    options = DialOptions.with_api_key(home.owner.value, home.owner.id)
    options.insecure = True
    async with await ViamClient.create_from_dial_options(options, home.server.url) as client:
        watch(client)
        with refused(Status.UNIMPLEMENTED, "BinaryDataByIDs"):
            await client.data_client.binary_data_by_ids(["x"])
        with refused(Status.UNIMPLEMENTED, "GetCurrentMonthUsage"):
            await client.billing_client.get_current_month_usage(home.organization_id)
        assert await client.app_client.list_organizations() != []


async def test_a_wrong_value_is_refused_when_the_client_is_created(home: Quickstart) -> None:
    with unauthenticated():
        async with sdk(home.server, ApiKey(home.owner.id, home.operator.value)):
            pytest.fail("connected with another key's value")


async def test_keys_work_over_tls(new_server: Callable[..., Server]) -> None:
    secure = Quickstart.start(new_server(["--tls-self-signed"]))
    assert secure.server.url.startswith("https://")
    # The SDK does not look at the certificate of a loopback address; our own connection does.
    async with sdk(secure.server, secure.owner) as owner:
        key = await new_key(owner, secure.organization_id, grant("operator", "robot", secure.machine_id))
    async with connect(secure.server, key) as wire:
        assert (await wire.call("GetRobot", {"id": secure.machine_id})).robot.id == secure.machine_id
    with pytest.raises(ssl.SSLCertVerificationError):
        host, port = secure.server.address
        await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    await asyncio.to_thread(secure.server.stop)


# === Rotate ===


async def test_a_rotated_key_has_a_new_value_and_is_otherwise_the_same(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        key = await new_key(
            owner, home.organization_id, grant("operator", "location", home.location_id), name="rotating"
        )
        before = await find(owner, home.organization_id, key.id)
        rotated = ApiKey.from_sdk(await owner.rotate_key(id=key.id))
        after = await find(owner, home.organization_id, key.id)
    assert rotated.id == key.id
    assert rotated.value != key.value
    assert is_well_formed(rotated.value)
    assert after == before
    async with connect(home.server) as wire:
        assert await wire.accepts(rotated)
        assert not await wire.accepts(key)


async def test_the_old_value_is_dead_on_the_next_call_of_every_connection(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        key = await new_key(owner, home.organization_id, grant("operator", "robot", home.machine_id))
        async with sdk(home.server, key) as one, sdk(home.server, key) as other, connect(home.server, key) as wire:
            for client in (one, other):
                assert (await client.get_robot(home.machine_id)).id == home.machine_id
            assert (await wire.call("GetRobot", {"id": home.machine_id})).robot.id == home.machine_id

            rotated = ApiKey.from_sdk(await owner.rotate_key(key.id))

            for client in (one, other):
                with unauthenticated():
                    await client.get_robot(home.machine_id)
                # Also what needs no permission at all.
                with unauthenticated():
                    await client.list_organizations()
            with unauthenticated():
                await wire.call("GetRobot", {"id": home.machine_id})
            # The connection is good: it was the credential.
            wire.token = await wire.authenticate(rotated)
            assert (await wire.call("GetRobot", {"id": home.machine_id})).robot.id == home.machine_id
        with unauthenticated():
            async with sdk(home.server, key):
                pytest.fail("connected with a value from before the rotation")


async def test_every_value_but_the_last_is_dead(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner, connect(home.server) as wire:
        values = [await new_key(owner, home.organization_id, grant("operator", "robot", home.machine_id))]
        for _ in range(5):
            values.append(ApiKey.from_sdk(await owner.rotate_key(values[0].id)))
        assert [await wire.accepts(value) for value in values] == [False] * 5 + [True]


async def test_an_owner_key_can_rotate_itself(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        key = await new_key(owner, home.organization_id, grant("owner", "location", home.location_id))
    async with sdk(home.server, key) as itself:
        rotated = ApiKey.from_sdk(await itself.rotate_key(key.id))
        with unauthenticated():
            await itself.list_organizations()
    async with sdk(home.server, rotated) as itself:
        assert await itself.list_organizations() != []


async def test_an_operator_key_cannot_rotate_itself(home: Quickstart) -> None:
    async with sdk(home.server, home.operator) as operator:
        with refused(Status.PERMISSION_DENIED, "manage_keys", f"machine {home.machine_id}"):
            await operator.rotate_key(home.operator.id)
        assert (await operator.get_robot(home.machine_id)).id == home.machine_id


async def test_create_then_delete_rotates_without_a_failed_call(home: Quickstart) -> None:
    """The page's way to rotate without downtime, under a consumer that polls all the while."""
    async with sdk(home.server, home.owner) as owner:
        access = grant("operator", "location", home.location_id)
        old = await new_key(owner, home.organization_id, access, name="dashboard-1")
        consumer = Consumer(home, old)
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.poll())
            await consumer.answered_with(old, times=20)

            new = await new_key(owner, home.organization_id, access, name="dashboard-2")
            consumer.key = new
            await consumer.answered_with(new, times=20)
            await owner.delete_key(old.id)
            await consumer.answered_with(new, times=20)
            consumer.stopped = True
    async with connect(home.server) as wire:
        assert (await wire.accepts(old), await wire.accepts(new)) == (False, True)


class Consumer:
    """A dashboard: polls with the key in its configuration, and connects anew when that key is another."""

    def __init__(self, home: Quickstart, key: ApiKey) -> None:
        self.key = key
        self.stopped = False
        self._home = home
        self._answers: asyncio.Queue[str] = asyncio.Queue()

    async def poll(self) -> None:
        """Polls until it is stopped. The first failed call ends it with the failure."""
        while not self.stopped:
            key = self.key
            async with sdk(self._home.server, key) as client:
                while key == self.key and not self.stopped:
                    assert await client.list_robots(self._home.location_id) != []
                    self._answers.put_nowait(key.id)

    async def answered_with(self, key: ApiKey, times: int) -> None:
        async with asyncio.timeout(30):
            while times > 0:
                times -= await self._answers.get() == key.id


# === Duplicate ===


async def test_a_duplicate_may_the_same_and_lives_on_its_own(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        grants = [site.grant("owner", "location"), grant("operator", "robot", home.machine_id)]
        key = await new_key(owner, home.organization_id, *grants, name="line-3")
        copy = ApiKey.from_sdk(await owner.create_key_from_existing_key_authorizations(key.id))
        original, duplicate = [await find(owner, home.organization_id, id) for id in (key.id, copy.id)]
        assert copy.id != key.id
        assert copy.value != key.value
        assert duplicate.authorizations == original.authorizations
        assert duplicate.api_key.name == "line-3 (copy)"

        await owner.delete_key(key.id)
    async with sdk(home.server, copy) as holder:
        assert await held(holder, "location", site.location_id, ["write_location"]) == ["write_location"]


# === Rename ===


async def test_a_key_is_renamed_through_the_generated_stub(home: Quickstart) -> None:
    """The Python SDK does not wrap RenameKey, but its generated stub has it."""
    async with sdk(home.server, home.owner) as owner:
        key = await new_key(owner, home.organization_id, grant("operator", "robot", home.machine_id), name="tmp")
        async with sdk(home.server, key) as holder:
            request = RenameKeyRequest(id=key.id, name="arm-control")
            renamed = await owner._app_client.RenameKey(request, metadata=owner._metadata)
            assert (renamed.id, renamed.name) == (key.id, "arm-control")
            assert not hasattr(owner, "rename_key")
            assert (await find(owner, home.organization_id, key.id)).api_key.name == "arm-control"
            # Neither the value nor the connection is touched.
            assert (await holder.get_robot(home.machine_id)).id == home.machine_id


# === Delete ===


async def test_a_deleted_key_is_dead_on_the_next_call_of_every_connection(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        key = await new_key(owner, home.organization_id, grant("operator", "robot", home.machine_id))
        async with sdk(home.server, key) as one, connect(home.server, key) as wire:
            assert (await one.get_robot(home.machine_id)).id == home.machine_id
            assert (await wire.call("GetRobot", {"id": home.machine_id})).robot.id == home.machine_id
            await owner.delete_key(id=key.id)
            with unauthenticated():
                await one.get_robot(home.machine_id)
            with unauthenticated():
                await wire.call("ListOrganizations")
            assert not await wire.accepts(key)
        assert key.id not in [listed.api_key.id for listed in await owner.list_keys(home.organization_id)]
        with refused(Status.NOT_FOUND, "key not found"):
            await owner.delete_key(key.id)


async def test_a_key_can_delete_itself(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        key = await new_key(owner, home.organization_id, grant("owner", "robot", home.machine_id))
    async with sdk(home.server, key) as itself:
        await itself.delete_key(key.id)
        with unauthenticated():
            await itself.list_organizations()


async def test_keys_of_people_who_left_are_found_by_name_and_deleted(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        ada, bob = [
            await new_key(owner, home.organization_id, site.grant("operator", "location"), name=f"{person}-laptop")
            for person in ("ada", "bob")
        ]
        for key in await owner.list_keys(home.organization_id):
            if key.api_key.name.startswith("ada-"):
                await owner.delete_key(key.api_key.id)
    async with connect(home.server) as wire:
        assert (await wire.accepts(ada), await wire.accepts(bob)) == (False, True)


# === Restart ===


async def test_a_restart_changes_nothing(own: Quickstart) -> None:
    async with sdk(own.server, own.owner) as owner:
        rotated = await new_key(owner, own.organization_id, grant("operator", "robot", own.machine_id))
        kept = ApiKey.from_sdk(await owner.rotate_key(rotated.id))
        deleted = await new_key(owner, own.organization_id, grant("owner", "organization", own.organization_id))
        await owner.delete_key(deleted.id)
        before = await owner.list_keys(own.organization_id)
    async with connect(own.server, own.operator) as wire:
        token = wire.token

    await asyncio.to_thread(own.server.stop)
    ready = own.server.quickstart()
    assert (ready["owner_key"], ready["operator_key"]) == (None, None)
    assert ready["organization_id"] == own.organization_id

    async with connect(own.server) as wire:
        assert [await wire.accepts(key) for key in (own.owner, kept, rotated, deleted)] == [True, True, False, False]
        # Viam's clients never ask for a second token, so the first one has to live as long as the key.
        wire.token = token
        assert (await wire.call("GetRobot", {"id": own.machine_id})).robot.id == own.machine_id
    async with sdk(own.server, own.owner) as owner:
        assert await owner.list_keys(own.organization_id) == before


async def test_what_quickstart_prints_is_one_line_of_json_with_both_keys(own: Quickstart) -> None:
    async with sdk(own.server, own.owner) as owner:
        assert await held(owner, "organization", own.organization_id, ["write_organization"]) == ["write_organization"]
        assert await sites(owner) == [Site(own.organization_id, own.location_id, own.machine_id)]
        listed = {key.api_key.id: key.authorizations for key in await owner.list_keys(own.organization_id)}
    assert listed.keys() == {own.owner.id, own.operator.id}
    assert [it.authorization_id for it in listed[own.owner.id]] == ["organization_owner"]
    assert [(it.authorization_id, it.resource_id) for it in listed[own.operator.id]] == [
        ("robot_operator", own.machine_id)
    ]
    # That there is only one line is asserted by every stop of a server.
    assert json.dumps(own.owner.value) not in own.server.log()


async def sites(client: AppClient) -> list[Site]:
    found = []
    for organization in await client.list_organizations():
        for location in await client.list_locations(organization.id):
            for machine in await client.list_robots(location.id):
                found.append(Site(organization.id, location.id, machine.id))
    return found


async def find(client: AppClient, organization_id: str, id: str) -> APIKeyWithAuthorizations:
    (found,) = [key for key in await client.list_keys(organization_id) if key.api_key.id == id]
    return found
