"""What parts of machines ask for, as a viam-server would: who they are, what they run, their certificate, their log."""

import asyncio
import base64
import hashlib
import http.client
import json
import sqlite3
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from viam.app.app_client import AppClient
from viam.gen.app.v1 import app_pb2
from viam.proto.common import LogEntry

import canary
from claviger import ApiKey, Server
from claviger_api import connect_api, rfc3339
from fleet import Quickstart, Site, TwoOrganizations, new_key, new_site
from wire import APP, AUTHENTICATE, Wire, connect, refused, sdk, unauthenticated

ROBOT = "viam.app.v1.RobotService"
AUTHENTICATE_TO = "proto.rpc.v1.ExternalAuthService/AuthenticateTo"
TAIL = f"{APP}/TailRobotPartLogs"

CALLS = ["Config", "Certificate", "NeedsRestart", "Log"]


@dataclass(frozen=True)
class Machine:
    """A machine with one part, and what the part was given."""

    server: Server
    site: Site
    part: str
    fqdn: str
    local_fqdn: str
    secret: str = field(repr=False)

    @classmethod
    async def new(cls, server: Server, owner: AppClient, organization: str, name: str = "hall") -> "Machine":
        site = await new_site(owner, organization, name)
        (part,) = await owner.get_robot_parts(site.machine_id)
        canary.remember(part.secret)
        return cls(server, site, part.id, part.fqdn, part.local_fqdn, part.secret)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["Caller"]:
        """A connection as the part itself."""
        async with connect(self.server) as wire:
            wire.token = await authenticate(wire, self.part, self.secret)
            yield Caller(wire, self.part)


@dataclass(frozen=True)
class Caller:
    """Somebody who calls for a part."""

    wire: Wire
    part: str

    async def call(self, method: str, **more: Any) -> Any:
        return await self.wire.call(f"{ROBOT}/{method}", {"id": self.part, **more})

    async def config(self) -> Any:
        return (await self.call("Config")).config

    async def config_bytes(self) -> bytes:
        """As it is on the wire: what a machine compares."""
        request = b"\n" + bytes([len(self.part)]) + self.part.encode()
        return await self.wire.raw(f"{ROBOT}/Config", request)

    async def log(self, *messages: str, level: str = "info", **more: Any) -> None:
        entries = [{"host": "pi", "level": level, "logger_name": "rdk.arm", "message": it, **more} for it in messages]
        await self.call("Log", logs=entries)


async def authenticate(wire: Wire, part: str, secret: str, kind: str = "robot-secret") -> str:
    request = {"entity": part, "credentials": {"type": kind, "payload": secret}}
    token: str = (await wire.call(AUTHENTICATE, request, metadata=[])).access_token
    return token


@dataclass(frozen=True)
class Place:
    """Two machines of one owner."""

    owner: AppClient
    one: Machine
    other: Machine


@asynccontextmanager
async def a_place(two: TwoOrganizations) -> AsyncIterator[Place]:
    async with sdk(two.server, two.home.owner) as owner:
        machines = [await Machine.new(two.server, owner, two.home.organization_id, name) for name in ("hall", "store")]
        yield Place(owner, *machines)


# === Who may call ===


async def test_a_part_is_known_by_its_secret_alone(two: TwoOrganizations) -> None:
    async with a_place(two) as it, connect(two.server) as wire:
        for part, secret in (
            (it.one.part, it.other.secret),
            (it.other.part, it.one.secret),
            (it.one.part, ""),
            (it.one.part, it.one.secret + "x"),
            (it.one.part, "x" * 1_000_000),
            (it.one.fqdn, it.one.secret),
            ("", it.one.secret),
        ):
            with unauthenticated():
                await authenticate(wire, part, secret)
        # Machines among themselves; none of our business.
        with refused(Status.INVALID_ARGUMENT, "robot-location-secret"):
            await authenticate(wire, it.one.fqdn, it.one.secret, "robot-location-secret")
        assert await authenticate(wire, it.one.part, it.one.secret)


