"""`claviger.v1.AuditService`: what was changed, told to whom it concerns, and to nobody else."""

import asyncio
import base64
import hashlib
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from grpclib.const import Status
from grpclib.exceptions import GRPCError

import canary
import served
from claviger import BINARY, ApiKey, Server, environment
from claviger_api import Api, connect_api, may, resource, rfc3339
from fleet import ABSENT_LOCATION, ABSENT_UUID, Quickstart, Site, TwoOrganizations, new_key, new_site
from wire import authorization, refused, sdk, unauthenticated

AUDIT = "claviger.v1.AuditService"
LIST, FOLLOW, EXPORT = (f"{AUDIT}/{name}Entries" for name in ("List", "Follow", "Export"))

CREATED, CHANGED, DELETED = 1, 2, 3

# A follower that hears nothing for this long is taken to hear nothing at all.
SILENCE_S = 0.3
# In which everything that comes has to come.
SOON_S = 5.0


async def page(api: Api, organization_id: str, **more: Any) -> Any:
    answer = await api.call(LIST, {"organization_id": organization_id, **more})
    no_secret(answer.SerializeToString())
    return answer


async def entries(api: Api, organization_id: str, filter: Mapping[str, Any] | None = None) -> list[Any]:
    """All that are told, newest first."""
    request: dict[str, Any] = {"filter": dict(filter or {}), "page_size": 1000}
    found: list[Any] = []
    while True:
        answer = await page(api, organization_id, **request)
        found += answer.entries
        if not answer.next_page_token:
            return found
        request["page_token"] = answer.next_page_token


def by(key_id: str) -> dict[str, Any]:
    """In a filter: what this key did."""
    return {"actor": {"key_id": key_id}}


def told(entry: Any) -> list[tuple[str, int, str]]:
    """Kind, what happened, id."""
    return [(change.kind, change.type, change.id) for change in entry.changes]


def no_secret(answer: bytes) -> None:
    """No value is in an answer, and no hash of one, in whatever way it is written."""
    assert b"clvk_" not in answer
    for secret in canary._known:
        digest = hashlib.sha256(secret.encode())
        for hidden in (secret.encode(), digest.digest(), digest.hexdigest().encode(), base64.b64encode(digest.digest())):
            assert hidden not in answer


class Followed:
    """A stream of entries, or of lines."""

    def __init__(self, stream: Any, method: served.Method) -> None:
        self._stream = stream
        self._method = method

    async def next(self) -> Any:
        """What comes next; it must come soon. Nothing where the stream ended."""
        heard: bytes | None = await asyncio.wait_for(self._stream.recv_message(), SOON_S)
        if heard is None:
            await asyncio.wait_for(self._stream.recv_trailing_metadata(), SOON_S)
            return None
        no_secret(heard)
        return self._method.reply(heard)

    async def silent(self) -> bool:
        """Whether nothing comes for a while. After a `no` or an error this stream is of no more use."""
        try:
            await asyncio.wait_for(self._stream.recv_message(), SILENCE_S)
        except TimeoutError:
            return True
        return False

    async def ended(self) -> Status:
        """The end, and nothing before it."""
        try:
            assert await self.next() is None, "an entry where the end should be"
        except GRPCError as error:
            return error.status
        return Status.OK

    async def all(self) -> list[Any]:
        """Everything up to an end in order."""
        found = []
        while (it := await self.next()) is not None:
            found.append(it)
        return found


@asynccontextmanager
async def following(api: Api, organization_id: str, path: str = FOLLOW, **more: Any) -> AsyncIterator[Followed]:
    method = api._methods[path]
    request = method.request({"organization_id": organization_id, **more})
    async with api.wire.stream(path, request) as stream:
        yield Followed(stream, method)


async def new_owner(api: Api, level: str, id: str, **more: Any) -> ApiKey:
    _, holder = await api.create({"name": f"owner of a {level}", "grants": [may("owner", level, id)], **more})
    return holder


