"""TLS: who trusts whom, which protocol is spoken, new certificates, and connections that come to nothing."""

import asyncio
import http.client
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from claviger import ApiKey, Server
from fleet import Quickstart
from http2 import framed
from protobytes import message
from wire import AUTHENTICATE, connect

StartServer = Callable[..., Server]

# Names that nothing resolves, and an address that is nobody's: they are in the certificate all the same.
NAME, ADDRESS = "authority.example", "192.0.2.7"

# How long the server takes to notice a changed file, at most, and then some.
RELOAD_S = 12


@pytest.fixture(scope="module")
def secure(new_server: StartServer) -> Quickstart:
    """A server with certificates of its own making."""
    return Quickstart.start(new_server(["--tls-self-signed", "--tls-names", f"{NAME},{ADDRESS}"]))


@pytest.fixture(scope="module")
def plain(new_server: StartServer) -> Quickstart:
    return Quickstart.start(new_server())


def ca(server: Server) -> Path:
    return server.data / "tls" / "ca.pem"


def endpoint(server: Server) -> tuple[str, int]:
    return "127.0.0.1", server.address[1]


def login(key: ApiKey) -> bytes:
    return message(f1=key.id, f2=message(f1="api-key", f2=key.value))


@contextmanager
def secured(server: Server, context: ssl.SSLContext, name: str | None = None) -> Iterator[ssl.SSLSocket]:
    """A connection that has shaken hands."""
    with socket.create_connection(endpoint(server), timeout=5) as raw:
        with context.wrap_socket(raw, server_hostname=name) as connection:
            yield connection


def trusting(cafile: Path | None, *protocols: str) -> ssl.SSLContext:
    """What checks chain and name, with this CA or without any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if cafile is not None:
        context.load_verify_locations(cafile)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


async def still_serves(home: Quickstart) -> bool:
    async with connect(home.server) as wire:
        return await wire.accepts(home.operator)


# === The Python SDK ===

# A client as somebody writes it. The SDK checks no certificate on this computer's own names, so one test needs a name
# that is not; the resolver is told where it is, and the SDK knows nothing of that.
CLIENT = """
    import asyncio, os, socket, sys

    from viam.app.viam_client import ViamClient
    from viam.rpc.dial import DialOptions

    resolve = socket.getaddrinfo
    def getaddrinfo(host, *rest, **more):
        return resolve("127.0.0.1" if host == os.environ["RESOLVED"] else host, *rest, **more)
    socket.getaddrinfo = getaddrinfo

    async def main():
        options = DialOptions.with_api_key(api_key=os.environ["KEY"], api_key_id=os.environ["KEY_ID"])
        async with await ViamClient.create_from_dial_options(options, os.environ["URL"]) as client:
            for organization in await client.app_client.list_organizations():
                print(organization.id)

    asyncio.run(main())
