"""What an operator sets, sees and does: settings, addresses, health, figures, logs, stopping."""

import asyncio
import json
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import strace
from claviger import BINARY, ApiKey
from fleet import Quickstart
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.events import RecvTrailingMetadata, listen
from grpclib.exceptions import GRPCError
from keyform import forged
from ours import GET_IDENTITY, WATCH_IDENTITY, Ours
from viam.gen.app.v1 import app_pb2
from viam.gen.app.v1.app_grpc import AppServiceStub
from victim import Victim, claviger, fails, get, lacking
from wire import AUTHENTICATE, Wire, authorization, connect, refused, unauthenticated

FREE = "127.0.0.1:0"


def settings(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def serving(victim: Victim, *options: str | Path, env: Mapping[str, str] | None = None) -> Any:
    """What `serve` says when nothing but these options and variables tell it what to do."""
    variables = [f"{name}={value}" for name, value in (env or {}).items()]
    return victim.launch(["env", "-u", "CLAVIGER_LOG", *variables, BINARY, "serve", "--output", "json", *options])


# === Settings ===


def test_a_flag_beats_a_variable_beats_the_file(victim: Victim, tmp_path: Path) -> None:
    victim.found()
    victim.stop()
    from_file = settings(tmp_path, f'data = "{victim.data}"\nlisten = "127.0.0.1:0"\nobserve = "127.0.0.11:0"\n')
    env = {"CLAVIGER_OBSERVE": "127.0.0.12:0"}
    assert serving(victim, "--config", from_file)["observe_url"].startswith("http://127.0.0.11:")
    victim.stop()
    assert serving(victim, "--config", from_file, env=env)["observe_url"].startswith("http://127.0.0.12:")
    victim.stop()
    flag = ("--observe", "127.0.0.13:0")
    assert serving(victim, "--config", from_file, *flag, env=env)["observe_url"].startswith("http://127.0.0.13:")
    victim.stop()
    # The file itself can be named by a variable.
    ready = serving(victim, env={"CLAVIGER_CONFIG": str(from_file)})
    assert ready["observe_url"].startswith("http://127.0.0.11:")


def test_every_setting_of_the_file_counts(victim: Victim, tmp_path: Path) -> None:
    """Each where it shows: none is read and forgotten."""
    victim.found()
    victim.stop()
    text = f"""
        data = "{victim.data}"
        listen = "0.0.0.0:0"
        observe = "127.0.0.1:0"
        tls_terminated_by_proxy = true
        trusted_proxies = ["127.0.0.0/8"]
        log = "debug"
        log_format = "json"
    """
    ready = serving(victim, "--config", settings(tmp_path, text))
    assert ready["url"].startswith("http://0.0.0.0:")
    assert ready["observe_url"] is not None
    # Stopped first: that it serves is logged after it is said.
    victim.stop()
    log = [json.loads(line) for line in victim.log_file.read_text().splitlines()]
    assert {line["level"] for line in log} >= {"INFO"}
    tls = f'data = "{victim.data}"\nlisten = "{FREE}"\ntls_self_signed = true\ntls_names = ["robots.example"]\n'
    ready = serving(victim, "--config", settings(tmp_path, tls))
    assert ready["url"].startswith("https://")
    assert ready["ca"] == str(victim.data / "tls" / "ca.pem")
    victim.stop()
    files = f'data = "{victim.data}"\ntls_certificate = "absent.pem"\ntls_key = "absent.key"\n'
    fails("serve", "--config", settings(tmp_path, files), says=["absent.pem"])
    for wrong, says in [
        ("external_token_minutes = 61", "--external-token-minutes: must be 1 to 60"),
        ('name = ""', "--name: must be 1 to 40 printable ASCII characters"),
        ("rotate_keys_days = -1", "holds a setting that is wrong"),
    ]:
        text = f'data = "{victim.data}"\n{wrong}\n'
        fails("serve", "--config", settings(tmp_path, text), says=[says])
    half = f'data = "{victim.data}"\ntls_certificate = "absent.pem"\n'
    fails("serve", "--config", settings(tmp_path, half), says=["--tls-certificate and --tls-key belong together"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('lisen = "127.0.0.1:0"', ["unknown field `lisen`", "listen"]),
        ('[server]\nlisten = "127.0.0.1:0"', ["unknown field `server`"]),
        ("tls-self-signed = true", ["unknown field `tls-self-signed`"]),
        ('config = "other.toml"', ["unknown field `config`"]),
        ('listen = "nowhere"', ["listen"]),
        ("listen = 8080", ["listen"]),
        ('log_format = "xml"', ["log_format", "xml"]),
        ('trusted_proxies = ["10.0.0.0/33"]', ["--trusted-proxies", "`10.0.0.0/33` is no network"]),
        ('log = "a=b=c"', ["--log"]),
        ('log = "loud"', ["--log"]),
        ("listen = ", ["listen"]),
    ],
)
def test_a_setting_that_is_wrong_is_named(tmp_path: Path, text: str, says: list[str]) -> None:
    path = settings(tmp_path, text)
    # The variable that makes the tests' servers talkative would beat the file.
    outcome = claviger("serve", "--data", tmp_path / "data", "--config", path, without=["CLAVIGER_LOG"])
    assert outcome.status == 1 and outcome.out == ""
    for word in says:
        assert word in outcome.err
    # And where it stands, where it is the file that cannot be read.
    assert str(path) in outcome.err or "--" in says[0]
    # Before anything was opened.
    assert not (tmp_path / "data").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    fails("serve", "--data", tmp_path / "data", "--config", absent, says=[f"could not read `{absent}`"])


# === Addresses ===


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_plaintext_is_for_loopback(victim: Victim, address: str) -> None:
    victim.found()
    victim.stop()
    says = ["is not a loopback address, and keys would cross the network in clear", "--tls-terminated-by-proxy"]
    fails("serve", "--data", victim.data, "--listen", address, says=says)
    no = ("--tls-terminated-by-proxy", "false")
    fails("serve", "--data", victim.data, "--listen", address, *no, says=says)
    listen = ("--data", victim.data, "--listen", address)
    assert serving(victim, *listen, "--tls-terminated-by-proxy")["url"].startswith("http://")
    victim.stop()
    assert serving(victim, *listen, "--tls-self-signed")["url"].startswith("https://")


async def seen_from(victim: Victim, key: ApiKey, *forwarded: str) -> str:
    """The address that the server believes a call comes from, given what a proxy says about it."""
    async with connect(victim, key) as wire:
        ours = await Ours.described(wire)
        headers = [("authorization", f"Bearer {wire.token}"), *(("x-forwarded-for", line) for line in forwarded)]
        address: str = (await ours.call(wire, GET_IDENTITY, metadata=headers)).address
        return address


async def test_a_trusted_proxy_is_believed(victim: Victim, fleet: Quickstart) -> None:
    # Nobody is trusted unless told.
    assert await seen_from(victim, fleet.owner) == "127.0.0.1"
    assert await seen_from(victim, fleet.owner, "192.0.2.1") == "127.0.0.1"
    await asyncio.to_thread(victim.stop)
    victim.start("serve", "--trusted-proxies", "127.0.0.1,10.0.0.0/8")
    assert await seen_from(victim, fleet.owner) == "127.0.0.1"
    assert await seen_from(victim, fleet.owner, "192.0.2.1") == "192.0.2.1"
    assert await seen_from(victim, fleet.owner, "2001:db8::1") == "2001:db8::1"
    # Through two of our proxies; what stands before the first address that is nobody's we know is an invention.
    assert await seen_from(victim, fleet.owner, "198.51.100.7, 192.0.2.1, 10.1.2.3") == "192.0.2.1"
    assert await seen_from(victim, fleet.owner, "198.51.100.7, 192.0.2.1", "10.1.2.3") == "192.0.2.1"
    assert await seen_from(victim, fleet.owner, "not an address") == "127.0.0.1"
    # The log has the same address.
    async with connect(victim) as wire:
        with unauthenticated():
            await wire.call("ListOrganizations", metadata=[("x-forwarded-for", "192.0.2.99")])
    assert "address=192.0.2.99" in victim.log_file.read_text()


# === Health and figures ===


def figures(url: str) -> dict[str, float]:
    """The samples on the page, by name and labels."""
    status, text = get(f"{url}/metrics")
    assert status == 200
    assert text.endswith("# EOF\n")
    samples = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in samples}