async def new_sites(home: Quickstart, count: int = 1) -> list[Site]:
    async with sdk(home.server, home.owner) as owner:
        return [await new_site(owner, home.organization_id, f"hall-{number}") for number in range(count)]


def crash(server: Server) -> None:
    """Ends it the hard way."""
    process, server._process = server._process, None
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


# === What is told ===


async def test_an_owner_of_the_organization_is_told_everything(own: Quickstart) -> None:
    (site,) = await new_sites(own)
    async with connect_api(own.server, own.owner) as api:
        key, holder = await api.create({"name": "first", "grants": [may("operator", "robot", site.machine_id)]})
        await api.wire.call("RenameKey", {"id": key.id, "name": "second"})
        canary.remember_reply(await api.wire.call("RotateKey", {"id": key.id}))
        await api.wire.call("UpdateRobot", {"id": site.machine_id, "name": "n", "location": own.location_id})
        await api.wire.call("DeleteRobot", {"id": site.machine_id})
        found = await entries(api, own.organization_id)

    deleted, moved, rotated, renamed, created, *_, founded = found
    assert [it.seq for it in found] == sorted((it.seq for it in found), reverse=True)
    assert all(re.fullmatch("[0-9a-f]{64}", it.hash) for it in found)
    assert all(it.at.ToDatetime() <= later.at.ToDatetime() for it, later in zip(found[1:], found, strict=False))

    assert (founded.actor.system, founded.actor_name) == (True, "")
    assert ("organization", CREATED, own.organization_id) in told(founded)
    assert ("key", CREATED, own.owner.id) in told(founded)

    assert (created.actor.key_id, created.actor_name) == (own.owner.id, "quickstart-owner")
    assert created.via == "/claviger.v1.KeyService/CreateKey"
    assert told(created) == [("key", CREATED, key.id)]
    (made,) = created.changes
    assert (made.name_before, made.name_after, list(made.fields), list(made.grants_before)) == ("", "first", [], [])
    assert list(made.grants_after) == list(key.grants)
    (allowance,) = created.allowances
    assert (allowance.permission, allowance.resource.id) == ("manage_keys", site.machine_id)
    assert (allowance.by.role, allowance.by.resource.id) == (1, own.organization_id)

    (change,) = renamed.changes
    assert (change.type, change.name_before, change.name_after) == (CHANGED, "first", "second")
    assert list(change.fields) == ["name"]
    assert list(rotated.changes[0].fields) == ["value"]
    change = moved.changes[0]  # the part's new address is the other
    assert (list(change.fields), change.name_before, change.name_after) == (["location_id", "name"], "hall-0-arm", "n")
    gone = [("key", DELETED), ("part", DELETED), ("machine", DELETED)]
    assert [(kind, what) for kind, what, _ in told(deleted)] == gone
    assert [(change.name_before, change.name_after) for change in deleted.changes] == [
        ("second", ""),
        ("hall-0-arm-main", ""),
        ("n", ""),
    ]
    assert holder.id == key.id


async def test_an_actor_that_is_gone_keeps_its_name(own: Quickstart) -> None:
    async with connect_api(own.server, own.owner) as api:
        holder = await new_owner(api, "organization", own.organization_id)
        async with connect_api(own.server, holder) as held:
            await held.wire.call("CreateLocation", {"organization_id": own.organization_id, "name": "annex"})
        await api.wire.call("RenameKey", {"id": holder.id, "name": "the last name"})
        await api.wire.call("DeleteKey", {"id": holder.id})
        (done,) = await entries(api, own.organization_id, by(holder.id))
    assert (done.actor.key_id, done.actor_name) == (holder.id, "the last name")


