"""`claviger.v1.KeyService`: expiry, creators, use, pages, filters and managers."""

import asyncio
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from grpclib.const import Status

from claviger import ApiKey
from claviger_api import IDENTITY, KEYS, Api, connect_api, may, resource, rfc3339
from fleet import ABSENT_LOCATION, ABSENT_UUID, Quickstart, Site, TwoOrganizations, new_site
from keyform import is_well_formed
from protobytes import field, message
from wire import refused, sdk, unauthenticated

ACTIVE, EXPIRED = 1, 2
OWNER, OPERATOR = 1, 2
ORGANIZATION, LOCATION, MACHINE = 1, 2, 3


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def at(timestamp: Any) -> datetime:
    """A timestamp of a reply."""
    moment: datetime = timestamp.ToDatetime(UTC)
    return moment


async def sleep_until(moment: datetime) -> None:
    """Until the moment has passed, and not much longer."""
    await asyncio.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))
    while datetime.now(UTC) < moment:
        await asyncio.sleep(0.001)


async def site_of(home: Quickstart, name: str = "hall", parent: str | None = None) -> Site:
    async with sdk(home.server, home.owner) as owner:
        return await new_site(owner, home.organization_id, name, parent)


async def operator_of(api: Api, site: Site, name: str = "gripper", **more: Any) -> tuple[Any, ApiKey]:
    """A key that operates the site's machine."""
    request = {"name": name, "grants": [may("operator", "robot", site.machine_id)], **more}
    return await api.create(request)


# === Create ===


async def test_a_created_key_is_described_in_full(home: Quickstart) -> None:
    site = await site_of(home)
    before = soon(-5)
    async with connect_api(home.server, home.owner) as api:
        grants = [may("owner", "location", site.location_id), may("operator", "robot", site.machine_id)]
        asked = {"organization_id": home.organization_id, "name": "arm", "grants": grants}
        key, holder = await api.create(asked)
        assert is_well_formed(holder.value)
        assert uuid.UUID(key.id).version == 7
        assert (key.name, key.organization_id) == ("arm", home.organization_id)
        granted = [(grant.role, grant.resource.type, grant.resource.id) for grant in key.grants]
        assert sorted(granted) == [(OWNER, LOCATION, site.location_id), (OPERATOR, MACHINE, site.machine_id)]
        assert before < at(key.created_at) < soon(5)
        assert key.creator.WhichOneof("kind") == "key_id"
        assert key.creator.key_id == home.owner.id
        assert not key.HasField("expires_at")
        assert not key.HasField("last_used_at")
        assert key.last_used_address == ""
        assert (key.state, key.manageable, key.rotations) == (ACTIVE, True, 0)
        assert await api.key(key.id) == key


async def test_the_first_keys_were_made_by_the_server_itself(home: Quickstart) -> None:
    async with connect_api(home.server, home.owner) as api:
        for id in (home.owner.id, home.operator.id):
            key = await api.key(id)
            assert key.creator.WhichOneof("kind") == "system"
            assert key.creator.system is True


