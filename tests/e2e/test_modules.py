"""Modules: published by a pipeline, downloaded by whoever may have them."""

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from grpclib.const import Status
from moto.server import ThreadedMotoServer
from viam.gen.app.packages.v1 import packages_pb2
from viam.proto.app import Model, Visibility

from claviger import ApiKey, Server
from fleet import KIND_IDS, KINDS, Quickstart, TwoOrganizations, grant, new_key, new_site
from modules import (
    CHUNK,
    GET_PACKAGE,
    Answer,
    announced,
    archive,
    by_key,
    chunks,
    fetch,
    info,
    new_module,
    open_upload,
    package,
    send,
    stored,
)
from wire import connect, refused, sdk, unauthenticated

SMALL = archive()


# === Publishing ===


async def test_a_pipeline_publishes_a_module(own: Quickstart) -> None:
    organization = own.organization_id
    async with sdk(own.server, own.owner) as owner:
        key = await new_key(owner, organization, grant("owner", "organization", organization), name="pipeline")
    async with sdk(own.server, key) as pipeline:
        module_id = await new_module(pipeline, organization, "arm_2-x")
        assert module_id == f"{organization}:arm_2-x"
        model = Model(api="rdk:component:arm", model="acme:arm:six", description="six joints")
        await pipeline.update_module(module_id, "https://example.com/arm", "An arm.", [model], "run.sh")
        for version, platform in [("1.10.0", "linux/amd64"), ("1.2.0", "linux/amd64"), ("1.2.0", "linux/arm64")]:
            url = await pipeline.upload_module_file(info(module_id, version, platform), archive(200_000))
            dashed = platform.replace("/", "-")
            assert url == f"{own.server.url}/modules/{module_id}/{version}/{dashed}.tar.gz"
        module = await pipeline.get_module(module_id)
        assert (module.module_id, module.name, module.organization_id) == (module_id, "arm_2-x", organization)
        assert (module.description, module.url, module.entrypoint) == ("An arm.", "https://example.com/arm", "run.sh")
        assert module.visibility == Visibility.VISIBILITY_PRIVATE
        assert list(module.models) == [model]
        assert [it.version for it in module.versions] == ["1.2.0", "1.10.0"]
        assert [file.platform for file in module.versions[0].files] == ["linux/amd64", "linux/arm64"]
        assert all(abs(file.uploaded_at.seconds - time.time()) < 60 for it in module.versions for file in it.files)
        assert [it.entrypoint for it in module.versions] == ["run.sh", "run.sh"]
        assert list(await pipeline.list_modules(organization)) == [module]
        assert len(stored(own.server)) == 3