async def test_filters_hold_together(own: Quickstart) -> None:
    organization = own.organization_id
    here, there = await new_sites(own, 2)
    async with connect_api(own.server, own.owner) as api:
        second = await new_owner(api, "organization", organization)
        key, _ = await api.create({"name": "k", "grants": [may("operator", "robot", here.machine_id)]})
        before = rfc3339(datetime.now(UTC))
        async with connect_api(own.server, second) as other:
            await other.wire.call("RenameKey", {"id": key.id, "name": "by the second"})
            await other.wire.call("UpdateLocation", {"location_id": there.location_id, "name": "moved on"})
        between = rfc3339(datetime.now(UTC))
        await api.wire.call("DeleteKey", {"id": key.id})

        async def found(**filter: Any) -> list[str]:
            return [it.via.rpartition("/")[2] for it in await entries(api, organization, filter)]

        machine, location = resource("robot", here.machine_id), resource("location", here.location_id)
        assert await found(resource=machine) == ["DeleteKey", "RenameKey", "CreateKey", "NewRobot"]
        assert await found(resource=location) == [*await found(resource=machine), "CreateLocation"]
        assert await found(key_id=key.id) == ["DeleteKey", "RenameKey", "CreateKey"]
        assert await found(**by(second.id)) == ["UpdateLocation", "RenameKey"]
        assert await found(**by(second.id), key_id=key.id) == ["RenameKey"]
        assert await found(**by(second.id), resource=location) == ["RenameKey"]
        assert await found(resource=machine, **{"from": before}) == ["DeleteKey", "RenameKey"]
        assert await found(resource=machine, to=before) == ["CreateKey", "NewRobot"]
        assert await found(**{"from": before}, to=between) == ["UpdateLocation", "RenameKey"]
        assert await found(to="2020-01-01T00:00:00Z") == []
        assert await found(**{"from": "2999-01-01T00:00:00Z"}) == []
        assert await found(key_id=ABSENT_UUID) == []
        # Times are exact: this one and not the one before.
        newest, earlier, *_ = await entries(api, organization)
        at = newest.at.ToJsonString()
        assert [it.seq for it in await entries(api, organization, {"from": at})][-1:] == [newest.seq]
        assert newest.seq not in [it.seq for it in await entries(api, organization, {"to": at})]
        assert earlier.seq in [it.seq for it in await entries(api, organization, {"to": at})]


# === Who is told ===


async def test_an_owner_of_a_location_is_told_of_what_is_in_it(own: Quickstart) -> None:
    organization = own.organization_id
    mine, other = await new_sites(own, 2)
    async with connect_api(own.server, own.owner) as api:
        holder = await new_owner(api, "location", mine.location_id)
        nested = await api.wire.call(
            "CreateLocation",
            {"organization_id": organization, "name": "nested", "parent_location_id": mine.location_id},
        )
        deep = await api.wire.call("NewRobot", {"location": nested.location.id, "name": "deep"})
        both = [may("operator", "robot", deep.id), may("operator", "robot", other.machine_id)]
        shared, _ = await api.create({"name": "shared", "grants": both})
        # What happens elsewhere.
        await api.wire.call("UpdateRobot", {"id": other.machine_id, "name": "x", "location": other.location_id})
        await api.wire.call("UpdateOrganization", {"organization_id": organization, "name": "renamed"})
        more = authorization(
            "operator", "location", other.location_id, identity_id=shared.id, organization_id=organization
        )
        await api.wire.call("AddRole", {"authorization": more})
        await api.wire.call("DeleteRobot", {"id": deep.id})

        async with connect_api(own.server, holder) as held:
            found = await entries(held, organization)
            kinds = [(it.via.rpartition("/")[2], [kind for kind, *_ in told(it)]) for it in found]
            assert kinds == [
                ("DeleteRobot", ["key", "part", "machine"]),
                ("CreateKey", ["key"]),
                ("NewRobot", ["machine", "part"]),
                ("CreateLocation", ["location"]),
                ("CreateKey", ["key"]),
                ("NewRobot", ["machine", "part"]),
                ("CreateLocation", ["location"]),
            ]
            # Of what else the key reaches they learn nothing, also not that it reaches anything.
            for it in found:
                for hidden in (other.location_id, other.machine_id):
                    assert hidden.encode() not in it.SerializeToString()
            lost, created = found[0].changes[0], found[1].changes[0]
            assert [it.resource.id for it in lost.grants_before] == [deep.id]
            assert list(lost.grants_after) == []
            assert [it.resource.id for it in created.grants_after] == [deep.id]
            assert [it.resource.id for it in found[1].allowances] == [deep.id]

            # What is gone can be asked for by whom it was, in the same words as ever by others.
            gone = {"resource": resource("robot", deep.id)}
            assert await entries(held, organization, gone) == found[:3]
            for hidden in (other.machine_id, ABSENT_UUID):
                with refused(Status.NOT_FOUND, "machine not found"):
                    await entries(held, organization, {"resource": resource("robot", hidden)})
            with refused(Status.PERMISSION_DENIED, "read_audit", f"organization {organization}"):
                await entries(held, organization, {"resource": resource("organization", organization)})

        async with connect_api(own.server, await new_owner(api, "location", other.location_id)) as held:
            for hidden in (deep.id, ABSENT_UUID):
                # The key had a grant on both, and that is all: the machine itself was none of theirs.
                found = [it for it in await entries(held, organization) if hidden.encode() in it.SerializeToString()]
                assert found == []