@pytest.mark.parametrize("method", CALLS)
async def test_who_may_speak_for_a_part(two: TwoOrganizations, method: str) -> None:
    async with a_place(two) as it, AsyncExitStack() as stack:
        part = it.one.part
        machine_owner = await new_key(it.owner, it.one.site.organization_id, it.one.site.grant("owner", "robot"))
        operator = await new_key(it.owner, it.one.site.organization_id, it.one.site.grant("operator", "robot"))
        elsewhere = await new_key(it.owner, it.one.site.organization_id, it.other.site.grant("owner", "location"))

        async def by_key(key: ApiKey) -> Caller:
            return Caller(await stack.enter_async_context(connect(two.server, key)), part)

        itself = await stack.enter_async_context(it.one.connect())
        for caller in (itself, await by_key(machine_owner), await by_key(two.home.owner)):
            await caller.call(method)
        with refused(Status.PERMISSION_DENIED, "read_robot_secret"):
            await (await by_key(operator)).call(method)
        another = await stack.enter_async_context(it.other.connect())
        for caller in (Caller(another.wire, part), await by_key(elsewhere), await by_key(two.foreign.owner)):
            with refused(Status.NOT_FOUND, "part not found"):
                await caller.call(method)
        with refused(Status.INVALID_ARGUMENT, "id:"):
            await Caller(itself.wire, "arm").call(method)


async def test_a_part_does_nothing_but_its_own_calls(two: TwoOrganizations) -> None:
    async with a_place(two) as it, it.one.connect() as itself:
        assert not (await itself.wire.call("ListOrganizations")).organizations
        for method, request in (
            ("GetRobotPart", {"id": it.one.part}),
            ("GetRobotPartLogs", {"id": it.one.part}),
            ("GetRobot", {"id": it.one.site.machine_id}),
            ("ListKeys", {"org_id": it.one.site.organization_id}),
            ("UpdateRobotPart", {"id": it.one.part, "name": "mine"}),
            (AUTHENTICATE_TO, {"entity": it.one.fqdn}),
        ):
            with refused(Status.NOT_FOUND):
                await itself.wire.call(method, request)


async def test_a_secret_that_is_deleted_ends_with_the_call(two: TwoOrganizations) -> None:
    async with a_place(two) as it, it.one.connect() as itself:
        await it.owner.create_robot_part_secret(it.one.part)
        part = await it.owner.get_robot_part(it.one.part)
        old = next(secret for secret in part.secrets if secret.secret == it.one.secret)
        await itself.call("NeedsRestart")
        await it.owner.delete_robot_part_secret(it.one.part, old.id)
        for method in CALLS:
            with unauthenticated():
                await itself.call(method)
        with unauthenticated():
            await authenticate(itself.wire, it.one.part, it.one.secret)
        new = next(secret for secret in part.secrets if secret.secret != it.one.secret)
        assert await authenticate(itself.wire, it.one.part, new.secret)


async def test_a_part_that_is_deleted_ends_with_the_call(two: TwoOrganizations) -> None:
    async with a_place(two) as it, it.one.connect() as itself:
        await itself.log("alive")
        await it.owner.delete_robot(it.one.site.machine_id)
        for method in CALLS:
            with unauthenticated():
                await itself.call(method)
        with unauthenticated():
            await authenticate(itself.wire, it.one.part, it.one.secret)


async def test_a_part_that_calls_is_online(two: TwoOrganizations) -> None:
    async with a_place(two) as it, it.one.connect() as itself:
        async with connect(two.server, two.home.owner) as wire:

            async def seen() -> tuple[Any, Any]:
                part = (await wire.call("GetRobotPart", {"id": it.one.part})).part
                robot = (await wire.call("GetRobot", {"id": it.one.site.machine_id})).robot
                assert (part.online_state, part.last_access) == (robot.online_state, robot.last_access)
                return part.HasField("last_access"), app_pb2.OnlineState.Name(part.online_state)

            assert await seen() == (False, "ONLINE_STATE_AWAITING_SETUP")
            await itself.call("NeedsRestart")
            assert await seen() == (True, "ONLINE_STATE_ONLINE")


# === Config ===