"""


def run_sdk(home: Quickstart, host: str, trusted: Path | None) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    env |= {
        "RESOLVED": NAME,
        "KEY": home.owner.value,
        "KEY_ID": home.owner.id,
        "URL": f"https://{host}:{home.server.address[1]}",
    }
    if trusted is not None:
        env["SSL_CERT_FILE"] = str(trusted)
    program = [sys.executable, "-c", textwrap.dedent(CLIENT)]
    return subprocess.run(program, capture_output=True, text=True, env=env, timeout=60)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", NAME])
def test_the_sdk_is_served_with_the_local_ca(secure: Quickstart, host: str) -> None:
    done = run_sdk(secure, host, ca(secure.server))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [secure.organization_id]


def test_the_sdk_does_not_connect_without_it(secure: Quickstart) -> None:
    done = run_sdk(secure, NAME, None)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr


# === Chains and names ===


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", NAME, ADDRESS])
def test_the_certificate_is_for_every_name_it_was_made_for(secure: Quickstart, name: str) -> None:
    with secured(secure.server, trusting(ca(secure.server)), name) as connection:
        assert connection.version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("name", ["other.example", "192.0.2.8", f"sub.{NAME}"])
def test_the_certificate_is_for_no_other_name(secure: Quickstart, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="match"):
        with secured(secure.server, trusting(ca(secure.server)), name):
            pass


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", NAME])
def test_the_chain_is_trusted_by_nobody_without_the_ca(secure: Quickstart, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer|self.signed"):
        with secured(secure.server, trusting(None), name):
            pass


def test_the_ca_of_another_server_is_of_no_use(secure: Quickstart, new_server: StartServer) -> None:
    other = Quickstart.start(new_server(["--tls-self-signed"]))
    with pytest.raises(ssl.SSLCertVerificationError):
        with secured(secure.server, trusting(ca(other.server)), "localhost"):
            pass


def test_what_is_kept_for_tls_is_nobody_elses_to_read(secure: Quickstart) -> None:
    folder = secure.server.data / "tls"
    assert folder.stat().st_mode & 0o777 == 0o700
    files = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert files == dict.fromkeys(["ca.pem", "server.key", "server.pem"], 0o600)


async def test_the_ca_stays_when_the_server_is_started_again(new_server: StartServer) -> None:
    home = Quickstart.start(new_server(["--tls-self-signed"]))
    trusted = ca(home.server).read_bytes()
    await asyncio.to_thread(home.server.stop)
    ready = await asyncio.to_thread(home.server.serve)
    assert ready["ca"] == str(ca(home.server))
    assert ca(home.server).read_bytes() == trusted
    assert await still_serves(home)


# === Protocols ===


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["h2"], "h2"), (["http/1.1"], "http/1.1"), ([], None)],
)
def test_http2_is_chosen_where_it_is_offered(secure: Quickstart, offered: list[str], chosen: str | None) -> None:
    with secured(secure.server, trusting(ca(secure.server), *offered), "localhost") as connection:
        assert connection.selected_alpn_protocol() == chosen


def test_grpc_web_is_spoken_over_http_1(secure: Quickstart) -> None:
    context = trusting(ca(secure.server), "http/1.1")
    connection = http.client.HTTPSConnection("localhost", secure.server.address[1], context=context, timeout=20)
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    try:
        # Twice, on one connection.
        for _ in range(2):
            connection.request("POST", f"/{AUTHENTICATE}", framed(login(secure.operator)), headers)
            answer = connection.getresponse()
            body = answer.read()
            assert (answer.status, answer.version) == (200, 11)
            flag, length = struct.unpack(">BI", body[:5])
            assert (flag, length > 100) == (0, True)
            flag, _ = struct.unpack(">BI", body[5 + length : 10 + length])
            assert flag == 0x80
            assert b"grpc-status:0" in body[10 + length :].replace(b" ", b"")
        connection.request("POST", f"/{AUTHENTICATE}", framed(login(ApiKey(secure.operator.id, "x"))), headers)
        answer = connection.getresponse()
        assert b"grpc-status:16" in answer.read().replace(b" ", b"") or answer.headers["grpc-status"] == "16"
    finally:
        connection.close()


# === New certificates ===


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, and the CA that vouches for it."""

    certificate: bytes
    key: bytes
    ca: Path

    @property
    def der(self) -> bytes:
        # The CA's stands behind it.
        end = "-----END CERTIFICATE-----\n"
        return ssl.PEM_cert_to_DER_cert(self.certificate.decode().partition(end)[0] + end)