async def test_an_owner_of_a_machine_is_told_of_it_wherever_it_stood(own: Quickstart) -> None:
    one, two = await new_sites(own, 2)
    async with connect_api(own.server, own.owner) as api:
        holder = await new_owner(api, "robot", one.machine_id)
        await api.wire.call("UpdateRobot", {"id": one.machine_id, "name": "n", "location": two.location_id})
        await api.wire.call("UpdateRobot", {"id": two.machine_id, "name": "m", "location": two.location_id})
        async with connect_api(own.server, holder) as held:
            found = await entries(held, own.organization_id)
        assert [it.via.rpartition("/")[2] for it in found] == ["UpdateRobot", "CreateKey", "NewRobot"]
        assert two.machine_id.encode() not in b"".join(it.SerializeToString() for it in found)
        # Both places are told that it moved; only the first knows what was before.
        for site, known in ((one, 1), (two, 0)):
            async with connect_api(own.server, await new_owner(api, "location", site.location_id)) as held:
                about = [it for it in await entries(held, own.organization_id) if one.machine_id in str(it)]
                moves = [it for it in about if it.via.endswith("/UpdateRobot")]
                assert len(moves) == 1
                assert len([it for it in about if it.via.endswith("/NewRobot")]) == known


@pytest.mark.parametrize("level", ["organization", "location", "robot"])
async def test_operators_are_refused(home: Quickstart, level: str) -> None:
    (site,) = await new_sites(home)
    async with sdk(home.server, home.owner) as owner:
        holder = await new_key(owner, home.organization_id, site.grant("operator", level))
    async with connect_api(home.server, holder) as held:
        for path in (LIST, FOLLOW, EXPORT):
            with refused(Status.PERMISSION_DENIED, "read_audit"):
                async with following(held, home.organization_id, path) as stream:
                    await stream.next()


async def test_strangers_learn_nothing(two: TwoOrganizations) -> None:
    async with connect_api(two.server, two.foreign.owner) as stranger:
        for id in (two.home.organization_id, ABSENT_UUID):
            for path in (LIST, FOLLOW, EXPORT):
                with refused(Status.NOT_FOUND, "organization not found"):
                    async with following(stranger, id, path) as stream:
                        await stream.next()
        about = {"resource": resource("location", two.home.location_id)}
        with refused(Status.NOT_FOUND, "location not found"):
            await entries(stranger, two.foreign.id, about)
        (only,) = await entries(stranger, two.foreign.id)
        assert two.home.organization_id not in str(only)
    async with connect_api(two.server) as nobody:
        with unauthenticated():
            await page(nobody, two.home.organization_id)


# === Pages ===