async def test_a_part_is_told_who_it_is(two: TwoOrganizations) -> None:
    async with a_place(two) as it, it.one.connect() as itself:
        config = await itself.config()
        cloud = config.cloud
        assert (cloud.id, cloud.machine_id, cloud.location_id, cloud.primary_org_id) == (
            it.one.part,
            it.one.site.machine_id,
            it.one.site.location_id,
            it.one.site.organization_id,
        )
        assert (cloud.fqdn, cloud.local_fqdn) == (it.one.fqdn, it.one.local_fqdn)
        assert cloud.fqdn.endswith("." + cloud.managed_by)
        # The server of the tests is reached in plaintext, on localhost.
        assert cloud.signaling_address == f"localhost:{two.server.address[1]}"
        assert cloud.signaling_insecure
        assert cloud.secret == ""
        (secret,) = cloud.location_secrets
        assert secret.id and len(secret.secret) == 43 and cloud.location_secret == secret.secret
        async with it.other.connect() as other:
            assert (await other.config()).cloud.location_secret != secret.secret
        keys = json_format.MessageToDict(config.auth.external_auth_config.jwks.json)["keys"]
        assert [(key["kty"], key["alg"]) for key in keys] == [("RSA", "RS256")]
        assert not config.auth.handlers


CONFIG = {
    "components": [
        {
            "name": "arm",
            "api": "rdk:component:arm",
            "model": "rdk:builtin:fake",
            "attributes": {"arm-model": "ur5e", "speeds": [1, 2.5], "deep": {"z": None, "a": True}},
            "frame": {"parent": "world", "translation": {"x": 1, "y": 2, "z": 3}},
            "depends_on": ["board"],
        },
        {"name": "odd", "api": "rdk:component:motor", "attributes": "fast"},
    ],
    "services": [{"name": "motion", "api": "rdk:service:motion", "attributes": {}}],
    "modules": [{"name": "m", "executable_path": "/opt/m", "type": "local", "env": {"B": "2", "A": "1"}}],
    "network": {"bind_address": ":8081"},
    "auth": {"handlers": [{"type": "api-key", "config": {"keys": ["id"], "id": "in clear"}}]},
    "debug": True,
    "ours": {"nobody": "knows"},
}


async def configure(it: Place, machine: Machine, config: dict[str, Any]) -> None:
    part = await it.owner.get_robot_part(machine.part)
    await it.owner.update_robot_part(machine.part, part.name, config)


async def test_a_part_runs_what_its_owner_wrote(two: TwoOrganizations) -> None:
    async with a_place(two) as it, it.one.connect() as itself:
        assert not (await itself.config()).components
        await configure(it, it.one, CONFIG)
        config = await itself.config()
        (arm,) = config.components
        assert (arm.name, arm.api, arm.model) == ("arm", "rdk:component:arm", "rdk:builtin:fake")
        assert json_format.MessageToDict(arm.attributes) == CONFIG["components"][0]["attributes"]  # type: ignore[index]
        assert (arm.frame.parent, arm.frame.translation.z, list(arm.depends_on)) == ("world", 3, ["board"])
        assert [service.name for service in config.services] == ["motion"]
        assert [(module.path, dict(module.env)) for module in config.modules] == [("/opt/m", {"A": "1", "B": "2"})]
        assert (config.network.bind_address, config.debug, config.revision) == (":8081", True, "1")
        # What does not get there is said, once for each revision.
        for _ in range(3):
            await itself.config()
        said = [entry.message for entry in await it.owner.get_robot_part_logs(it.one.part)]
        assert len(said) == 2
        assert any("components[1].attributes: must be an object" in line for line in said)
        assert any("auth.handlers: is left to the authority" in line for line in said)
        assert not config.auth.handlers