@pytest.fixture(scope="module")
def pairs(new_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """Two, as two other servers made them for themselves."""
    made = []
    for number in range(2):
        server: Server = new_server(["--tls-self-signed"])
        Quickstart.start(server)
        server.stop()
        kept = tmp_path_factory.mktemp("pair") / f"ca-{number}.pem"
        shutil.copy(ca(server), kept)
        folder = server.data / "tls"
        made.append(Pair((folder / "server.pem").read_bytes(), (folder / "server.key").read_bytes(), kept))
    return made


def presented(server: Server, pair: Pair) -> bool:
    """Whether a new connection gets this certificate, and can be sure of it."""
    try:
        with secured(server, trusting(pair.ca), "localhost") as connection:
            return connection.getpeercert(binary_form=True) == pair.der
    except ssl.SSLCertVerificationError:
        return False


def within_reload(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + RELOAD_S
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


async def test_changed_certificates_are_taken_over_and_broken_ones_are_not(
    new_server: StartServer, tmp_path: Path, pairs: list[Pair]
) -> None:
    first, second = pairs
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"

    def put(pair: Pair) -> None:
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)

    put(first)
    server: Server = new_server(["--tls-certificate", str(certificate), "--tls-key", str(key)])
    home = Quickstart.start(server)
    # Where the connections of these tests look for it.
    ca(server).parent.mkdir()
    shutil.copy(first.ca, ca(server))
    assert presented(server, first)

    complaints = "the changed certificate cannot be used"

    async def complains(number: int) -> bool:
        return await asyncio.to_thread(within_reload, lambda: server.log().count(complaints) >= number)

    async with connect(server, home.operator) as old:
        put(second)
        assert await asyncio.to_thread(within_reload, lambda: presented(server, second))
        # Whoever was connected still is.
        assert (await old.call("GetRobot", {"id": home.machine_id})).robot.id == home.machine_id

        # It may have seen the one new file before the other.
        before = server.log().count(complaints)
        certificate.write_bytes(b"-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n")
        assert await complains(before + 1)
        assert presented(server, second)
        # One that belongs to another key.
        certificate.write_bytes(first.certificate)
        assert await complains(before + 2)
        assert presented(server, second)
        key.unlink()
        assert await complains(before + 3)
        assert presented(server, second)
        # And whole again.
        put(first)
        assert await asyncio.to_thread(within_reload, lambda: presented(server, first))
        assert (await old.call("GetRobot", {"id": home.machine_id})).robot.id == home.machine_id


@pytest.mark.parametrize("wrong", ["nothing-there", "no-pem", "another-key"])
def test_a_server_does_not_start_with_certificates_it_cannot_use(
    new_server: StartServer, tmp_path: Path, pairs: list[Pair], wrong: str
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    first, second = pairs
    certificate.write_bytes(first.certificate if wrong != "no-pem" else b"not PEM")
    key.write_bytes(second.key if wrong == "another-key" else first.key)
    if wrong == "nothing-there":
        key.unlink()
    server: Server = new_server(["--tls-certificate", str(certificate), "--tls-key", str(key)])
    with pytest.raises(AssertionError, match="did not get ready"):
        server.quickstart()
    named = {"nothing-there": f"`{key}`", "no-pem": f"`{certificate}`", "another-key": "cannot be used together"}
    assert named[wrong] in server.log()
    assert "panicked" not in server.log()


# === Connections that come to nothing ===


def hung_up(connection: socket.socket, within: float) -> bool:
    """Whether the server ends the connection in time, whatever it says before."""
    connection.settimeout(within)
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(
    "spoken",
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", b"POST / HTTP/1.1\r\nhost: x\r\n\r\n", b"\0" * 512],
    ids=["http2", "http1", "zeros"],
)
async def test_plaintext_to_the_tls_port_ends_at_once(secure: Quickstart, spoken: bytes) -> None:
    for _ in range(5):
        with socket.create_connection(endpoint(secure.server)) as connection:
            connection.sendall(spoken)
            assert hung_up(connection, 2)
    assert await still_serves(secure)


async def test_tls_to_the_plaintext_port_ends_at_once(plain: Quickstart) -> None:
    for _ in range(5):
        started = time.monotonic()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            with secured(plain.server, trusting(None), "localhost"):
                pass
        assert time.monotonic() - started < 2
    assert await still_serves(plain)


@pytest.mark.parametrize("kind", ["secure", "plain"])
async def test_connections_without_a_byte_are_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    """Probes of load balancers and port scans."""
    home: Quickstart = request.getfixturevalue(kind)
    complaints = home.server.log().count(" ERROR ")
    for number in range(200):
        with socket.create_connection(endpoint(home.server), timeout=5) as connection:
            if number % 2:
                # Hangs up with a reset rather than a goodbye.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert await still_serves(home)
    log = home.server.log()
    assert log.count(" ERROR ") == complaints
    assert "panicked" not in log


@pytest.mark.parametrize("kind", ["secure", "plain"])
async def test_pings_on_an_idle_connection_are_answered(kind: str, request: pytest.FixtureRequest) -> None:
    """Clients send one every 20 seconds; some servers take that for an attack."""
    home: Quickstart = request.getfixturevalue(kind)
    with ExitStack() as stack:
        if kind == "secure":
            context = trusting(ca(home.server), "h2")
            connection: socket.socket = stack.enter_context(secured(home.server, context, "localhost"))
        else:
            connection = stack.enter_context(socket.create_connection(endpoint(home.server), timeout=5))
        client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        client.initiate_connection()
        for burst in (5, 1, 20):
            answered = 0
            for number in range(burst):
                client.ping(struct.pack(">Q", number))
            connection.sendall(client.data_to_send())
            while answered < burst:
                received = connection.recv(65_536)
                assert received, "hung up on because of pings"
                for event in client.receive_data(received):
                    answered += isinstance(event, h2.events.PingAckReceived)
                    assert not isinstance(event, h2.events.ConnectionTerminated)
                connection.sendall(client.data_to_send())
            await asyncio.sleep(0.5)
    assert await still_serves(home)


async def test_a_handshake_that_stalls_holds_up_nobody_and_is_ended(secure: Quickstart) -> None:
    # The beginning of a greeting: 512 bytes are promised and five are there.
    beginnings = [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03"]
    stalled = []
    try:
        started = time.monotonic()
        for number in range(60):
            connection = socket.create_connection(endpoint(secure.server), timeout=5)
            stalled.append(connection)
            connection.sendall(beginnings[number % 3])
        for _ in range(5):
            began = time.monotonic()
            assert await still_serves(secure)
            assert time.monotonic() - began < 2
        assert time.monotonic() - started < 8, "too slow to say anything about those that stall"
        # They are still there, and not for ever: ten seconds are what a client gets.
        stalled[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            stalled[0].recv(1)
        for connection in stalled:
            assert await asyncio.to_thread(hung_up, connection, max(0.5, started + 14 - time.monotonic()))
    finally:
        for connection in stalled:
            with suppress(OSError):
                connection.close()
    assert await still_serves(secure)