async def test_health_and_figures(victim: Victim) -> None:
    fleet = victim.found("--observe", FREE)
    await asyncio.to_thread(victim.stop)
    url = victim.start("serve", "--observe", FREE)["observe_url"]
    assert get(f"{url}/healthz") == (200, "ok\n")
    assert get(f"{url}/readyz") == (200, "ready\n")
    assert get(f"{url}/")[0] == 404
    before = figures(url)
    # Every series is there from the start.
    assert before['claviger_calls_total{outcome="permission_denied"}'] == 0
    assert before['claviger_authentication_failures_total{reason="wrong_value"}'] == 0
    assert before["claviger_confirmed"] == 1
    assert before['claviger_records{kind="key"}'] == 2
    assert before['claviger_records{kind="machine"}'] == 1
    assert before["claviger_entries_total"] == 0
    async with connect(victim, fleet.owner) as wire:
        grants = [authorization("operator", "robot", fleet.machine_id)]
        for number in range(3):
            await wire.call("CreateKey", {"name": f"{number}", "authorizations": grants})
        with pytest.raises(GRPCError):
            await wire.call("CreateKey", {"name": ""})
        assert not await wire.accepts(ApiKey(fleet.owner.id, fleet.operator.value))
    after = figures(url)
    assert after['claviger_records{kind="key"}'] == 5
    assert after["claviger_entries_total"] == 3
    assert after["claviger_commits_total"] == 3
    assert after["claviger_commit_seconds_count"] == 3
    assert after['claviger_calls_total{outcome="ok"}'] == 4
    assert after['claviger_calls_total{outcome="invalid_argument"}'] == 1
    assert after['claviger_calls_total{outcome="unauthenticated"}'] == 1
    assert after['claviger_authentication_failures_total{reason="wrong_value"}'] == 1
    assert after["claviger_call_seconds_count"] == 6
    # Nothing that a caller wrote is a label, and no id.
    labels = {label for name in after for label in re.findall(r'"([^"]*)"', name)}
    assert {label for label in labels if not re.fullmatch(r"[a-z_]+|[0-9.]+|\+Inf", label)} == set()