async def test_pages_are_complete_while_changes_go_on(own: Quickstart) -> None:
    organization = own.organization_id
    async with connect_api(own.server, own.owner) as api, connect_api(own.server, own.owner) as busy:
        for number in range(60):
            await busy.wire.call("CreateLocation", {"organization_id": organization, "name": f"l{number}"})
        before = [it.seq for it in await entries(api, organization)]
        assert len(before) >= 61
        seen: list[int] = []
        request: dict[str, Any] = {"page_size": 7}
        while True:
            answer = await page(api, organization, **request)
            assert len(answer.entries) <= 7
            seen += [it.seq for it in answer.entries]
            await busy.wire.call("CreateLocation", {"organization_id": organization, "name": f"n{len(seen)}"})
            if not answer.next_page_token:
                break
            request["page_token"] = answer.next_page_token
        assert seen == before
        # The last page is known as such, also if it is full.
        size = len(await entries(api, organization))
        assert (await page(api, organization, page_size=size)).next_page_token == ""
        assert len((await page(api, organization, page_size=5000)).entries) == size
        assert len((await page(api, organization, page_size=size - 1)).entries) == size - 1


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no-organization": ({"organization_id": ""}, "organization_id"),
    "an-organization-that-is-none": ({"organization_id": "acme"}, "organization_id"),
    "a-token-that-is-none": ({"page_token": "x"}, "page_token"),
    "a-negative-token": ({"page_token": "-1"}, "page_token"),
    "an-actor-that-is-none": ({"filter": {"actor": {}}}, "filter.actor"),
    "an-actor-whose-id-is-none": ({"filter": {"actor": {"key_id": "me"}}}, "filter.actor.key_id"),
    "a-person-whose-id-is-none": ({"filter": {"actor": {"user_id": "me"}}}, "filter.actor.user_id"),
    "a-part-whose-id-is-none": ({"filter": {"actor": {"part_id": "me"}}}, "filter.actor.part_id"),
    "a-key-that-is-none": ({"filter": {"key_id": "100%s"}}, "filter.key_id"),
    "a-resource-without-a-type": ({"filter": {"resource": {"id": ABSENT_UUID}}}, "filter.resource.type"),
    "a-resource-without-an-id": ({"filter": {"resource": resource("robot", "")}}, "filter.resource.id"),
    "times-the-wrong-way-round": (
        {"filter": {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}},
        "filter.to",
    ),
    "a-time-beyond-the-calendar": ({"filter": {"from": "9999-12-31T23:59:59Z"}}, "filter.from"),
}


@pytest.mark.parametrize(("change", "named"), WRONG.values(), ids=WRONG)
async def test_a_question_that_is_wrong_names_the_field(home: Quickstart, change: dict[str, Any], named: str) -> None:
    async with connect_api(home.server, home.owner) as api:
        with refused(Status.INVALID_ARGUMENT, f"{named}: must"):
            await api.call(LIST, {"organization_id": home.organization_id, **change})
        if "page_token" in change:
            return
        for path in (FOLLOW, EXPORT):
            with refused(Status.INVALID_ARGUMENT, f"{named}: must"):
                async with following(api, **{"organization_id": home.organization_id, "path": path, **change}) as stream:
                    await stream.next()


async def test_what_cannot_be_followed_is_refused(home: Quickstart) -> None:
    async with connect_api(home.server, home.owner) as api:
        for more, named in (
            ({"after_seq": 1_000_000}, "after_seq"),
            ({"filter": {"to": "2999-01-01T00:00:00Z"}}, "filter.to"),
        ):
            with refused(Status.INVALID_ARGUMENT, f"{named}: must"):
                async with following(api, home.organization_id, **more) as stream:
                    await stream.next()
        with refused(Status.NOT_FOUND, "location not found"):
            about = {"resource": resource("location", ABSENT_LOCATION)}
            async with following(api, home.organization_id, filter=about) as stream:
                await stream.next()


# === Following ===