async def test_the_answer_is_the_same_bytes_until_something_of_the_part_changes(own: Quickstart) -> None:
    two = TwoOrganizations(own, None)  # type: ignore[arg-type]
    async with a_place(two) as it:
        await configure(it, it.one, CONFIG)
        async with it.one.connect() as itself, it.other.connect() as other:
            first, theirs = await itself.config_bytes(), await other.config_bytes()
            assert first != theirs
            for _ in range(50):
                assert await itself.config_bytes() == first
            # What is not the part's business.
            key = await new_key(it.owner, it.one.site.organization_id, it.one.site.grant("operator", "robot"))
            await it.owner.rotate_key(key.id)
            await it.owner.delete_key(key.id)
            await configure(it, it.other, {"debug": True})
            await it.owner.create_robot_part_secret(it.one.part)
            await it.owner.mark_part_for_restart(it.one.part)
            await itself.log("a line")
            await Machine.new(own.server, it.owner, own.organization_id, "annex")
            await it.owner.delete_robot(own.machine_id)
            assert await itself.config_bytes() == first
            assert await other.config_bytes() != theirs
    # On the same port, which is part of the answer.
    port = own.server.address[1]
    await asyncio.to_thread(own.server.stop)
    own.server._options = ["--public-url", f"http://localhost:{port}"]
    await asyncio.to_thread(own.server.serve)
    async with it.one.connect() as itself:
        assert await itself.config_bytes() == first
    async with sdk(own.server, own.owner) as owner, it.one.connect() as itself:
        part = await owner.get_robot_part(it.one.part)
        await owner.update_robot_part(it.one.part, part.name, {**CONFIG, "debug": False})
        assert await itself.config_bytes() != first


async def test_no_config_has_a_secret_of_somebody_else(two: TwoOrganizations) -> None:
    async with a_place(two) as it, it.one.connect() as itself, it.other.connect() as other:
        key = await new_key(it.owner, it.one.site.organization_id, it.one.site.grant("owner", "robot"))
        location = await it.owner.create_location_secret(it.one.site.location_id)
        theirs = [secret.secret for secret in (await other.config()).cloud.location_secrets]
        config = await itself.config_bytes()
        values = [key.value, two.home.owner.value, it.one.secret, it.other.secret, *theirs]
        values += [secret.secret for secret in location.secrets]
        for value in values:
            assert len(value) > 20
            assert value.encode() not in config


# === Certificate ===


async def test_a_certificate_serves_under_the_addresses_of_the_part(two: TwoOrganizations, tmp_path: Path) -> None:
    async with a_place(two) as it, it.one.connect() as itself:
        issued = await itself.call("Certificate")
        assert issued == await itself.call("Certificate")
        # The first line says what sort of key it is, as that of every other.
        canary.remember(issued.tls_private_key.splitlines()[2])
        pair = tmp_path / "pair.pem"
        pair.write_text(issued.tls_private_key + issued.tls_certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair)
        served = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        port = served.sockets[0].getsockname()[1]
        trusting = ssl.create_default_context(cadata=await asyncio.to_thread(ca, two.server))
        for name in (it.one.fqdn, it.one.local_fqdn):
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=name)
            peer = writer.get_extra_info("peercert")
            assert dict(pair[0] for pair in peer["subject"])["commonName"] == it.one.fqdn
            assert peer["subjectAltName"][0] == ("DNS", it.one.fqdn)
            writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=it.other.fqdn)
        served.close()


def ca(server: Server) -> str:
    connection = http.client.HTTPConnection(*server.address, timeout=20)
    connection.request("GET", "/ca.pem")
    return connection.getresponse().read().decode()


# === NeedsRestart ===


async def test_a_part_is_told_once_to_start_anew(two: TwoOrganizations) -> None:
    async with a_place(two) as it, it.one.connect() as itself, it.other.connect() as other:

        async def told() -> list[bool]:
            answers = [await itself.call("NeedsRestart") for _ in range(3)]
            assert all(answer.restart_check_interval.seconds == 5 for answer in answers)
            return [answer.must_restart for answer in answers]

        assert await told() == [False] * 3
        for _ in range(2):
            await it.owner.mark_part_for_restart(it.one.part)
            assert await told() == [True, False, False]
        assert not (await other.call("NeedsRestart")).must_restart


async def test_a_restart_of_the_server_tells_nobody_twice(own: Quickstart) -> None:
    two = TwoOrganizations(own, None)  # type: ignore[arg-type]
    async with a_place(two) as it:
        for machine in (it.one, it.other):
            await it.owner.mark_part_for_restart(machine.part)
        async with it.one.connect() as itself:
            assert (await itself.call("NeedsRestart")).must_restart
    await asyncio.to_thread(own.server.stop)
    await asyncio.to_thread(own.server.serve)
    async with it.one.connect() as itself, it.other.connect() as other:
        assert not (await itself.call("NeedsRestart")).must_restart
        assert (await other.call("NeedsRestart")).must_restart