def test_health_is_not_on_the_address_for_callers(victim: Victim, fleet: Quickstart) -> None:
    for path in ("healthz", "readyz", "metrics"):
        status, text = get(f"{victim.url}/{path}")
        assert text not in ("ok\n", "ready\n") and "claviger_" not in text, (path, status)


# === Logs ===


async def wrong_keys(wire: Wire, count: int) -> None:
    for number in range(count):
        assert not await wire.accepts(ApiKey("0198c5a4-7d10-7c3e-9f00-4b1d2e3f4a5b", forged(seed=number)))


async def test_failed_authentications_are_sampled_in_the_log_and_all_counted(victim: Victim) -> None:
    fleet = victim.found()
    await asyncio.to_thread(victim.stop)
    url = victim.start("serve", "--observe", FREE, "--log", "info", "--log-format", "json")["observe_url"]
    count = 400
    loop = asyncio.get_running_loop()
    async with connect(victim) as wire:
        began = loop.time()
        await wrong_keys(wire, count)
        took = loop.time() - began
        # The next one that is logged says how many were not.
        await asyncio.sleep(1.1)
        await wrong_keys(wire, 1)
    lines = [json.loads(line) for line in victim.log_file.read_text().splitlines()]
    logged = [line["fields"] for line in lines if line["fields"]["message"] == "credentials refused"]
    assert 2 <= len(logged) <= took + 3
    assert {line["reason"] for line in logged} == {"unknown_key"}
    assert sum(line["unlogged"] for line in logged) + len(logged) == count + 1
    assert figures(url)['claviger_authentication_failures_total{reason="unknown_key"}'] == count + 1
    async with connect(victim) as wire:
        assert await wire.accepts(fleet.owner)


async def test_an_error_is_found_in_the_log_by_its_request_id(victim: Victim) -> None:
    fleet = victim.found("--log-format", "json")
    async with connect(victim, fleet.operator) as wire:
        ids = [
            await request_id(wire, "GetLocation", {"location_id": "zzzzzzzzzz"}),
            await request_id(wire, "CreateKey", {"name": ""}),
            await request_id(wire, "ListOrganizations", {}, metadata=[]),
        ]
    assert len(set(ids)) == len(ids)
    lines = [json.loads(line)["fields"] for line in victim.log_file.read_text().splitlines()]
    by_id = {line["request_id"]: line for line in lines if "request_id" in line}
    methods = [by_id[id]["method"].rpartition("/")[2] for id in ids]
    assert methods == ["GetLocation", "CreateKey", "ListOrganizations"]
    assert [by_id[id].get("code") for id in ids] == ["NotFound", "InvalidArgument", None]
    assert by_id[ids[2]]["reason"] == "missing"
    # Every call has its own.
    counted = Counter(line["request_id"] for line in lines if "request_id" in line)
    assert set(counted.values()) == {1}
    # Ids of another start are others.
    await asyncio.to_thread(victim.restart)
    async with connect(victim) as wire:
        assert await request_id(wire, "ListOrganizations", {}, metadata=[]) not in by_id