async def test_a_follower_is_told_what_was_and_what_comes(own: Quickstart) -> None:
    organization = own.organization_id
    async with connect_api(own.server, own.owner) as api, connect_api(own.server, own.owner) as busy:
        await new_sites(own, 3)
        known = list(reversed(await entries(busy, organization)))
        async with following(api, organization, after_seq=known[1].seq) as stream:
            assert [await stream.next() for _ in known[2:]] == known[2:]
            assert await stream.silent()
        async with following(api, organization) as stream:
            assert await stream.silent()
        async with following(api, organization, after_seq=0, filter=by(own.owner.id)) as stream:
            heard = [await stream.next() for _ in known[1:]]
            names = [f"n{number}" for number in range(50)]
            for name in names:
                await busy.wire.call("CreateLocation", {"organization_id": organization, "name": name})
            live = [await stream.next() for _ in names]
            assert heard == [it for it in known if it.actor.key_id == own.owner.id]
            assert [it.changes[0].name_after for it in live] == names
            assert await stream.silent()


async def test_a_follower_of_a_location_is_told_only_of_it(own: Quickstart) -> None:
    mine, other = await new_sites(own, 2)
    async with connect_api(own.server, own.owner) as api:
        holder = await new_owner(api, "location", mine.location_id)
        async with connect_api(own.server, holder) as held, following(held, own.organization_id) as stream:
            for site in (other, mine, other):
                await api.wire.call("NewRobot", {"location": site.location_id, "name": f"in {site.location_id}"})
            heard = await stream.next()
            assert heard.changes[0].name_after == f"in {mine.location_id}"
            assert await stream.silent()


@pytest.mark.parametrize(
    ("revocation", "status"),
    [("RotateKey", Status.UNAUTHENTICATED), ("DeleteKey", Status.UNAUTHENTICATED), ("", Status.PERMISSION_DENIED)],
)
@pytest.mark.parametrize("reading", [True, False])
async def test_a_follower_without_a_right_is_told_no_more(
    own: Quickstart, revocation: str, status: Status, reading: bool
) -> None:
    (site,) = await new_sites(own)
    async with connect_api(own.server, own.owner) as api:
        grants = [may("owner", "location", site.location_id), may("operator", "robot", own.machine_id)]
        key, holder = await api.create({"name": "follower", "grants": grants})
        async with connect_api(own.server, holder) as held:
            async with following(held, own.organization_id, after_seq=0) as stream:
                first = await stream.next()
                assert first.seq > 0
                if reading:
                    while key.id not in [change.id for change in (await stream.next()).changes]:
                        pass
                if revocation:
                    canary.remember_reply(await api.wire.call(revocation, {"id": key.id}))
                else:
                    async with sdk(own.server, own.owner) as owner:
                        await owner.remove_role(own.organization_id, key.id, "owner", "location", site.location_id)
                # What was not read by then may be on its way; what comes after the answer is the end.
                await api.wire.call("NewRobot", {"location": site.location_id, "name": "not for them"})
                last = await status_of(stream, "not for them")
                assert last is status


async def status_of(stream: Followed, hidden: str) -> Status:
    """How it ends; nothing of what is hidden comes before."""
    while True:
        try:
            heard = await stream.next()
        except GRPCError as error:
            return error.status
        if heard is None:
            return Status.OK
        assert hidden not in str(heard)


async def test_a_follower_who_loses_a_part_is_told_to_follow_again(own: Quickstart) -> None:
    one, two = await new_sites(own, 2)
    async with connect_api(own.server, own.owner) as api, sdk(own.server, own.owner) as owner:
        grants = [may("owner", "location", site.location_id) for site in (one, two)]
        key, holder = await api.create({"name": "follower", "grants": grants})
        async with connect_api(own.server, holder) as held:
            async with following(held, own.organization_id) as stream:
                await owner.remove_role(own.organization_id, key.id, "owner", "location", two.location_id)
                assert await status_of(stream, two.machine_id) is Status.ABORTED
            async with following(held, own.organization_id) as stream:
                await owner.new_robot("n", two.location_id)
                await owner.new_robot("m", one.location_id)
                assert (await stream.next()).changes[0].name_after == "m"