# === Logs ===


def messages(entries: list[LogEntry]) -> list[str]:
    return [entry.message for entry in entries]


async def test_what_a_machine_says_is_read_by_its_owner(two: TwoOrganizations) -> None:
    async with a_place(two) as it, it.one.connect() as itself, it.other.connect() as other:
        await other.log("not here")
        await itself.log(*(f"line {number}" for number in range(250)))
        await itself.log(
            "it broke",
            level="ERROR",
            time="2026-11-23T08:00:00Z",
            caller={"File": "arm.go", "Line": 7},
            stack="goroutine 1",
            fields=[{"joint": 3}],
        )
        await itself.log("careful", level="warning", logger_name="rdk.motor")
        every = await it.owner.get_robot_part_logs(it.one.part, num_log_entries=0)
        assert messages(every) == ["careful", "it broke", *(f"line {number}" for number in reversed(range(250)))]
        broke = every[1]
        assert (broke.host, broke.stack, broke.caller["File"], broke.fields[0]["joint"]) == ("pi", "goroutine 1", "arm.go", 3)
        ask = it.owner.get_robot_part_logs
        assert messages(await ask(it.one.part, num_log_entries=3)) == ["careful", "it broke", "line 249"]
        assert messages(await ask(it.one.part, filter="line 24", num_log_entries=2)) == ["line 249", "line 248"]
        assert messages(await ask(it.one.part, log_levels=["error", "warn"])) == ["careful", "it broke"]
        assert messages(await ask(it.one.part, order=1, num_log_entries=2)) == ["line 0", "line 1"]
        assert messages(await ask(it.one.part, end=broke.time.replace(hour=9))) == ["it broke"]
        # Page by page, both ways, with a filter that leaves out most.
        async with connect(two.server, two.home.owner) as wire:
            fives = [f"line {number}" for number in range(250) if "5" in str(number)]
            for order, expected in ((1, fives), (2, fives[::-1])):
                found: list[str] = []
                token = ""
                while True:
                    asked = {"id": it.one.part, "filter": "5", "limit": "7", "order": order, "page_token": token}
                    page = await wire.call("GetRobotPartLogs", asked)
                    found += [entry.message for entry in page.logs]
                    token = page.next_page_token
                    if not token:
                        break
                    assert len(page.logs) == 7
                assert found == expected
            source = await wire.call("GetRobotPartLogs", {"id": it.one.part, "source": "rdk.motor"})
            assert [entry.message for entry in source.logs] == ["careful"]
            errors = await wire.call("GetRobotPartLogs", {"id": it.one.part, "errors_only": True})
            assert [entry.message for entry in errors.logs] == ["it broke"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"id": "arm"}, "id:"),
        ({"page_token": "x"}, "page_token:"),
        ({"page_token": "-1"}, "page_token:"),
        ({"limit": "0"}, "limit:"),
        ({"limit": "10001"}, "limit:"),
        ({"levels": [""]}, "levels[0]:"),
        ({"filter": "x" * 1025}, "filter:"),
        ({"range": "soon"}, "range:"),
        ({"range": "1h", "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "range:"),
        ({"user_facing_only": True}, "user_facing_only:"),
        ({"order": 7}, "order:"),
    ],
)
async def test_a_question_that_makes_no_sense(home: Quickstart, more: dict[str, Any], field: str) -> None:
    async with sdk(home.server, home.owner) as owner, connect(home.server, home.owner) as wire:
        (part,) = await owner.get_robot_parts(home.machine_id)
        with refused(Status.INVALID_ARGUMENT, field):
            await wire.call("GetRobotPartLogs", {"id": part.id, **more})