async def test_the_organization_is_inferred_from_the_grants(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key, _ = await operator_of(api, site)
        assert key.organization_id == home.organization_id


async def test_the_value_is_in_the_answer_to_create_and_in_no_other(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        created, holder = await operator_of(api, site)
        assert holder.value.encode() not in created.SerializeToString()
        async with connect_api(home.server, holder) as held:
            answers = [await held.key(holder.id), await held.identity()]
        page = {"organization_id": home.organization_id, "page_size": 1000}
        answers += [
            await api.key(holder.id),
            await api.call("ListKeys", page),
            await api.call("SetKeyExpiry", {"id": holder.id, "expires_at": rfc3339(soon(3600))}),
        ]
        for answer in answers:
            assert holder.id.encode() in answer.SerializeToString()
            assert b"clvk_" not in answer.SerializeToString()
        about = {"resource": resource("robot", site.machine_id)}
        for answer in [await api.call("GetKeyUsage", {"id": holder.id}), await api.call("ListManagers", about)]:
            assert b"clvk_" not in answer.SerializeToString()


REFUSED_CREATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no-grants": ({"grants": []}, "grants"),
    "no-name": ({"name": ""}, "name"),
    "a-grant-without-a-role": ({"grants": [{"resource": resource("robot", ABSENT_UUID)}]}, "grants[0].role"),
    "a-grant-without-a-resource": ({"grants": [{"role": "ROLE_OWNER"}]}, "grants[0].resource"),
    "a-resource-without-a-type": (
        {"grants": [{"role": "ROLE_OWNER", "resource": {"id": ABSENT_UUID}}]},
        "grants[0].resource.type",
    ),
    "a-machine-id-that-is-none": ({"grants": [may("owner", "robot", "arm")]}, "grants[0].resource.id"),
    "an-organization-id-that-is-none": ({"organization_id": "acme"}, "organization_id"),
    "an-expiry-in-the-past": ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
}


@pytest.mark.parametrize(("change", "named"), REFUSED_CREATIONS.values(), ids=REFUSED_CREATIONS)
async def test_a_creation_that_is_wrong_names_the_field(home: Quickstart, change: dict[str, Any], named: str) -> None:
    right = {"name": "x", "grants": [may("operator", "robot", home.machine_id)]}
    async with connect_api(home.server, home.owner) as api:
        with refused(Status.INVALID_ARGUMENT, f"{named}:"):
            await api.call("CreateKey", right | change)


async def test_an_expiry_that_is_no_time_is_refused(home: Quickstart) -> None:
    """Nanoseconds out of their range, which a JSON time cannot say."""
    machine = message(f1=MACHINE, f2=home.machine_id)
    grant = message(f1=OPERATOR, f2=machine)
    for nanos in (1_000_000_000, 2**64 - 1):
        expiry = message(f1=4_000_000_000, f2=nanos)
        async with connect_api(home.server, home.owner) as api:
            with refused(Status.INVALID_ARGUMENT, "expires_at:"):
                await api.wire.raw(f"{KEYS}/CreateKey", message(f2="x", f3=grant, f4=expiry))


async def test_a_key_is_not_created_by_those_who_own_nothing_there(two: TwoOrganizations) -> None:
    request = {"name": "x", "grants": [may("operator", "robot", two.home.machine_id)]}
    async with connect_api(two.server, two.home.operator) as operator:
        with refused(Status.PERMISSION_DENIED, "manage_keys"):
            await operator.call("CreateKey", request)
    async with connect_api(two.server, two.foreign.owner) as stranger:
        with refused(Status.NOT_FOUND):
            await stranger.call("CreateKey", request)


# === Expiry ===


async def test_an_expired_key_is_dead_on_the_very_next_call(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        expiry = soon(1.5)
        key, holder = await operator_of(api, site, expires_at=rfc3339(expiry))
        assert at(key.expires_at) == expiry
        async with connect_api(home.server, holder) as held:
            # The token is there already, and it is older than the end of the key.
            identity = await held.identity()
            assert at(identity.expires_at) == expiry
            assert (await held.key(key.id)).state == ACTIVE
            await sleep_until(expiry)
            with unauthenticated():
                await held.identity()
            with unauthenticated():
                await held.wire.call("GetRobot", {"id": site.machine_id})
            with unauthenticated():
                await held.wire.authenticate(holder)
        # Expired is not deleted: the owner sees it and can bring it back.
        assert (await api.key(key.id)).state == EXPIRED
        revived = await api.call("SetKeyExpiry", {"id": key.id})
        assert (revived.state, revived.HasField("expires_at")) == (ACTIVE, False)
        async with connect_api(home.server, holder) as held:
            assert (await held.identity()).actor.key_id == key.id


async def test_a_key_works_until_its_expiry_and_not_after(home: Quickstart) -> None:
    """Calls without a pause, across the end: none before it is refused, none after it is answered."""
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        expiry = soon(1)
        _, holder = await operator_of(api, site, expires_at=rfc3339(expiry))
        accepted = rejected = 0
        async with connect_api(home.server, holder) as held:
            while (sent := datetime.now(UTC)) < expiry + timedelta(seconds=0.2):
                try:
                    await held.identity()
                    assert sent < expiry, "answered to a key that had expired"
                    accepted += 1
                except Exception as error:
                    assert getattr(error, "status", None) is Status.UNAUTHENTICATED, error
                    assert datetime.now(UTC) >= expiry, "refused before its time"
                    rejected += 1
    assert accepted > 10
    assert rejected > 10


async def test_an_expiry_is_moved_later_earlier_and_away(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        first = soon(1)
        key, holder = await operator_of(api, site, expires_at=rfc3339(first))
        async with connect_api(home.server, holder) as held:
            later = first + timedelta(hours=1)
            moved = await api.call("SetKeyExpiry", {"id": key.id, "expires_at": rfc3339(later)})
            assert at(moved.expires_at) == later
            await sleep_until(first)
            assert at((await held.identity()).expires_at) == later

            gone = await api.call("SetKeyExpiry", {"id": key.id})
            assert not gone.HasField("expires_at")
            assert not (await held.identity()).HasField("expires_at")

            earlier = soon(1)
            await api.call("SetKeyExpiry", {"id": key.id, "expires_at": rfc3339(earlier)})
            assert at((await api.key(key.id)).expires_at) == earlier
            await held.identity()
            await sleep_until(earlier)
            with unauthenticated():
                await held.identity()


@pytest.mark.parametrize("expires_at", ["1970-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "now"])
async def test_an_expiry_in_the_past_is_refused_and_changes_nothing(home: Quickstart, expires_at: str) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key, _ = await operator_of(api, site)
        past = rfc3339(soon(-0.001)) if expires_at == "now" else expires_at
        with refused(Status.INVALID_ARGUMENT, "expires_at:", "future"):
            await api.call("SetKeyExpiry", {"id": key.id, "expires_at": past})
        assert await api.key(key.id) == key


async def test_the_last_owner_cannot_expire(own: Quickstart) -> None:
    async with connect_api(own.server, own.owner) as api:
        with refused(Status.FAILED_PRECONDITION, own.owner.id, "last owner"):
            await api.call("SetKeyExpiry", {"id": own.owner.id, "expires_at": rfc3339(soon(3600))})
        # Another owner with an end is none that lasts.
        grants = [may("owner", "organization", own.organization_id)]
        second, _ = await api.create({"name": "second", "grants": grants, "expires_at": rfc3339(soon(7200))})
        with refused(Status.FAILED_PRECONDITION, own.owner.id, "last owner"):
            await api.call("SetKeyExpiry", {"id": own.owner.id, "expires_at": rfc3339(soon(3600))})
        # With one that lasts it can.
        await api.call("SetKeyExpiry", {"id": second.id})
        expiry = soon(3600)
        moved = await api.call("SetKeyExpiry", {"id": own.owner.id, "expires_at": rfc3339(expiry)})
        assert at(moved.expires_at) == expiry
        with refused(Status.FAILED_PRECONDITION, second.id, "last owner"):
            await api.call("SetKeyExpiry", {"id": second.id, "expires_at": rfc3339(soon(3600))})


async def test_an_expiry_holds_across_a_restart(own: Quickstart) -> None:
    expiry = soon(3)
    async with connect_api(own.server, own.owner) as api:
        grants = [may("operator", "robot", own.machine_id)]
        key, holder = await api.create({"name": "x", "grants": grants, "expires_at": rfc3339(expiry)})
    await asyncio.to_thread(own.server.stop)
    await asyncio.to_thread(own.server.serve)
    async with connect_api(own.server, own.owner) as api:
        assert at((await api.key(key.id)).expires_at) == expiry
        await sleep_until(expiry)
        with unauthenticated():
            await api.wire.authenticate(holder)
        assert (await api.key(key.id)).state == EXPIRED


async def test_an_expiry_is_set_by_those_who_manage_the_key_only(two: TwoOrganizations) -> None:
    site = await site_of(two.home)
    request = {"expires_at": rfc3339(soon(3600))}
    async with connect_api(two.server, two.home.owner) as api:
        key, holder = await operator_of(api, site)
        async with connect_api(two.server, holder) as held:
            # Not even of its own.
            with refused(Status.PERMISSION_DENIED, "manage_keys"):
                await held.call("SetKeyExpiry", {"id": key.id, **request})
        async with connect_api(two.server, two.foreign.owner) as stranger:
            for id in (key.id, ABSENT_UUID):
                with refused(Status.NOT_FOUND, "key not found"):
                    await stranger.call("SetKeyExpiry", {"id": id, **request})
        assert not (await api.key(key.id)).HasField("expires_at")


# === Rotations and creators ===


async def test_rotations_are_counted(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key, _ = await operator_of(api, site)
        for number in range(1, 4):
            await api.wire.call("RotateKey", {"id": key.id})
            rotated = await api.key(key.id)
            assert rotated.rotations == number
            assert (rotated.id, rotated.created_at) == (key.id, key.created_at)
        await api.wire.call("RenameKey", {"id": key.id, "name": "renamed"})
        assert (await api.key(key.id)).rotations == 3
        copy = await api.wire.call("CreateKeyFromExistingKeyAuthorizations", {"id": key.id})
        assert (await api.key(copy.id)).rotations == 0


async def test_the_creator_is_whoever_created_it(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        request = {"name": "manager", "grants": [may("owner", "location", site.location_id)]}
        manager, its_holder = await api.create(request)
        async with connect_api(home.server, its_holder) as managing:
            made, _ = await operator_of(managing, site)
        copy = await api.wire.call("CreateKeyFromExistingKeyAuthorizations", {"id": made.id})
        assert (await api.key(made.id)).creator.key_id == manager.id
        assert (await api.key(copy.id)).creator.key_id == home.owner.id
        # What is known of a creator stays known when it is gone.
        await api.wire.call("DeleteKey", {"id": manager.id})
        assert (await api.key(made.id)).creator.key_id == manager.id


# === Use ===


async def usage_of(api: Api, id: str, **days: str) -> Counter[tuple[str, int, str]]:
    """How often what was used on what, in these days together."""
    counted: Counter[tuple[str, int, str]] = Counter()
    for row in (await api.call("GetKeyUsage", {"id": id, **days})).rows:
        counted[row.permission, row.resource.type, row.resource.id] += row.count
    return counted


async def test_the_last_use_is_told(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key, holder = await operator_of(api, site)
        assert not key.HasField("last_used_at")
        async with connect_api(home.server, holder) as held:
            for _ in range(3):
                before = soon(-0.001)
                await held.wire.call("GetRobot", {"id": site.machine_id})
                used = await api.key(key.id)
                assert before < at(used.last_used_at) < soon(0.001)
                assert used.last_used_address == "127.0.0.1"
        # To look at a key, to manage it and to refuse it is not to use it.
        await api.wire.call("RenameKey", {"id": key.id, "name": "renamed"})
        await api.wire.call("RotateKey", {"id": key.id})
        with unauthenticated():
            await api.wire.authenticate(holder)
        assert (await api.key(key.id)).last_used_at == used.last_used_at


async def test_each_use_is_counted_once_by_permission_and_resource(home: Quickstart) -> None:
    here, there = await site_of(home, "here"), await site_of(home, "there")
    days = {datetime.now(UTC).date().isoformat()}
    async with connect_api(home.server, home.owner) as api:
        grants = [may("owner", "location", here.location_id), may("operator", "robot", there.machine_id)]
        key, holder = await api.create({"name": "counted", "grants": grants})
        assert await usage_of(api, key.id) == Counter()
        async with connect_api(home.server, holder) as held:
            for _ in range(7):
                await held.wire.call("GetRobot", {"id": here.machine_id})
            for _ in range(3):
                await held.wire.call("GetRobot", {"id": there.machine_id})
            for _ in range(2):
                await held.wire.call("GetLocation", {"location_id": here.location_id})
            # Asking who one is uses no permission; a refused call uses none either.
            await held.identity()
            for _ in range(4):
                with refused(Status.PERMISSION_DENIED, "write_robot"):
                    update = {"id": there.machine_id, "name": "mine", "location": there.location_id}
                    await held.wire.call("UpdateRobot", update)
        expected = Counter(
            {
                ("read_robot", MACHINE, here.machine_id): 7,
                ("read_robot", MACHINE, there.machine_id): 3,
                ("read_location", LOCATION, here.location_id): 2,
            }
        )
        days.add(datetime.now(UTC).date().isoformat())
        assert await usage_of(api, key.id) == expected
        # What is asked for again has been written meanwhile; it is counted once all the same.
        assert await usage_of(api, key.id) == expected
        rows = (await api.call("GetKeyUsage", {"id": key.id})).rows
        assert {row.day for row in rows} <= days
        levels = {MACHINE: "machine", LOCATION: "location", ORGANIZATION: "organization"}
        order = [(row.day, row.permission, levels[row.resource.type], row.resource.id) for row in rows]
        assert order == sorted(order)


async def test_changes_are_counted_too(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        request = {"name": "changing", "grants": [may("owner", "robot", site.machine_id)]}
        key, holder = await api.create(request)
        async with connect_api(home.server, holder) as held:
            for number in range(5):
                update = {"id": site.machine_id, "name": f"arm-{number}", "location": site.location_id}
                await held.wire.call("UpdateRobot", update)
            made, _ = await operator_of(held, site)
        assert await usage_of(api, key.id) == Counter(
            {("write_robot", MACHINE, site.machine_id): 5, ("manage_keys", MACHINE, site.machine_id): 1}
        )
        # What was made with it has no uses of its own.
        assert await usage_of(api, made.id) == Counter()


async def test_uses_are_asked_for_by_day(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key, holder = await operator_of(api, site)
        first = datetime.now(UTC).date()
        async with connect_api(home.server, holder) as held:
            await held.wire.call("GetRobot", {"id": site.machine_id})
        today = datetime.now(UTC).date()
        used = Counter({("read_robot", MACHINE, site.machine_id): 1})
        before, after = (first - timedelta(days=1)).isoformat(), (today + timedelta(days=1)).isoformat()
        assert await usage_of(api, key.id, from_day=first.isoformat()) == used
        assert await usage_of(api, key.id, to_day=today.isoformat()) == used
        assert await usage_of(api, key.id, from_day=first.isoformat(), to_day=today.isoformat()) == used
        assert await usage_of(api, key.id, to_day=before) == Counter()
        assert await usage_of(api, key.id, from_day=after) == Counter()
        assert await usage_of(api, key.id, from_day=after, to_day=before) == Counter()
        for name in ("from_day", "to_day"):
            for wrong in ("", "today", "2026-13-01", "2026-02-30", "2026-1-1", "2026-01-01T00:00:00Z", "20260101"):
                with refused(Status.INVALID_ARGUMENT, f"{name}:"):
                    await api.call("GetKeyUsage", {"id": key.id, name: wrong})


async def test_uses_are_still_known_after_a_restart(own: Quickstart) -> None:
    async with connect_api(own.server, own.operator) as held:
        for _ in range(11):
            await held.wire.call("GetRobot", {"id": own.machine_id})
    async with connect_api(own.server, own.owner) as api:
        last = (await api.key(own.operator.id)).last_used_at
    # Nobody asked for the uses, so it is the end that writes them.
    await asyncio.to_thread(own.server.stop)
    await asyncio.to_thread(own.server.serve)
    expected = Counter({("read_robot", MACHINE, own.machine_id): 11})
    async with connect_api(own.server, own.owner) as api:
        again = await api.key(own.operator.id)
        assert (again.last_used_at, again.last_used_address) == (last, "127.0.0.1")
        assert await usage_of(api, own.operator.id) == expected
        async with connect_api(own.server, own.operator) as held:
            await held.wire.call("GetRobot", {"id": own.machine_id})
        expected["read_robot", MACHINE, own.machine_id] += 1
        assert await usage_of(api, own.operator.id) == expected


async def test_the_last_use_never_goes_back(home: Quickstart) -> None:
    """Also while the uses are being written, which asking for them does at once."""
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api, connect_api(home.server, home.owner) as other:
        key, holder = await operator_of(api, site)
        async with connect_api(home.server, holder) as held:
            for _ in range(25):
                await held.identity()
                known = (await api.key(key.id)).last_used_at
                looks = [other.key(key.id) for _ in range(8)]
                _, *seen = await asyncio.gather(api.call("GetKeyUsage", {"id": key.id}), *looks)
                assert [look.last_used_at for look in seen] == [known] * len(seen)


async def test_a_question_that_is_given_up_loses_no_use(home: Quickstart) -> None:
    """Asking for uses writes them; whoever stops asking meanwhile must not take them along."""
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key, holder = await operator_of(api, site)
        rounds = 40
        async with connect_api(home.server, holder) as held:
            for number in range(rounds):
                await held.wire.call("GetRobot", {"id": site.machine_id})
                known = (await api.key(key.id)).last_used_at
                question = asyncio.create_task(api.call("GetKeyUsage", {"id": key.id}))
                # From right away to a few milliseconds later, which is how long the disk takes.
                await asyncio.sleep(number % 10 / 2_000)
                question.cancel()
                await asyncio.gather(question, return_exceptions=True)
                await asyncio.sleep(0.03)
                assert (await api.key(key.id)).last_used_at == known, f"forgotten in round {number}"
        assert await usage_of(api, key.id) == Counter({("read_robot", MACHINE, site.machine_id): rounds})


async def test_uses_are_told_to_those_who_may_see_the_key(two: TwoOrganizations) -> None:
    site = await site_of(two.home)
    async with connect_api(two.server, two.home.owner) as api:
        key, holder = await operator_of(api, site)
        async with connect_api(two.server, holder) as held:
            await held.wire.call("GetRobot", {"id": site.machine_id})
            used = Counter({("read_robot", MACHINE, site.machine_id): 1})
            assert await usage_of(held, key.id) == used
            with refused(Status.NOT_FOUND, "key not found"):
                await held.call("GetKeyUsage", {"id": two.home.owner.id})
        async with connect_api(two.server, two.foreign.owner) as stranger:
            with refused(Status.NOT_FOUND, "key not found"):
                await stranger.call("GetKeyUsage", {"id": key.id})
        await api.wire.call("DeleteKey", {"id": key.id})
        with refused(Status.NOT_FOUND, "key not found"):
            await api.call("GetKeyUsage", {"id": key.id})


# === Pages ===


@pytest.fixture(scope="module")
def many(new_server: Any) -> Quickstart:
    """A server with 250 keys: those of the first start and 248 more, oldest first in `many_ids`."""
    return Quickstart.start(new_server())


@pytest.fixture(scope="module")
def many_ids(many: Quickstart) -> list[str]:
    async def make() -> list[str]:
        async with connect_api(many.server, many.owner) as api:
            grants = [may("operator", "robot", many.machine_id)]
            # One after the other, so that their order is known.
            made = [(await api.create({"name": f"key-{n:03}", "grants": grants}))[0].id for n in range(248)]
        return [*sorted([many.owner.id, many.operator.id]), *made]

    return asyncio.run(make())


async def pages(api: Api, organization: str, **request: Any) -> list[list[str]]:
    """All pages, followed by their tokens."""
    found, token = [], ""
    while True:
        asked = {"organization_id": organization, "page_token": token, **request}
        page = await api.call("ListKeys", asked)
        found.append([key.id for key in page.keys])
        token = page.next_page_token
        if not token:
            return found
        assert len(found) < 1_000, "pages without end"


@pytest.mark.parametrize(
    ("size", "lengths"),
    [
        (0, [100, 100, 50]),
        (1, [1] * 250),
        (7, [7] * 35 + [5]),
        (50, [50] * 5),
        (125, [125, 125]),
        (249, [249, 1]),
        (250, [250]),
        (251, [250]),
        (1000, [250]),
        (1001, [250]),
        (2**32 - 1, [250]),
    ],
)
async def test_pages_have_every_key_once_oldest_first(
    many: Quickstart, many_ids: list[str], size: int, lengths: list[int]
) -> None:
    async with connect_api(many.server, many.owner) as api:
        found = await pages(api, many.organization_id, page_size=size)
    assert [len(page) for page in found] == lengths
    assert [id for page in found for id in page] == many_ids


async def test_a_page_has_at_most_a_thousand_keys(own: Quickstart) -> None:
    async with connect_api(own.server, own.owner) as api:
        grants = [may("operator", "robot", own.machine_id)]
        for start in range(0, 1_000, 100):
            names = [f"key-{start + number}" for number in range(100)]
            await asyncio.gather(*(api.create({"name": name, "grants": grants}) for name in names))
        for size in (1_000, 1_001, 1_002, 5_000):
            found = await pages(api, own.organization_id, page_size=size)
            assert [len(page) for page in found] == [1_000, 2]
            assert len(set(found[0] + found[1])) == 1_002


async def test_a_page_token_outlives_its_key(own: Quickstart) -> None:
    async with connect_api(own.server, own.owner) as api:
        grants = [may("operator", "robot", own.machine_id)]
        ids = [(await api.create({"name": f"key-{n}", "grants": grants}))[0].id for n in range(8)]
        request = {"organization_id": own.organization_id, "page_size": 4}
        first = await api.call("ListKeys", request)
        assert [key.id for key in first.keys][2:] == ids[:2]
        # The last of the page, around whom the token may be built, and its neighbours.
        for id in ids[:3]:
            await api.wire.call("DeleteKey", {"id": id})
        second = await api.call("ListKeys", {**request, "page_token": first.next_page_token})
        assert [key.id for key in second.keys] == ids[3:7]
        # What is made meanwhile is newer than everything and comes last.
        newest, _ = await api.create({"name": "newest", "grants": grants})
        third = await api.call("ListKeys", {**request, "page_token": second.next_page_token})
        assert [key.id for key in third.keys] == [ids[7], newest.id]
        assert third.next_page_token == ""


@pytest.mark.parametrize("token", ["x", "1", "../", "0198c5a4-7d10-7c3e-9f00-4b1d2e3f4a5", "a" * 10_000])
async def test_a_page_token_that_is_none_is_refused(home: Quickstart, token: str) -> None:
    async with connect_api(home.server, home.owner) as api:
        with refused(Status.INVALID_ARGUMENT, "page_token:"):
            await api.call("ListKeys", {"organization_id": home.organization_id, "page_token": token})


async def test_pages_are_refused_to_those_who_manage_nothing(two: TwoOrganizations) -> None:
    request = {"organization_id": two.home.organization_id}
    async with connect_api(two.server, two.home.operator) as operator:
        with refused(Status.PERMISSION_DENIED, "manage_keys"):
            await operator.call("ListKeys", request)
    async with connect_api(two.server, two.foreign.owner) as stranger:
        with refused(Status.NOT_FOUND, "organization not found"):
            await stranger.call("ListKeys", request)
        for wrong in ("", "acme"):
            with refused(Status.INVALID_ARGUMENT, "organization_id:"):
                await stranger.call("ListKeys", {"organization_id": wrong})


# === Filters ===


async def test_every_filter_finds_what_it_says(own: Quickstart) -> None:
    async with sdk(own.server, own.owner) as owner:
        hall = await new_site(owner, own.organization_id, "hall")
        yard = await new_site(owner, own.organization_id, "yard")
    async with connect_api(own.server, own.owner) as api:
        hall_owner, hall_holder = await api.create(
            {"name": "Hall Boss", "grants": [may("owner", "location", hall.location_id)]}
        )
        both, both_holder = await api.create(
            {
                "name": "both ÄRMS",
                "grants": [may("owner", "robot", yard.machine_id), may("operator", "location", hall.location_id)],
            }
        )
        async with connect_api(own.server, hall_holder) as managing:
            below, _ = await operator_of(managing, hall, name="hall-arm")
        dying, _ = await operator_of(api, yard, name="dying", expires_at=rfc3339(soon(0.5)))
        await asyncio.sleep(0.6)
        between = datetime.now(UTC)
        async with connect_api(own.server, both_holder) as held:
            await held.identity()
        used = at((await api.key(both.id)).last_used_at)

        names = {
            own.owner.id: "first owner",
            own.operator.id: "first operator",
            hall_owner.id: "hall owner",
            both.id: "both",
            below.id: "below",
            dying.id: "dying",
        }
        everyone = set(names.values())

        async def found(**filter: Any) -> set[str]:
            request = {"organization_id": own.organization_id, "filter": filter}
            return {names[key.id] for key in (await api.call("ListKeys", request)).keys}

        assert await found() == everyone

        in_hall = resource("location", hall.location_id)
        assert await found(resource=in_hall) == {"hall owner", "both"}
        assert await found(resource=resource("robot", hall.machine_id)) == {"below"}
        assert await found(resource=resource("robot", yard.machine_id)) == {"both", "dying"}
        assert await found(resource=resource("organization", own.organization_id)) == {"first owner"}
        assert await found(resource=resource("location", ABSENT_LOCATION)) == set()

        assert await found(role="ROLE_OWNER") == {"first owner", "hall owner", "both"}
        assert await found(role="ROLE_OPERATOR") == {"first operator", "both", "below", "dying"}
        # Both conditions are about the same grant.
        assert await found(role="ROLE_OWNER", resource=in_hall) == {"hall owner"}
        assert await found(role="ROLE_OPERATOR", resource=in_hall) == {"both"}

        assert await found(creator_key_id=own.owner.id) == {"hall owner", "both", "dying"}
        assert await found(creator_key_id=hall_owner.id) == {"below"}
        assert await found(creator_key_id=ABSENT_UUID) == set()

        assert await found(name_contains="hall") == await found(name_contains="HALL") == {"hall owner", "below"}
        assert await found(name_contains="ärms") == {"both"}
        assert await found(name_contains=" ") == {"hall owner", "both"}
        assert await found(name_contains="%") == await found(name_contains="_") == set()

        assert await found(state="KEY_STATE_EXPIRED") == {"dying"}
        assert await found(state="KEY_STATE_ACTIVE") == everyone - {"dying"}
        assert await found(state="KEY_STATE_UNSPECIFIED") == everyone

        # The caller's own key is in use all the time.
        assert await found(unused_since=rfc3339(between)) == everyone - {"both", "first owner"}
        assert await found(unused_since=rfc3339(used)) == everyone - {"both", "first owner"}
        just_after = used + timedelta(microseconds=1)
        assert await found(unused_since=rfc3339(just_after)) == everyone - {"first owner"}
        assert await found(unused_since=rfc3339(soon(3600))) == everyone

        assert await found(name_contains="hall", role="ROLE_OPERATOR", creator_key_id=hall_owner.id) == {"below"}
        assert await found(name_contains="hall", state="KEY_STATE_EXPIRED") == set()


async def test_pages_of_a_filter_have_what_it_finds_only(many: Quickstart, many_ids: list[str]) -> None:
    wanted = {"name_contains": "KEY-1"}
    async with connect_api(many.server, many.owner) as api:
        found = await pages(api, many.organization_id, page_size=30, filter=wanted)
        assert [len(page) for page in found] == [30, 30, 30, 10]
        assert [id for page in found for id in page] == many_ids[102:202]
        assert await pages(api, many.organization_id, page_size=30, filter={"name_contains": "nobody"}) == [[]]


REFUSED_FILTERS: dict[str, tuple[bytes, str]] = {
    "a-resource-without-a-type": (field(1, message(f2=ABSENT_UUID)), "filter.resource.type"),
    "a-resource-id-that-is-none": (field(1, message(f1=MACHINE, f2="arm")), "filter.resource.id"),
    "a-role-nobody-knows": (field(2, 9), "filter.role"),
    "a-creator-that-is-no-id": (field(3, "me"), "filter.creator_key_id"),
    "a-state-nobody-knows": (field(5, 9), "filter.state"),
    "a-time-that-is-none": (field(6, message(f1=0, f2=1_000_000_000)), "filter.unused_since"),
}


@pytest.mark.parametrize(("filter", "named"), REFUSED_FILTERS.values(), ids=REFUSED_FILTERS)
async def test_a_filter_that_is_wrong_names_the_field(home: Quickstart, filter: bytes, named: str) -> None:
    async with connect_api(home.server, home.owner) as api:
        with refused(Status.INVALID_ARGUMENT, f"{named}:"):
            await api.wire.raw(f"{KEYS}/ListKeys", message(f1=home.organization_id, f4=filter))


# === Who manages ===


async def test_manageable_is_what_one_may_really_manage(home: Quickstart) -> None:
    hall, yard = await site_of(home, "hall"), await site_of(home, "yard")
    async with connect_api(home.server, home.owner) as api:
        _, holder = await api.create({"name": "boss", "grants": [may("owner", "location", hall.location_id)]})
        inside, _ = await operator_of(api, hall, name="inside")
        across, _ = await api.create(
            {
                "name": "across",
                "grants": [may("operator", "robot", hall.machine_id), may("operator", "robot", yard.machine_id)],
            }
        )
        outside, _ = await operator_of(api, yard, name="outside")
        async with connect_api(home.server, holder) as boss:
            listed = await boss.call("ListKeys", {"organization_id": home.organization_id})
            shown = {key.name: key for key in listed.keys}
            assert shown.keys() == {"boss", "inside", "across"}
            assert {name: key.manageable for name, key in shown.items()} == {
                "boss": True,
                "inside": True,
                "across": False,
            }
            # Of a key that reaches further only what is theirs.
            assert [grant.resource.id for grant in shown["across"].grants] == [hall.machine_id]
            assert await boss.key(across.id) == shown["across"]
            with refused(Status.NOT_FOUND, "key not found"):
                await boss.key(outside.id)
            # It is as it says.
            for method, request in [
                ("RenameKey", {"id": across.id, "name": "mine"}),
                ("RotateKey", {"id": across.id}),
                ("DeleteKey", {"id": across.id}),
            ]:
                with refused(Status.PERMISSION_DENIED, "manage_keys"):
                    await boss.wire.call(method, request)
            await boss.wire.call("RenameKey", {"id": inside.id, "name": "renamed"})
            await boss.wire.call("RotateKey", {"id": inside.id})
            await boss.wire.call("DeleteKey", {"id": inside.id})
        async with connect_api(home.server, home.operator) as operator:
            # Its own key it sees, but may not manage.
            own_key = await operator.key(home.operator.id)
            assert (own_key.id, own_key.manageable) == (home.operator.id, False)
        everything = await api.call("ListKeys", {"organization_id": home.organization_id, "page_size": 1000})
        assert all(key.manageable for key in everything.keys)


async def managers_of(api: Api, level: str, id: str) -> list[tuple[str, str, int, str]]:
    listed = await api.call("ListManagers", {"resource": resource(level, id)})
    return [(it.key_id, it.name, it.grant.role, it.grant.resource.id) for it in listed.managers]


async def test_the_managers_of_a_resource_are_its_owners_and_those_above(own: Quickstart) -> None:
    async with sdk(own.server, own.owner) as owner:
        outer = await new_site(owner, own.organization_id, "outer")
        inner = await new_site(owner, own.organization_id, "inner", outer.location_id)
        aside = await new_site(owner, own.organization_id, "aside")
    async with connect_api(own.server, own.owner) as api:

        async def make(name: str, *grants: Any) -> tuple[tuple[str, str], ApiKey]:
            key, holder = await api.create({"name": name, "grants": list(grants)})
            return (key.id, name), holder

        machine, machine_holder = await make("machine", may("owner", "robot", inner.machine_id))
        low, low_holder = await make("low", may("owner", "location", inner.location_id))
        high, _ = await make("high", may("owner", "location", outer.location_id))
        await make("operator", may("operator", "location", inner.location_id))
        await make("elsewhere", may("owner", "location", aside.location_id))
        top = (own.owner.id, "quickstart-owner")

        found = await managers_of(api, "robot", inner.machine_id)
        assert set(found) == {
            (*machine, OWNER, inner.machine_id),
            (*low, OWNER, inner.location_id),
            (*high, OWNER, outer.location_id),
            (*top, OWNER, own.organization_id),
        }
        assert len(found) == 4
        above = {(*high, OWNER, outer.location_id), (*top, OWNER, own.organization_id)}
        assert set(await managers_of(api, "location", outer.location_id)) == above
        organization = await managers_of(api, "organization", own.organization_id)
        assert organization == [(*top, OWNER, own.organization_id)]

        # A narrower owner learns of those at or below what they own.
        async with connect_api(own.server, low_holder) as lower:
            seen = await managers_of(lower, "robot", inner.machine_id)
            assert set(seen) == {(*machine, OWNER, inner.machine_id), (*low, OWNER, inner.location_id)}
            with refused(Status.PERMISSION_DENIED, "manage_keys"):
                await managers_of(lower, "organization", own.organization_id)
            with refused(Status.NOT_FOUND, "location not found"):
                await managers_of(lower, "location", aside.location_id)
        async with connect_api(own.server, machine_holder) as lowest:
            assert await managers_of(lowest, "robot", inner.machine_id) == [(*machine, OWNER, inner.machine_id)]
        async with connect_api(own.server, own.operator) as operator:
            with refused(Status.PERMISSION_DENIED, "manage_keys"):
                await managers_of(operator, "robot", own.machine_id)
        with refused(Status.INVALID_ARGUMENT, "resource:"):
            await api.call("ListManagers")
        with refused(Status.INVALID_ARGUMENT, "resource.type:"):
            await api.call("ListManagers", {"resource": {"id": inner.machine_id}})
        with refused(Status.NOT_FOUND, "location not found"):
            await managers_of(api, "location", ABSENT_LOCATION)


async def test_managers_are_in_order_of_their_ids(own: Quickstart) -> None:
    async with sdk(own.server, own.owner) as owner:
        site = await new_site(owner, own.organization_id)
    async with connect_api(own.server, own.owner) as api:
        for level in ("robot", "organization", "location", "robot", "location", "organization"):
            await api.create({"name": level, "grants": [may("owner", level, site.resource_id(level))]})
        ids = [key_id for key_id, *_ in await managers_of(api, "robot", site.machine_id)]
    assert len(ids) == 7
    assert ids == sorted(ids)


async def test_a_manager_on_two_levels_is_listed_once(own: Quickstart) -> None:
    async with sdk(own.server, own.owner) as owner:
        site = await new_site(owner, own.organization_id)
    async with connect_api(own.server, own.owner) as api:
        grants = [may("owner", level, site.resource_id(level)) for level in ("robot", "location")]
        key, _ = await api.create({"name": "both", "grants": grants})
        ids = [key_id for key_id, *_ in await managers_of(api, "robot", site.machine_id)]
    assert sorted(ids) == sorted([own.owner.id, key.id])


# === Asking about itself ===


async def test_the_identity_is_that_of_the_key(home: Quickstart) -> None:
    async with connect_api(home.server, home.operator) as held:
        identity = await held.identity()
    assert (identity.actor.key_id, identity.name) == (home.operator.id, "quickstart-operator")
    assert list(identity.organization_ids) == [home.organization_id]
    granted = [(grant.role, grant.resource.type, grant.resource.id) for grant in identity.grants]
    assert granted == [(OPERATOR, MACHINE, home.machine_id)]
    assert identity.address == "127.0.0.1"
    assert not identity.HasField("expires_at")


async def test_a_lookup_of_a_key_is_quick_with_many_keys(many: Quickstart, many_ids: list[str]) -> None:
    """Not a benchmark: what one key costs must not be what all of them cost."""
    async with connect_api(many.server, many.owner) as api:
        started = time.monotonic()
        for id in many_ids:
            assert (await api.key(id)).id == id
        assert time.monotonic() - started < 20
        with refused(Status.NOT_FOUND, "key not found"):
            await api.key(ABSENT_UUID)
        with refused(Status.INVALID_ARGUMENT, "id:"):
            await api.key("x")
        with refused(Status.UNAUTHENTICATED):
            await api.call(f"{IDENTITY}/GetIdentity", {}, metadata=[])