async def test_a_follower_ends_when_its_key_expires(own: Quickstart) -> None:
    async with connect_api(own.server, own.owner) as api:
        key, holder = await api.create({"name": "f", "grants": [may("owner", "organization", own.organization_id)]})
        async with connect_api(own.server, holder) as held, following(held, own.organization_id) as stream:
            at = datetime.fromtimestamp(datetime.now(UTC).timestamp() + 1.5, UTC)
            await api.call("SetKeyExpiry", {"id": key.id, "expires_at": rfc3339(at)})
            assert (await stream.next()).changes[0].id == key.id
            assert await stream.ended() is Status.UNAUTHENTICATED


# === Lines ===


async def test_an_export_is_what_is_listed_as_lines(own: Quickstart) -> None:
    (site,) = await new_sites(own)
    async with connect_api(own.server, own.owner) as api:
        await api.create({"name": 'a "key" \\ of ü', "grants": [may("operator", "robot", site.machine_id)]})
        known = list(reversed(await entries(api, own.organization_id)))
        message = GetMessageClass(api._methods[FOLLOW].descriptor.output_type)

        async def exported(**more: Any) -> list[Any]:
            async with following(api, own.organization_id, EXPORT, **more) as stream:
                lines = [it.line for it in await stream.all()]
            assert not any("\n" in line or '"hash":"' not in line for line in lines)
            return [json_format.Parse(line, message()) for line in lines]

        assert await exported() == known
        assert await exported(after_seq=known[2].seq) == known[3:]
        assert await exported(after_seq=known[-1].seq) == []
        assert await exported(filter={"resource": resource("robot", site.machine_id)}) == [
            it for it in known if site.machine_id in str(it)
        ]
        assert await exported(filter={"to": known[-1].at.ToJsonString()}) == known[:-1]


# === Nothing is missing ===


async def test_a_crash_loses_nothing(own: Quickstart) -> None:
    organization = own.organization_id
    async with connect_api(own.server, own.owner) as api:
        sites = await new_sites(own, 3)
        holder = await new_owner(api, "location", sites[0].location_id)
        for site in sites:
            await api.wire.call("DeleteRobot", {"id": site.machine_id})
            newest, *_ = await entries(api, organization)
            assert ("machine", DELETED, site.machine_id) in told(newest)
        before = await entries(api, organization)
        crash(own.server)
    own.server.serve()
    async with connect_api(own.server, own.owner) as api:
        after = await entries(api, organization)
        assert after == before
        about = await entries(api, organization, {"resource": resource("location", sites[0].location_id)})
        assert [it.via.rpartition("/")[2] for it in about] == ["DeleteRobot", "CreateKey", "NewRobot", "CreateLocation"]
    async with connect_api(own.server, holder) as held:
        assert [it.seq for it in await entries(held, organization)] == [it.seq for it in about]


async def test_many_change_at_once_and_each_finds_their_own(own: Quickstart) -> None:
    organization = own.organization_id

    async def change_and_look(number: int) -> None:
        async with connect_api(own.server, own.owner) as api:
            for turn in range(8):
                name = f"l{number}-{turn}"
                made = await api.wire.call("CreateLocation", {"organization_id": organization, "name": name})
                about = {"resource": resource("location", made.location.id)}
                (entry,) = await entries(api, organization, about)
                assert entry.changes[0].name_after == name
                await api.wire.call("DeleteLocation", {"location_id": made.location.id})
                assert len(await entries(api, organization, about)) == 2

    await asyncio.gather(*(change_and_look(number) for number in range(8)))


async def test_what_is_written_beside_it_stays_whole(own: Quickstart) -> None:
    """The index is no part of the chain, and `audit verify` says what it always said."""
    await new_sites(own, 2)
    await asyncio.to_thread(own.server.stop)
    done = subprocess.run(
        [BINARY, "audit", "verify", "--data", own.server.data], capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert re.search("[0-9a-f]{64}", done.stdout)