async def test_who_may_read_logs(two: TwoOrganizations) -> None:
    async with a_place(two) as it:
        operator = await new_key(it.owner, it.one.site.organization_id, it.one.site.grant("operator", "location"))
        for key, status in ((operator, Status.PERMISSION_DENIED), (two.foreign.owner, Status.NOT_FOUND)):
            async with connect(two.server, key) as wire:
                with refused(status):
                    await wire.call("GetRobotPartLogs", {"id": it.one.part})
                with refused(status):
                    async with wire.stream(TAIL, tail_request(it.one.part)) as stream:
                        await stream.recv_message()


def tail_request(part: str) -> bytes:
    return b"\n" + bytes([len(part)]) + part.encode()


async def test_a_log_is_bounded(two: TwoOrganizations) -> None:
    async with a_place(two) as it, it.one.connect() as itself:
        for start in range(0, 12_000, 3_000):
            await itself.log(*(f"{number}" for number in range(start, start + 3_000)))
        every = await it.owner.get_robot_part_logs(it.one.part, num_log_entries=0)
        assert 9_000 <= len(every) <= 10_000
        assert messages(every) == [f"{number}" for number in range(11_999, 11_999 - len(every), -1)]
        await itself.log("x" * 200_000)
        (cut,) = await it.owner.get_robot_part_logs(it.one.part, num_log_entries=1)
        assert cut.message == "x" * 65_536 + " ... (cut)"
        with refused(Status.RESOURCE_EXHAUSTED):
            await itself.log("x" * 1_048_576)
        for _ in range(80):
            await itself.log("y" * 60_000)
        kept = await it.owner.get_robot_part_logs(it.one.part, num_log_entries=0)
        assert 3_500_000 <= sum(len(entry.message) for entry in kept) <= 4 * 1024 * 1024


async def test_logs_outlive_the_server_and_not_the_part(own: Quickstart) -> None:
    two = TwoOrganizations(own, None)  # type: ignore[arg-type]
    async with a_place(two) as it:
        for machine in (it.one, it.other):
            async with machine.connect() as itself:
                await itself.log("unmistakable 4711")
    await asyncio.to_thread(own.server.stop)
    await asyncio.to_thread(own.server.serve)
    async with sdk(own.server, own.owner) as owner, it.one.connect() as itself:
        assert messages(await owner.get_robot_part_logs(it.one.part)) == ["unmistakable 4711"]
        await itself.log("again")
        assert messages(await owner.get_robot_part_logs(it.one.part)) == ["again", "unmistakable 4711"]
        await owner.delete_robot(it.one.site.machine_id)
        with refused(Status.NOT_FOUND):
            await owner.get_robot_part_logs(it.one.part)
        # Written away every few seconds.
        await asyncio.sleep(7)
    await asyncio.to_thread(own.server.stop)
    with sqlite3.connect(own.server.data / "claviger.db") as database:
        left = {subject for (subject,) in database.execute("SELECT subject FROM line")}
    assert left == {it.other.part}


async def test_lines_are_told_as_they_come(two: TwoOrganizations) -> None:
    async with a_place(two) as it, it.one.connect() as itself, it.other.connect() as other:
        await itself.log("before")
        stream = await it.owner.tail_robot_part_logs(it.one.part, errors_only=False, filter="line")
        heard: list[str] = []

        async def listen() -> None:
            # Given up at the end.
            with suppress(StreamTerminatedError):
                async for entries in stream:
                    heard.extend(messages(entries))

        listening = asyncio.create_task(listen())
        try:
            await asyncio.sleep(0.5)
            await other.log("line of another")
            for number in range(30):
                await itself.log(f"line {number}", "something else")
            # More than one message holds.
            await itself.log(*(f"line {number}" for number in range(30, 500)))
            async with asyncio.timeout(20):
                while len(heard) < 500:
                    await asyncio.sleep(0.05)
            assert heard == [f"line {number}" for number in range(500)]
        finally:
            listening.cancel()


