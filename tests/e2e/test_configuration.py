"""Configurations of parts: kept to the byte, told to owners only, with a history and without lost edits."""

import asyncio
import json
import sqlite3
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from viam.app.app_client import AppClient
from viam.proto.app import RobotPart

from claviger import ApiKey
from fleet import KIND_IDS, KINDS, Quickstart, Site, new_key, new_site
from wire import Wire, connect, refused, sdk

MIB = 1024 * 1024


async def main_part(client: AppClient, machine_id: str) -> str:
    (part,) = await client.get_robot_parts(machine_id)
    return part.id


async def new_part(home: Quickstart) -> tuple[Site, str]:
    async with sdk(home.server, home.owner) as owner:
        site = await new_site(owner, home.organization_id)
        return site, await main_part(owner, site.machine_id)


async def part_of(wire: Wire, id: str) -> RobotPart:
    part: RobotPart = (await wire.call("GetRobotPart", {"id": id})).part
    return part


TEXTS = {
    "order-and-spaces": '{ "z": 1,\n\t"a" :  [ ]\r\n}\n',
    "integers-no-double-holds": '{"a": 12345678901234567890, "b": -9007199254740993, "c": 0.10000000000000000001}',
    "spellings-of-numbers": '{"a": 1.0, "b": 1e3, "c": -0, "d": 1E-2}',
    "escapes": '{"\\u0061": "\\u00e9é\\/\\b", "": "\\ud83e\\udd16🤖"}',
    "a-name-twice": '{"a": 1, "a": 2}',
    "thirty-deep": '{"a":' * 29 + "[]" + "}" * 29,
    "percent": '{"a": "100%s"}',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_a_text_comes_back_to_the_byte(home: Quickstart, text: str) -> None:
    site, id = await new_part(home)
    async with connect(home.server, home.owner) as wire:
        updated = (await wire.call("UpdateRobotPart", {"id": id, "name": "p", "robot_config_json": text})).part
        read = await wire.call("GetRobotPart", {"id": id})
        (listed,) = (await wire.call("GetRobotParts", {"robot_id": site.machine_id})).parts
    assert read.config_json == text
    for part in (updated, read.part, listed):
        assert part.robot_config_json == text
        assert MessageToDict(part.robot_config) == as_doubles(json.loads(text))


def as_doubles(it: Any) -> Any:
    """What is left of JSON where every number is a double."""
    if isinstance(it, dict):
        return {name: as_doubles(value) for name, value in it.items()}
    if isinstance(it, list):
        return [as_doubles(value) for value in it]
    return it if isinstance(it, bool) or not isinstance(it, int | float) else float(it)


async def test_a_structure_comes_back_whole(home: Quickstart) -> None:
    config = {
        "components": [{"name": "arm", "attributes": {"port": 8080, "ratio": 0.1, "on": True, "none": None}}],
        "numbers": [0, -0.0, 1e-7, 5e-324, 1.7976931348623157e308, 9007199254740993, -7],
        "text": "né\u0000 🤖\u2028\"\\",
        "empty": {"object": {}, "list": [], "text": ""},
    }
    site, id = await new_part(home)
    async with sdk(home.server, home.owner) as owner:
        await owner.update_robot_part(id, "p", config)
    # Read without the SDK, which takes null for 0.
    async with connect(home.server, home.owner) as wire:
        read = await wire.call("GetRobotPart", {"id": id})
        (listed,) = (await wire.call("GetRobotParts", {"robot_id": site.machine_id})).parts
    expected = Struct()
    expected.update(config)
    for part in (read.part, listed):
        assert part.robot_config == expected
        assert json.loads(part.robot_config_json) == as_doubles(config)
    # Whoever reads an integer there finds one.
    assert '"port":8080,' in read.config_json


async def test_what_is_left_out_stays(home: Quickstart) -> None:
    _, id = await new_part(home)
    async with sdk(home.server, home.owner) as owner:
        before = await owner.get_robot_part(id)
        assert (before.robot_config, before.robot_config_json) == ({}, None)
        configured = await owner.update_robot_part(id, "p", {"a": 1})
        renamed = await owner.update_robot_part(id, "q")
        assert (renamed.name, renamed.robot_config, renamed.last_updated) == ("q", {"a": 1.0}, configured.last_updated)


@pytest.mark.parametrize(("role", "level"), KINDS, ids=KIND_IDS)
async def test_owners_read_it_and_operators_see_a_blank(home: Quickstart, role: str, level: str) -> None:
    site, id = await new_part(home)
    text = '{"password": "of a module"}'
    async with sdk(home.server, home.owner) as owner:
        await owner.update_robot_part(id, "p", robot_config_json=text)
        key = await new_key(owner, home.organization_id, site.grant(role, level))
    async with connect(home.server, key) as wire:
        read = await wire.call("GetRobotPart", {"id": id})
        (listed,) = (await wire.call("GetRobotParts", {"robot_id": site.machine_id})).parts
        by_name = {"name": "p", "location_id": site.location_id}
        named = (await wire.call("GetRobotPartByNameAndLocation", by_name)).part
        for part in (read.part, listed, named):
            # What operators need to connect.
            assert part.fqdn.startswith(f"p-{site.location_id}.")
            if role == "owner":
                assert (part.robot_config_json, len(part.secrets)) == (text, 1)
            else:
                assert not part.HasField("robot_config") and not part.HasField("robot_config_json")
                assert (part.secret, list(part.secrets)) == ("", [])
        assert read.config_json == (text if role == "owner" else "")
        for method in ("GetRobotPartHistory", "UpdateRobotPart"):
            request = {"id": id} if method == "GetRobotPartHistory" else {"id": id, "name": "p"}
            if role == "owner":
                await wire.call(method, request)
            else:
                with refused(Status.PERMISSION_DENIED, "permission"):
                    await wire.call(method, request)


# === What is refused ===


async def test_a_mebibyte_is_kept_and_not_a_byte_more(home: Quickstart) -> None:
    _, id = await new_part(home)
    most = json.dumps({"a": "x" * (MIB - len('{"a": ""}'))})
    assert len(most) == MIB
    async with connect(home.server, home.owner) as wire:
        await wire.call("UpdateRobotPart", {"id": id, "name": "p", "robot_config_json": most})
        with refused(Status.INVALID_ARGUMENT, "robot_config_json: must be at most 1048576 bytes", f"has {MIB + 1}"):
            await wire.call("UpdateRobotPart", {"id": id, "name": "p", "robot_config_json": most + " "})
        with refused(Status.INVALID_ARGUMENT, "robot_config: must be at most 1048576 bytes"):
            await wire.call("UpdateRobotPart", {"id": id, "name": "p", "robot_config": {"a": "x" * MIB}})
        assert (await wire.call("GetRobotPart", {"id": id})).config_json == most


async def test_the_largest_number_of_values_can_be_told(home: Quickstart) -> None:
    """A structure takes six times the bytes of its text."""
    site, id = await new_part(home)
    text = '{"a":[' + "0," * (MIB // 2 - 5) + "0]}"
    async with connect(home.server, home.owner) as wire:
        for _ in range(3):
            await wire.call("UpdateRobotPart", {"id": id, "name": "p", "robot_config_json": text})
        (listed,) = (await wire.call("GetRobotParts", {"robot_id": site.machine_id})).parts
        assert listed.robot_config_json == text
        pages, token = [], ""
        while True:
            page = await wire.call("GetRobotPartHistory", {"id": id, "page_token": token})
            pages.append(len(page.history))
            token = page.next_page_token
            if not token:
                break
        assert sum(pages) == 3


BAD = {
    "no-json": ("robot_config_json", "{'a': 1}", "must be JSON; it is not at line 1, column 2"),
    "empty": ("robot_config_json", "", "must be JSON"),
    "a-list": ("robot_config_json", "[]", "must be a JSON object"),
    "nan": ("robot_config_json", '{"a": NaN}', "must be JSON"),
    "more-after-it": ("robot_config_json", "{} {}", "must be JSON"),
    "too-deep": ("robot_config_json", '{"a":' * 30 + "[]" + "}" * 30, "must be nested at most 30 deep"),
    "endless": ("robot_config_json", "[" * 100_000, "must be nested at most 30 deep"),
    "an-infinite-number": ("robot_config", {"a": float("inf")}, "must hold neither infinite numbers, nor NaN"),
    "not-a-number": ("robot_config", {"a": [float("nan")]}, "must hold neither infinite numbers, nor NaN"),
}


@pytest.mark.parametrize(("field", "content", "rule"), BAD.values(), ids=BAD)
async def test_what_is_no_configuration_is_refused(home: Quickstart, field: str, content: Any, rule: str) -> None:
    _, id = await new_part(home)
    if isinstance(content, dict):
        structure = Struct()
        structure.update(content)
        content = structure
    async with connect(home.server, home.owner) as wire:
        request = wire_request(id, field, content)
        before = await part_of(wire, id)
        with refused(Status.INVALID_ARGUMENT, f"{field}: {rule}"):
            await wire.call("UpdateRobotPart", request)
        assert await part_of(wire, id) == before


def wire_request(id: str, field: str, content: Any) -> Any:
    from viam.proto.app import UpdateRobotPartRequest

    return UpdateRobotPartRequest(id=id, name="p", **{field: content})


async def test_two_that_say_different_things_are_refused(home: Quickstart) -> None:
    _, id = await new_part(home)
    async with sdk(home.server, home.owner) as owner:
        with refused(Status.INVALID_ARGUMENT, "robot_config_json: must say the same as robot_config"):
            await owner.update_robot_part(id, "p", {"a": 1}, robot_config_json='{"a": 2}')
        text = '{"b": 2.0, "a": 1}'
        part = await owner.update_robot_part(id, "p", {"a": 1, "b": 2}, robot_config_json=text)
        assert part.robot_config_json == text


# === Concurrent edits ===


async def test_of_two_edits_one_loses_and_nothing_is_lost(home: Quickstart) -> None:
    _, id = await new_part(home)
    async with sdk(home.server, home.owner) as owner:
        for round in range(5):
            known = (await owner.get_robot_part(id)).last_updated
            assert known is not None
            edits = [
                owner.update_robot_part(id, "p", {"round": round, "editor": editor}, last_known_update=aware(known))
                for editor in range(4)
            ]
            outcomes = await asyncio.gather(*edits, return_exceptions=True)
            (winner,) = [it for it in outcomes if not isinstance(it, BaseException)]
            losers = [it for it in outcomes if isinstance(it, GRPCError)]
            assert len(losers) == 3
            for loser in losers:
                assert loser.status is Status.ABORTED
                assert "after last_known_update: read it again" in (loser.message or "")
            assert (await owner.get_robot_part(id)).robot_config == winner.robot_config
        assert len(await owner.get_robot_part_history(id)) == 5


def aware(it: datetime) -> datetime:
    return it.replace(tzinfo=timezone.utc)


async def test_a_time_in_milliseconds_is_understood(home: Quickstart) -> None:
    """JavaScript knows no finer ones."""
    _, id = await new_part(home)
    async with sdk(home.server, home.owner) as owner:
        for number in range(3):
            known = (await owner.get_robot_part(id)).last_updated
            assert known is not None
            cut = known.replace(microsecond=known.microsecond // 1000 * 1000)
            await owner.update_robot_part(id, "p", {"a": number}, last_known_update=aware(cut))
        with refused(Status.ABORTED, "last_known_update"):
            earlier = aware(cut) - timedelta(milliseconds=1)
            await owner.update_robot_part(id, "p", {"a": 7}, last_known_update=earlier)


# === History ===


async def test_the_history_tells_who_also_when_they_are_gone(home: Quickstart) -> None:
    site, id = await new_part(home)
    async with sdk(home.server, home.owner) as owner:
        keys = [
            await new_key(owner, home.organization_id, site.grant("owner", "robot"), name=name)
            for name in ("deploy 100%", "night shift")
        ]
        for number, key in enumerate(keys):
            async with sdk(home.server, key) as editor:
                await editor.update_robot_part(id, f"name {number}", {"number": number})
        await owner.delete_key(keys[0].id)
    async with connect(home.server, home.owner) as wire:
        newest, oldest = (await wire.call("GetRobotPartHistory", {"id": id})).history
    assert (newest.part, newest.robot) == (id, site.machine_id)
    assert newest.when.ToDatetime() > oldest.when.ToDatetime()
    for entry, key, name, gone in ((newest, keys[1], "night shift", False), (oldest, keys[0], "deploy 100%", True)):
        info = entry.edited_by
        assert (info.type, info.value, info.is_deactivated) == (2, f"{name} ({key.id})", gone)
    # As it was before the change: the newest shows what the oldest made of nothing.
    assert (newest.old.name, newest.old.robot_config_json) == ("name 0", '{"number":0}')
    assert MessageToDict(newest.old.robot_config) == {"number": 0.0}
    assert not oldest.old.HasField("robot_config_json") and oldest.old.HasField("robot_config")
    assert (list(newest.old.secrets), newest.old.secret) == ([], "")


async def test_the_history_is_paged_and_ends_after_a_hundred(home: Quickstart) -> None:
    _, id = await new_part(home)
    async with connect(home.server, home.owner) as wire:
        for number in range(103):
            await wire.call("UpdateRobotPart", {"id": id, "name": "p", "robot_config": {"number": number}})
        entries, token = [], ""
        for expected in (40, 40, 19):
            page = await wire.call("GetRobotPartHistory", {"id": id, "page_limit": 40, "page_token": token})
            assert len(page.history) == expected
            entries += page.history
            token = page.next_page_token
        assert token == ""
        # A hundred revisions are kept, and of the oldest one nobody knows what was before it.
        numbers = [json.loads(entry.old.robot_config_json)["number"] for entry in entries]
        assert numbers == list(range(101, 2, -1))
        default = await wire.call("GetRobotPartHistory", {"id": id})
        assert (len(default.history), default.next_page_token != "") == (50, True)

        start, end = entries[20].when, entries[10].when
        between = await wire.call("GetRobotPartHistory", {"id": id, "start": stamp(start), "end": stamp(end)})
        assert list(between.history) == entries[11:20]
        for request, word in (
            ({"page_limit": 0}, "page_limit: must be 1 to 100"),
            ({"page_limit": 101}, "page_limit: must be 1 to 100"),
            ({"page_limit": -1}, "page_limit: must be 1 to 100"),
            ({"page_token": "x"}, "page_token: must be"),
            ({"page_token": "+1"}, "page_token: must be"),
            ({"page_token": "99999999999"}, "page_token: must be"),
        ):
            with refused(Status.INVALID_ARGUMENT, word):
                await wire.call("GetRobotPartHistory", {"id": id, **request})
        assert (await wire.call("GetRobotPartHistory", {"id": id, "page_token": "0"})).history == []


def stamp(it: Any) -> str:
    text: str = it.ToJsonString()
    return text


async def test_a_configuration_survives_a_restart_and_goes_with_its_part(own: Quickstart) -> None:
    text = '{"needle in the database": 7}'
    site, id = await new_part(own)
    async with sdk(own.server, own.owner) as owner:
        await owner.update_robot_part(id, "p", robot_config_json=text)
        await owner.update_robot_part_metadata(id, {"a note": 1})
        await owner.update_robot_metadata(site.machine_id, {"a note": 1})
    await asyncio.to_thread(own.server.stop)
    assert documents(own)["configuration"] == [f"{id}/0000000001"]
    own.server.serve()
    async with sdk(own.server, own.owner) as owner:
        part = await owner.get_robot_part(id)
        assert part.robot_config_json == text
        await owner.delete_robot(site.machine_id)
        with refused(Status.NOT_FOUND, "part not found"):
            await owner.get_robot_part(id)
        with refused(Status.NOT_FOUND, "part not found"):
            await owner.get_robot_part_history(id)
    await asyncio.to_thread(own.server.stop)
    left = documents(own)
    assert (left["configuration"], left["metadata"]) == ([], [])
    # The first machine's main part has one.
    assert len(left["secret"]) == 1


def documents(home: Quickstart) -> dict[str, list[str]]:
    """The ids of the documents in the database of a server that was stopped."""
    (database,) = home.server.data.glob("*.db")
    found: dict[str, list[str]] = {"configuration": [], "metadata": [], "secret": []}
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        for kind, id in connection.execute("SELECT kind, id FROM document ORDER BY kind, id"):
            found.setdefault(kind, []).append(id)
    finally:
        connection.close()
    return found