async def request_id(wire: Wire, method: str, request: dict[str, Any], metadata: Any = None) -> str:
    """What stands beside the error of a call that is refused."""
    found: list[str] = []

    async def received(event: RecvTrailingMetadata) -> None:
        found.extend(str(event.metadata[name]) for name in event.metadata if name == "request-id")

    listen(wire._channel, RecvTrailingMetadata, received)
    with pytest.raises(GRPCError):
        await wire.call(method, request, metadata=metadata)
    assert found, f"{method}: no request id"
    return found[-1]


@pytest.mark.parametrize("level", ["info", "debug", "trace"])
async def test_a_json_log_is_an_object_a_line(victim: Victim, level: str) -> None:
    fleet = victim.found("--log", level, "--log-format", "json")
    name = 'two\\nlines "quoted" \u2028 \x07'
    async with connect(victim, fleet.owner) as wire:
        with refused(Status.INVALID_ARGUMENT):
            await wire.call("CreateLocation", {"organization_id": fleet.organization_id, "name": name})
        with refused(Status.UNIMPLEMENTED):
            await wire.raw('a/"b\\n', b"")
        assert not await wire.accepts(ApiKey(name, name))
    await asyncio.to_thread(victim.stop)
    lines = victim.log_file.read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    for line in lines:
        assert {"timestamp", "level", "fields", "target"} <= json.loads(line).keys()


def test_results_are_on_stdout_and_the_rest_is_on_stderr(victim: Victim, fleet: Quickstart) -> None:
    """One line on stdout, which `stop` checks; without a terminal there is no colour."""
    victim.stop()
    assert "\x1b" not in victim.log()


# === Stopping ===


SLOW_DISK = "fsync,fdatasync:delay_enter=1500000"
CREATE_KEY = "viam.app.v1.AppService/CreateKey"


@dataclass(frozen=True)
class Change:
    """A CreateKey call, as bytes, for clients of every kind."""

    url: str
    token: str
    message: bytes

    @property
    def frame(self) -> bytes:
        return b"\0" + len(self.message).to_bytes(4, "big") + self.message

    def headers(self, content_type: str) -> dict[str, str]:
        return {"content-type": content_type, "te": "trailers", "authorization": f"Bearer {self.token}"}


async def by_grpclib(change: Change) -> bytes:
    """The client of the Python SDK. It hangs up as soon as the server announces that it will go."""
    host, _, port = change.url.rpartition("://")[2].rpartition(":")
    channel = Channel(host, int(port))
    try:
        create_key = AppServiceStub(channel).CreateKey
        metadata = [("authorization", f"Bearer {change.token}")]
        reply = await create_key(app_pb2.CreateKeyRequest.FromString(change.message), metadata=metadata)
        return bytes(reply.SerializeToString())
    finally:
        channel.close()


async def by_grpc_web(change: Change) -> bytes:
    """HTTP/1.1, as a browser may speak it."""

    def post() -> bytes:
        headers = change.headers("application/grpc-web+proto")
        with urlopen(Request(f"{change.url}/{CREATE_KEY}", change.frame, headers), timeout=15) as reply:
            content: bytes = reply.read()
        return unframed(content)

    return await asyncio.to_thread(post)


async def by_curl(change: Change) -> bytes:
    """HTTP/2 as the protocol means it: what was begun is read to its end."""
    curl = shutil.which("curl") or lacking("curl is not installed")
    headers = [f"{name}: {value}" for name, value in change.headers("application/grpc").items()]
    command = [curl, "-s", "--http2-prior-knowledge", "--max-time", "15", "--data-binary", "@-"]
    command += [argument for header in headers for argument in ("-H", header)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, f"{change.url}/{CREATE_KEY}", stdin=pipe, stdout=pipe)
    content, _ = await process.communicate(change.frame)
    assert process.returncode == 0, process.returncode
    return unframed(content)