@pytest.mark.parametrize("end", ["delete", "rotate", "expire", "remove", "part"])
async def test_a_tail_ends_before_its_right_is_gone(two: TwoOrganizations, end: str) -> None:
    async with a_place(two) as it, it.one.connect() as itself:
        site = it.one.site
        key = await new_key(it.owner, site.organization_id, site.grant("owner", "robot"), it.other.site.grant("owner", "robot"))
        async with connect(two.server, key) as wire, wire.stream(TAIL, tail_request(it.one.part)) as stream:
            await asyncio.sleep(0.3)
            await itself.log("first")
            assert b"first" in await stream.recv_message()
            if end == "delete":
                await it.owner.delete_key(key.id)
            elif end == "rotate":
                await it.owner.rotate_key(key.id)
            elif end == "remove":
                await it.owner.remove_role(site.organization_id, key.id, "owner", "robot", site.machine_id)
            elif end == "part":
                await it.owner.delete_robot(site.machine_id)
            else:
                await expire(two, key)
            # It is over by now: what is said from here on is heard by nobody.
            if end != "part":
                await itself.log("second")
            with pytest.raises(GRPCError) as caught:
                heard = await asyncio.wait_for(stream.recv_message(), 5)
                assert heard is None or b"second" not in heard
                await stream.recv_trailing_metadata()
            expected = Status.NOT_FOUND if end in ("remove", "part") else Status.UNAUTHENTICATED
            assert caught.value.status is expected


async def expire(two: TwoOrganizations, key: ApiKey) -> None:
    async with connect_api(two.server, two.home.owner) as api:
        soon = datetime.now(UTC) + timedelta(seconds=1)
        await api.call("SetKeyExpiry", {"id": key.id, "expires_at": rfc3339(soon)})
    await asyncio.sleep(1.5)


# === AuthenticateTo ===


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def verified(token: str, keys: list[dict[str, str]]) -> dict[str, Any]:
    """The claims of a token, checked as a machine does it: with the keys of its configuration alone."""
    signed, _, signature = token.rpartition(".")
    header = json.loads(decoded(signed.partition(".")[0]))
    key = next(key for key in keys if key["kid"] == header["kid"])
    assert header["alg"] == key["alg"] == "RS256"
    n, e = (int.from_bytes(decoded(key[name]), "big") for name in ("n", "e"))
    size = (n.bit_length() + 7) // 8
    opened = pow(int.from_bytes(decoded(signature), "big"), e, n).to_bytes(size, "big")
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(signed.encode()).digest()
    assert opened == b"\x00\x01" + b"\xff" * (size - 3 - len(digest)) + b"\x00" + digest
    claims: dict[str, Any] = json.loads(decoded(signed.partition(".")[2]))
    return claims


async def test_a_machine_knows_who_comes_with_a_token(two: TwoOrganizations) -> None:
    async with a_place(two) as it, it.one.connect() as itself:
        jwks = json_format.MessageToDict((await itself.config()).auth.external_auth_config.jwks.json)
        operator = await new_key(it.owner, it.one.site.organization_id, it.one.site.grant("operator", "robot"))
        async with connect(two.server, operator) as wire:
            for address in (it.one.fqdn, it.one.local_fqdn, it.one.fqdn.upper()):
                answer = await wire.call(AUTHENTICATE_TO, {"entity": address})
                claims = verified(answer.access_token, jwks["keys"])
                assert (claims["sub"], claims["rpc_creds_type"], claims["aud"]) == (operator.id, "external", [it.one.fqdn])
                assert claims["iat"] < claims["exp"] <= claims["iat"] + 3_600
            for address in (it.other.fqdn, "nowhere." + it.one.fqdn, it.one.fqdn + ".example.com", "arm"):
                with refused(Status.NOT_FOUND, "part not found"):
                    await wire.call(AUTHENTICATE_TO, {"entity": address})
            for address in ("", "x" * 300):
                with refused(Status.INVALID_ARGUMENT, "entity:"):
                    await wire.call(AUTHENTICATE_TO, {"entity": address})
            # It opens the machine, not the authority.
            token = (await wire.call(AUTHENTICATE_TO, {"entity": it.one.fqdn})).access_token
            wire.token = token
            with unauthenticated():
                await wire.call("ListOrganizations")
        async with connect(two.server, two.foreign.owner) as wire:
            with refused(Status.NOT_FOUND, "part not found"):
                await wire.call(AUTHENTICATE_TO, {"entity": it.one.fqdn})