async def test_a_version_keeps_what_was_said_with_it(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner, connect(home.server, home.owner) as wire:
        module_id = await new_module(owner, home.organization_id, "kept")

        async def say(**texts: Any) -> None:
            await wire.call("UpdateModule", {"module_id": module_id, "visibility": "VISIBILITY_PRIVATE", **texts})

        await say(entrypoint="old.sh", first_run="setup.sh", markdown_description="# Old")
        await owner.upload_module_file(info(module_id, "1.0.0"), SMALL)
        await say(entrypoint="new.sh", apps=[{"name": "a", "type": "single_machine", "entrypoint": "index.html"}])
        # Another platform of the same version does not change what it says.
        await owner.upload_module_file(info(module_id, "1.0.0", "linux/arm64"), SMALL)
        await owner.upload_module_file(info(module_id, "2.0.0"), SMALL)
        asked = {"module_id": module_id, "include_markdown_documentation": True}
        module = (await wire.call("GetModule", asked)).module
        old, new = module.versions
        assert (old.entrypoint, old.first_run, old.markdown_description) == ("old.sh", "setup.sh", "# Old")
        assert (new.entrypoint, new.HasField("first_run"), new.HasField("markdown_description")) == (
            "new.sh",
            False,
            False,
        )
        assert [app.name for app in new.apps] == ["a"] and not old.apps
        assert module.entrypoint == "new.sh"
        without = (await wire.call("GetModule", {"module_id": module_id})).module
        assert not without.versions[0].HasField("markdown_description")


async def test_namespaces(own: Quickstart) -> None:
    organization = own.organization_id
    async with sdk(own.server, own.owner) as owner, connect(own.server, own.owner) as wire:
        by_id = await new_module(owner, organization, "arm")
        assert await owner.get_organization_namespace_availability("acme")
        change = {"organization_id": organization, "new_public_namespace": "acme"}
        assert (await wire.call("UpdateOrganizationNamespace", change)).organization.public_namespace == "acme"
        assert not await owner.get_organization_namespace_availability("acme")
        with refused(Status.FAILED_PRECONDITION, "has the namespace acme already"):
            await wire.call("UpdateOrganizationNamespace", {**change, "new_public_namespace": "other"})
        # From now on it is called by the namespace, and still known by the id.
        for module_id in (by_id, "acme:arm"):
            module = await owner.get_module(module_id)
            assert (module.module_id, module.public_namespace) == ("acme:arm", "acme")
        url = await owner.upload_module_file(info(by_id), SMALL)
        assert url == f"{own.server.url}/modules/acme:arm/1.0.0/linux-amd64.tar.gz"
        for path in (url, url.replace("acme:", f"{organization}:"), url.replace("acme:", "acme%3A")):
            assert fetch(own.server, path, by_key(own.owner)).body == SMALL
        assert await new_module(owner, organization, "other") == "acme:other"


@pytest.mark.parametrize(("role", "level"), KINDS[1:], ids=KIND_IDS[1:])
async def test_only_owners_of_the_organization_publish(home: Quickstart, role: str, level: str) -> None:
    organization = home.organization_id
    async with sdk(home.server, home.owner) as owner:
        module_id = await new_module(owner, organization, f"closed-{role}-{level}")
        site = await new_site(owner, organization)
        key = await new_key(owner, organization, site.grant(role, level))
        reads = role == "owner"
    async with sdk(home.server, key) as client, connect(home.server, key) as wire:
        with refused(Status.PERMISSION_DENIED, "write_private_registry_item"):
            await client.create_module(organization, "x")
        with refused(Status.PERMISSION_DENIED, "write_private_registry_item"):
            await client.update_module(module_id, "", "x", [], "x")
        with refused(Status.PERMISSION_DENIED, "write_private_registry_item"):
            await send(wire, [announced(info(module_id))])
        if reads:
            assert (await client.get_module(module_id)).module_id == module_id
        else:
            with refused(Status.PERMISSION_DENIED, "read_private_registry_item"):
                await client.get_module(module_id)
        listed = [module.module_id for module in await client.list_modules(organization)]
        assert (module_id in listed) == reads
        # Whose name it is, is nobody else's to say.
        with refused(Status.PERMISSION_DENIED, "write_organization"):
            change = {"organization_id": organization, "new_public_namespace": "taken"}
            await wire.call("UpdateOrganizationNamespace", change)


async def test_strangers_find_what_is_public(two: TwoOrganizations) -> None:
    home, foreign = two.home, two.foreign
    async with sdk(two.server, home.owner) as owner, connect(two.server, home.owner) as ours:
        names = ["shown", "unlisted", "hidden"]
        shown, unlisted, hidden = [await new_module(owner, home.organization_id, name) for name in names]
        await owner.update_module(shown, "", "", [], "run.sh", public=True)
        change = {"module_id": unlisted, "visibility": "VISIBILITY_PUBLIC_UNLISTED"}
        await ours.call("UpdateModule", change)
    async with sdk(two.server, foreign.owner) as stranger, connect(two.server, foreign.owner) as wire:
        mine = await new_module(stranger, foreign.id, "mine")
        for listed in (await stranger.list_modules(foreign.id), (await wire.call("ListModules", {})).modules):
            ids = {module.module_id for module in listed}
            assert {shown, mine} <= ids and not {unlisted, hidden} & ids
        assert (await stranger.get_module(unlisted)).name == "unlisted"
        with refused(Status.NOT_FOUND, "module not found"):
            await stranger.get_module(hidden)
        with refused(Status.NOT_FOUND, "organization not found"):
            await stranger.list_modules(home.organization_id)
        with refused(Status.PERMISSION_DENIED, "write_public_registry_item"):
            await stranger.upload_module_file(info(shown), SMALL)
        with refused(Status.NOT_FOUND, "module not found"):
            await stranger.upload_module_file(info(hidden), SMALL)
        # Uses are not tracked, so nothing keeps it from being made private again.
        async with sdk(two.server, home.owner) as owner:
            await owner.update_module(shown, "", "", [], "run.sh", public=False)
        with refused(Status.NOT_FOUND, "module not found"):
            await stranger.get_module(shown)


async def test_what_is_uploaded_once_stays(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        module_id = await new_module(owner, home.organization_id, "once")
        await owner.upload_module_file(info(module_id), SMALL)
        before = stored(home.server)
        with refused(Status.ALREADY_EXISTS, "1.0.0", "linux/amd64"):
            await owner.upload_module_file(info(module_id), archive(1_000))
        with refused(Status.ALREADY_EXISTS):
            await owner.create_module(home.organization_id, "ONCE")
        assert stored(home.server) == before


async def test_of_two_uploads_at_once_one_is_taken(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner, connect(home.server, home.owner) as wire:
        module_id = await new_module(owner, home.organization_id, "race")
        before = len(stored(home.server))
        messages = [announced(info(module_id)), *chunks(archive(100_000))]
        done = await asyncio.gather(*(send(wire, messages) for _ in range(5)), return_exceptions=True)
        assert [isinstance(it, BaseException) for it in done].count(False) == 1
        assert {getattr(it, "status", None) for it in done} == {None, Status.ALREADY_EXISTS}
        await left(home.server, before + 1)


# === Uploads that do not end well ===


async def left(server: Server, count: int) -> None:
    """So many files lie there, whole. What is given up is deleted a moment later."""
    for _ in range(200):
        files = stored(server)
        if len(files) == count and all(file.name.endswith(".tar.gz") for file in files):
            return
        await asyncio.sleep(0.01)
    assert [file.name for file in stored(server)] == []


async def test_an_upload_that_breaks_off_leaves_nothing(own: Quickstart) -> None:
    async with sdk(own.server, own.owner) as owner, connect(own.server, own.owner) as wire:
        module_id = await new_module(owner, own.organization_id, "broken")
        messages = [announced(info(module_id)), *chunks(archive(4 * CHUNK))]
        assert len(messages) > 5
        for count in range(len(messages) + 1):
            await send(wire, messages[:count], to_the_end=False)
        await left(own.server, 0)
        # With the connection, as when the network is gone.
        for count in range(1, len(messages) + 1):
            async with connect(own.server, own.owner) as gone:
                task = asyncio.create_task(send(gone, messages[:count], to_the_end=False))
                await asyncio.sleep(0.02)
                gone._channel.close()
                await asyncio.gather(task, return_exceptions=True)
        await left(own.server, 0)
        assert not (await owner.get_module(module_id)).versions
        await send(wire, messages)
        await left(own.server, 1)


async def test_a_kill_in_an_upload_leaves_nothing_for_long(own: Quickstart) -> None:
    server = own.server
    async with sdk(server, own.owner) as owner:
        module_id = await new_module(owner, own.organization_id, "killed")
        url = await owner.upload_module_file(info(module_id, "1.0.0"), SMALL)
    async with connect(server, own.owner) as wire:
        messages = [announced(info(module_id, "2.0.0")), *chunks(archive(20 * CHUNK))]
        stream = asyncio.create_task(hang(wire, messages[:-1]))
        for _ in range(500):
            if len(stored(server)) == 2:
                break
            await asyncio.sleep(0.01)
        assert len(stored(server)) == 2, "it is under way"
        kill(server)
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)
    assert len(stored(server)) == 2, "and nobody could clean up"
    server.serve()
    assert len(stored(server)) == 1
    async with sdk(server, own.owner) as owner:
        assert [it.version for it in (await owner.get_module(module_id)).versions] == ["1.0.0"]
        path = url.partition("/modules/")[2]
        assert fetch(server, f"/modules/{path}", by_key(own.owner)).body == SMALL
        await owner.upload_module_file(info(module_id, "2.0.0"), SMALL)


async def hang(wire: Any, messages: list[bytes]) -> None:
    """An upload that stops in the middle and stays open."""
    async with open_upload(wire) as opened:
        for message in messages:
            await opened.send_message(message)
        await asyncio.sleep(60)


def kill(server: Server) -> None:
    assert server._process is not None
    process, server._process = server._process, None
    process.kill()
    process.wait()


@pytest.mark.parametrize("end", ["delete_key", "rotate_key"])
async def test_the_right_is_asked_for_at_the_end_again(home: Quickstart, end: str) -> None:
    organization = home.organization_id
    async with sdk(home.server, home.owner) as owner:
        module_id = await new_module(owner, organization, f"late-{end.replace('_', '-')}")
        before = len(stored(home.server))
        key = await new_key(owner, organization, grant("owner", "organization", organization))
        messages = [announced(info(module_id)), *chunks(archive(4 * CHUNK))]
        async with connect(home.server, key) as wire:
            with unauthenticated():
                async with open_upload(wire) as opened:
                    for message in messages:
                        await opened.send_message(message)
                    await asyncio.sleep(0.1)
                    ended = await getattr(owner, end)(key.id)
                    if ended is not None:
                        ApiKey.from_sdk(ended)
                    await opened.end()
                    await opened.recv_message()
        assert not (await owner.get_module(module_id)).versions
        await left(home.server, before)


async def test_a_file_that_is_too_large_is_not_taken(new_server: Callable[..., Server]) -> None:
    limited = Quickstart.start(new_server(["--module-size-limit", "1"]))
    async with sdk(limited.server, limited.owner) as owner, connect(limited.server, limited.owner) as wire:
        module_id = await new_module(owner, limited.organization_id, "large")
        large = archive(1_500_000)
        assert len(large) > 1 << 20
        with refused(Status.RESOURCE_EXHAUSTED, "file:", "at most 1048576 bytes"):
            await owner.upload_module_file(info(module_id), large)
        with refused(Status.RESOURCE_EXHAUSTED, "file:"):
            await send(wire, [announced(info(module_id)), *chunks(large)])
        await left(limited.server, 0)
        exactly = SMALL + bytes((1 << 20) - len(SMALL))
        await owner.upload_module_file(info(module_id), exactly)
        await left(limited.server, 1)


# === Bad input ===


@dataclass(frozen=True)
class Bad:
    """What is not taken, and the words of the answer."""

    case: str
    method: str
    change: dict[str, Any]
    words: tuple[str, ...]


BAD = [
    Bad("no-organization", "CreateModule", {"organization_id": ""}, ("organization_id:", "UUID")),
    Bad("no-name", "CreateModule", {"name": ""}, ("name:", "1 to 100")),
    Bad("long-name", "CreateModule", {"name": "x" * 101}, ("name:",)),
    Bad("name-with-a-colon", "CreateModule", {"name": "a:b"}, ("name:", "letters, digits, dashes and underscores")),
    Bad("name-with-a-slash", "CreateModule", {"name": "../x"}, ("name:",)),
    Bad("name-with-a-percent", "CreateModule", {"name": "100%s"}, ("name:",)),
    Bad("look-alike", "CreateModule", {"name": "\u0430rm"}, ("name:",)),
    Bad("no-module", "UpdateModule", {"module_id": ""}, ("module_id:", "acme:arm")),
    Bad("no-prefix", "UpdateModule", {"module_id": "arm"}, ("module_id:", "acme:arm")),
    Bad("bad-name", "UpdateModule", {"module_id": "acme:a b"}, ("module_id:", "after the colon")),
    Bad("no-visibility", "UpdateModule", {"visibility": 0}, ("visibility:", "public_unlisted")),
    Bad("unknown-visibility", "UpdateModule", {"visibility": 9}, ("visibility:",)),
    Bad("script-url", "UpdateModule", {"url": "javascript:alert(1)"}, ("url:", "https://")),
    Bad("two-lines", "UpdateModule", {"entrypoint": "a\nb"}, ("entrypoint:", "one line")),
    Bad("long-line", "UpdateModule", {"first_run": "x" * 3_000}, ("first_run:", "2048")),
    Bad("too-many-models", "UpdateModule", {"models": [{}] * 1_001}, ("models:", "at most 1000")),
    Bad("nul-in-a-model", "UpdateModule", {"models": [{}, {"api": "a\0"}]}, ("models[1].api:",)),
    Bad("too-many-apps", "UpdateModule", {"apps": [{}] * 101}, ("apps:", "at most 100")),
    Bad("a-novel", "UpdateModule", {"markdown_description": "x" * 1_100_000}, ("markdown_description:", "1048576")),
    Bad("get-nothing", "GetModule", {"module_id": ""}, ("module_id:",)),
    Bad("list-nobody", "ListModules", {"organization_id": "acme"}, ("organization_id:", "UUID")),
    Bad(
        "capitals",
        "GetOrganizationNamespaceAvailability",
        {"public_namespace": "Acme"},
        ("public_namespace:", "lower-case"),
    ),
    Bad("empty", "GetOrganizationNamespaceAvailability", {"public_namespace": ""}, ("public_namespace:",)),
    Bad("dash", "UpdateOrganizationNamespace", {"new_public_namespace": "-acme"}, ("new_public_namespace:",)),
    Bad(
        "somebody-s-id",
        "UpdateOrganizationNamespace",
        {"new_public_namespace": "0198c5a4-7d10-7c3e-9f00-4b1d2e3f4a5b"},
        ("new_public_namespace:", "UUID"),
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=[f"{bad.method}-{bad.case}" for bad in BAD])
async def test_bad_input_names_the_field_and_the_rule(home: Quickstart, bad: Bad) -> None:
    organization = home.organization_id
    good: dict[str, dict[str, Any]] = {
        "CreateModule": {"organization_id": organization, "name": "never"},
        "UpdateModule": {"module_id": f"{organization}:never", "visibility": "VISIBILITY_PRIVATE"},
        "GetModule": {},
        "ListModules": {},
        "GetOrganizationNamespaceAvailability": {"organization_id": organization},
        "UpdateOrganizationNamespace": {"organization_id": organization},
    }
    async with sdk(home.server, home.owner) as owner, connect(home.server, home.owner) as wire:
        try:
            await owner.create_module(organization, "never")
        except Exception as error:  # noqa: BLE001  (it is there from the case before)
            assert "already" in str(error)
        before = await owner.get_module(f"{organization}:never")
        with refused(Status.INVALID_ARGUMENT, *bad.words):
            await wire.call(bad.method, {**good[bad.method], **bad.change})
        assert await owner.get_module(f"{organization}:never") == before


async def test_bad_uploads_name_the_field_and_the_rule(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner, connect(home.server, home.owner) as wire:
        module_id = await new_module(owner, home.organization_id, "bad-uploads")
        before = len(stored(home.server))
        first, file = announced(info(module_id)), chunks(SMALL)
        for messages, words in [
            ([], ("module_file_info:", "first message")),
            ([b""], ("module_file_info:", "first message")),
            (file, ("module_file_info:", "first message")),
            ([first, first, *file], ("file:", "every message but the first")),
            ([first, *file, b""], ("file:", "every message but the first")),
            ([first], ("file:", "gzip")),
            ([first, *chunks(b"\x1f")], ("file:", "gzip")),
            ([first, *chunks(b"PK\x03\x04")], ("file:", "gzip")),
            ([announced(info(""))], ("module_file_info.module_id:", "acme:arm")),
            ([announced(info(module_id, ""))], ("module_file_info.version:", "semantic version")),
            ([announced(info(module_id, "latest"))], ("module_file_info.version:",)),
            ([announced(info(module_id, "1.0"))], ("module_file_info.version:",)),
            ([announced(info(module_id, "1.0.0/../../x"))], ("module_file_info.version:",)),
            ([announced(info(module_id, platform="linux"))], ("module_file_info.platform:", "linux/amd64")),
            ([announced(info(module_id, platform="../../etc"))], ("module_file_info.platform:",)),
            ([announced(info(module_id, platform_tags=["a", "b c"]))], ("module_file_info.platform_tags[1]:",)),
        ]:
            with refused(Status.INVALID_ARGUMENT, *words):
                await send(wire, messages)
        with refused(Status.INVALID_ARGUMENT):
            await send(wire, [b"\xff\xff"])
        await left(home.server, before)
        assert not (await owner.get_module(module_id)).versions


# === Packages and downloads ===


async def test_a_package_is_asked_for_as_the_cli_does(home: Quickstart) -> None:
    content = archive(50_000)
    async with sdk(home.server, home.owner) as owner, connect(home.server, home.owner) as wire:
        module_id = await new_module(owner, home.organization_id, "packed")
        await owner.upload_module_file(info(module_id, "1.0.0-rc.1", "linux/arm64"), content)
        id = module_id.replace(":", "/")
        found = await package(wire, id, "1.0.0-rc.1-linux-arm64", type=packages_pb2.PACKAGE_TYPE_MODULE)
        assert (found.id, found.info.name, found.info.version) == (id, "packed", "1.0.0-rc.1")
        assert (found.info.platform, found.info.organization_id) == ("linux/arm64", home.organization_id)
        assert found.checksum == hashlib.sha256(content).hexdigest()
        assert await package(wire, id, "1.0.0-rc.1", platform="linux/arm64") == found
        got = fetch(home.server, found.url, by_key(home.owner))
        assert (got.status, got.body) == (200, content)
        without = packages_pb2.GetPackageRequest(id=id, version="1.0.0-rc.1-linux-arm64")
        reply = packages_pb2.GetPackageResponse.FromString(await wire.raw(GET_PACKAGE, without.SerializeToString()))
        assert reply.package.url == ""
        for version in ("1.0.0-rc.1", "1.0.0-linux-arm64", "", "latest"):
            with refused(Status.NOT_FOUND, "module not found"):
                await package(wire, id, version)
        with refused(Status.INVALID_ARGUMENT, "id:", "acme/arm"):
            await package(wire, module_id, "1.0.0-any")
        with refused(Status.INVALID_ARGUMENT, "type:"):
            await package(wire, id, "1.0.0-any", type=packages_pb2.PACKAGE_TYPE_ML_MODEL)


async def test_who_may_download(two: TwoOrganizations) -> None:
    home, server = two.home, two.server
    async with sdk(server, home.owner) as owner:
        module_id = await new_module(owner, home.organization_id, "fetched")
        url = await owner.upload_module_file(info(module_id), SMALL)
        site = await new_site(owner, home.organization_id)
        keys = {
            (role, level): await new_key(owner, home.organization_id, site.grant(role, level)) for role, level in KINDS
        }
        async with connect(server, home.owner) as wire:
            token = {"authorization": f"Bearer {wire.token}"}
        gone = await new_key(owner, home.organization_id, site.grant("owner", "organization"))
        await owner.delete_key(gone.id)

        def statuses() -> dict[str, int]:
            presented: dict[str, dict[str, str]] = {
                **{f"{level} {role}": by_key(key) for (role, level), key in keys.items()},
                "token": token,
                "nobody": {},
                "stranger": by_key(two.foreign.owner),
                "wrong value": {**by_key(home.owner), "key": two.foreign.owner.value},
                "deleted": by_key(gone),
                "half": {"key_id": home.owner.id},
                "token of nobody": {"authorization": "Bearer clvt_x"},
                "both": {**by_key(home.owner), **token},
                "part": {"part_id": site.machine_id, "secret": "x"},
            }
            return {who: fetch(server, url, headers).status for who, headers in presented.items()}

        wrong = dict.fromkeys(["wrong value", "deleted", "half", "token of nobody", "both", "part"], 401)
        owners = dict.fromkeys(["organization owner", "location owner", "robot owner", "token"], 200)
        operators = dict.fromkeys(["organization operator", "location operator", "robot operator"], 404)
        assert statuses() == {**wrong, **owners, **operators, "nobody": 404, "stranger": 404}
        await owner.update_module(module_id, "", "", [], "", public=True)
        everybody = dict.fromkeys([*operators, "nobody", "stranger"], 200)
        assert statuses() == {**wrong, **owners, **everybody}
    refusal = fetch(server, url, {"key_id": home.owner.id, "key": "wrong"})
    assert (refusal.body, refusal.headers["www-authenticate"]) == (b"invalid credentials\n", "Bearer")
    await asyncio.sleep(1.1)
    assert fetch(server, url, {"key_id": home.owner.id, "key": "wrong"}).status == 401
    assert "GET /modules" in server.log() and "malformed_value" in server.log()


async def test_a_download_in_parts(home: Quickstart) -> None:
    content = archive(100_000)
    async with sdk(home.server, home.owner) as owner:
        module_id = await new_module(owner, home.organization_id, "parts")
        url = await owner.upload_module_file(info(module_id, "1.0.0+build.7", "any"), content)

    def get(method: str = "GET", **headers: str) -> Answer:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return fetch(home.server, url, {**by_key(home.owner), **names}, method)

    whole = get()
    assert (whole.status, whole.body, whole.headers["content-length"]) == (200, content, str(len(content)))
    assert whole.headers["content-type"] == "application/x-gzip"
    assert whole.headers["x-goog-hash"] == f"crc32c={base64.b64encode(crc32c(content)).decode()}"
    assert whole.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert (whole.headers["accept-ranges"], whole.headers["cache-control"]) == ("bytes", "private, no-cache")
    head = get("HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(content)))

    size = len(content)
    for asked, start, end in [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-70000", 1_000, 70_001),
        (f"bytes={size - 10}-", size - 10, size),
        ("bytes=-7", size - 7, size),
        ("bytes=5-999999999", 5, size),
    ]:
        part = get(range=asked)
        assert (part.status, part.body) == (206, content[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    beyond = get(range=f"bytes={size}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert get(range="bytes=0-1,5-6").status == 200
    etag = whole.headers["etag"]
    assert (get(if_none_match=etag).status, get(if_none_match=etag).body) == (304, b"")
    assert get(range="bytes=0-0", if_range=etag).status == 206
    assert get(range="bytes=0-0", if_range='"other"').body == content


def crc32c(content: bytes) -> bytes:
    """CRC-32C, bit by bit: what viam-server compares the file with."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "big")


async def test_paths_that_name_nothing(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        module_id = await new_module(owner, home.organization_id, "paths")
        url = await owner.upload_module_file(info(module_id), SMALL)
    path = url.removeprefix(home.server.url)
    for wrong in [
        "/modules/",
        f"/modules/{module_id}",
        path.removesuffix(".tar.gz"),
        path.replace("1.0.0", "1.0.1"),
        path.replace("linux-amd64", "linux-arm64"),
        path.replace("linux-amd64", "linux%2Famd64"),
        path.replace("paths", "PATHS"),
        path.replace("1.0.0", ".."),
        "/modules/a:b/..%2F..%2Fmaster.key/x.tar.gz",
        f"{path}/x",
    ]:
        assert fetch(home.server, wrong, by_key(home.owner)).status == 404, wrong
    assert fetch(home.server, path, by_key(home.owner), "POST").status == 405


async def test_the_address_that_is_handed_out_can_be_given(new_server: Callable[..., Server]) -> None:
    given = Quickstart.start(new_server(["--public-url", "https://fleet.example.com/"]))
    async with sdk(given.server, given.owner) as owner:
        module_id = await new_module(owner, given.organization_id, "arm")
        url = await owner.upload_module_file(info(module_id), SMALL)
        assert url == f"https://fleet.example.com/modules/{module_id}/1.0.0/linux-amd64.tar.gz"


# === What is kept ===


async def test_published_versions_live_on(own: Quickstart) -> None:
    organization = own.organization_id
    async with sdk(own.server, own.owner) as owner:
        key = await new_key(owner, organization, grant("owner", "organization", organization))
        async with sdk(own.server, key) as pipeline:
            module_id = await new_module(pipeline, organization, "arm")
            url = await pipeline.upload_module_file(info(module_id), SMALL)
        await owner.delete_key(key.id)
        before = await owner.get_module(module_id)
    await asyncio.to_thread(own.server.stop)
    own.server.serve()
    async with sdk(own.server, own.owner) as owner:
        assert await owner.get_module(module_id) == before
    path = url.partition("/modules/")[2]
    assert fetch(own.server, f"/modules/{path}", by_key(own.owner)).body == SMALL


# === An object store ===


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket in a store that speaks S3, and an environment that says how to reach it."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for name, value in {
        "AWS_ENDPOINT": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test-access-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret-access-key",
    }.items():
        monkeypatch.setenv(name, value)
    resource = boto3.resource("s3", endpoint_url=endpoint, region_name="us-east-1")
    yield resource.create_bucket(Bucket="fleet")
    moto.stop()


async def test_files_in_an_object_store(bucket: Any, new_server: Callable[..., Server]) -> None:
    fleet = Quickstart.start(new_server(["--object-store-url", "s3://fleet/claviger"]))
    server = fleet.server
    # More than one part, which stores take in pieces of 5 MiB and more.
    content = SMALL + bytes(18 << 20)
    async with sdk(server, fleet.owner) as owner, connect(server, fleet.owner) as wire:
        module_id = await new_module(owner, fleet.organization_id, "stored")
        url = await owner.upload_module_file(info(module_id, "1.0.0"), content)
        await send(wire, [announced(info(module_id, "2.0.0")), *chunks(SMALL)])
        keys = [it.key for it in bucket.objects.all()]
        assert len(keys) == 2 and all(key.startswith("claviger/modules/") for key in keys)
        assert not (server.data / "files").exists()

        got = await asyncio.to_thread(fetch, server, url, by_key(fleet.owner))
        assert (got.status, got.body == content) == (200, True)
        middle = await asyncio.to_thread(
            fetch, server, url, {**by_key(fleet.owner), "range": f"bytes={9 << 20}-{(9 << 20) + 9}"}
        )
        assert (middle.status, middle.body) == (206, bytes(10))

        # Refused at the end, broken off in the middle: nothing is left.
        with refused(Status.ALREADY_EXISTS):
            await owner.upload_module_file(info(module_id, "2.0.0"), SMALL)
        messages = [announced(info(module_id, "3.0.0")), *chunks(content, 4 << 20)]
        await send(wire, messages[:-1], to_the_end=False)
        client = bucket.meta.client
        for _ in range(300):
            under_way = client.list_multipart_uploads(Bucket="fleet").get("Uploads", [])
            if not under_way:
                break
            await asyncio.sleep(0.02)
        assert under_way == []
        assert [it.key for it in bucket.objects.all()] == keys

        # Without the store only files are missing.
        bucket.objects.all().delete()
        assert (await asyncio.to_thread(fetch, server, url, by_key(fleet.owner))).status == 503
        assert [it.version for it in (await owner.get_module(module_id)).versions] == ["1.0.0", "2.0.0"]
    assert "test-secret-access-key" not in server.log()


async def test_an_authority_starts_without_its_store(
    monkeypatch: pytest.MonkeyPatch, new_server: Callable[..., Server]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-access-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret-access-key")
    fleet = Quickstart.start(new_server(["--object-store-url", "s3://fleet"]))
    async with sdk(fleet.server, fleet.owner) as owner:
        module_id = await new_module(owner, fleet.organization_id, "arm")
        with refused(Status.UNAVAILABLE, "store of files"):
            await owner.upload_module_file(info(module_id), SMALL)
        assert not (await owner.get_module(module_id)).versions