def unframed(content: bytes) -> bytes:
    length = int.from_bytes(content[1:5], "big")
    assert content[0] == 0 and len(content) >= 5 + length
    return content[5 : 5 + length]


@pytest.mark.parametrize("client", [by_curl, by_grpc_web, by_grpclib])
async def test_a_call_in_flight_finishes(
    victim: Victim, fleet: Quickstart, client: Callable[[Change], Coroutine[Any, Any, bytes]]
) -> None:
    change = await change_of(victim, fleet)
    with strace.injecting(victim.pid, SLOW_DISK, path=victim.data / "claviger.db-wal"):
        call = asyncio.create_task(client(change))
        await asyncio.sleep(0.5)
        assert not call.done()
        process = victim.ask_to_end()
        await asyncio.sleep(0.3)
        # Nobody new is let in meanwhile.
        with pytest.raises(OSError):
            async with connect(victim, fleet.owner):
                pass
        reply = app_pb2.CreateKeyResponse.FromString(await call)
        assert await asyncio.to_thread(process.wait, 15) == 0
    # It closed in order: nothing is left in the log of the database.
    assert not victim.database.with_name("claviger.db-wal").exists()
    assert not (victim.data / "claviger.sock").exists()
    victim.start()
    async with connect(victim) as wire:
        assert await wire.accepts(ApiKey(reply.id, reply.key))


async def change_of(victim: Victim, fleet: Quickstart) -> Change:
    async with connect(victim, fleet.owner) as wire:
        assert wire.token is not None
        grants = [app_pb2.Authorization(**authorization("operator", "robot", fleet.machine_id))]
        message = app_pb2.CreateKeyRequest(name="in flight", authorizations=grants)
        return Change(victim.url, wire.token, message.SerializeToString())


async def test_a_stream_and_an_idle_connection_do_not_hold_it_up(victim: Victim, fleet: Quickstart) -> None:
    """A stream does not finish by itself. It is ended, with a status that says that it was not the credential."""
    loop = asyncio.get_running_loop()
    token = (await change_of(victim, fleet)).token
    _, idle = await asyncio.open_connection(*victim.address)
    watching = await watch_by_curl(victim, token)
    assert watching.stdout is not None
    try:
        seen = b""
        while fleet.owner.id.encode() not in seen:
            seen += await asyncio.wait_for(watching.stdout.read(4096), 10)
        began = loop.time()
        process = victim.ask_to_end()
        assert await asyncio.to_thread(process.wait, 20) == 0
        took = loop.time() - began
        rest = await asyncio.wait_for(watching.stdout.read(), 10)
    finally:
        idle.close()
        if watching.returncode is None:
            watching.kill()
        await watching.wait()
    assert took < 5
    assert b"grpc-status: 14" in rest
    assert not victim.database.with_name("claviger.db-wal").exists()


async def watch_by_curl(victim: Victim, token: str) -> asyncio.subprocess.Process:
    curl = shutil.which("curl") or lacking("curl is not installed")
    headers = ["content-type: application/grpc", "te: trailers", f"authorization: Bearer {token}"]
    command = [curl, "-sN", "--http2-prior-knowledge", "-D", "-", "--data-binary", "@-"]
    command += [argument for header in headers for argument in ("-H", header)]
    pipe = asyncio.subprocess.PIPE
    watching = await asyncio.create_subprocess_exec(*command, f"{victim.url}/{WATCH_IDENTITY}", stdin=pipe, stdout=pipe)
    assert watching.stdin is not None
    # One message, and it is empty.
    watching.stdin.write(bytes(5))
    await watching.stdin.drain()
    watching.stdin.close()
    return watching


async def test_one_signal_is_enough_and_ctrl_c_is_one(victim: Victim, fleet: Quickstart) -> None:
    process = victim.ask_to_end(by=signal.SIGINT)
    assert await asyncio.to_thread(process.wait, 10) == 0


def test_authenticate_is_not_logged_with_its_payload(victim: Victim) -> None:
    """The path is, at the level for it."""
    fleet = victim.found("--log", "debug", "--log-format", "json")

    async def exchange() -> None:
        async with connect(victim) as wire:
            assert await wire.accepts(fleet.owner)

    asyncio.run(exchange())
    log = victim.log_file.read_text()
    assert AUTHENTICATE in log
    assert fleet.owner.value not in log
