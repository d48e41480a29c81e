"""The authority's own keys: published, rotated with overlap, ended on purpose, and sealed under another master key."""

import asyncio
import base64
import http.client
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from claviger import BINARY, Server, environment
from claviger_api import WATCH_IDENTITY, connect_api
from fleet import Quickstart
from wire import INVALID_CREDENTIALS, connect, unauthenticated

StartServer = Callable[..., Server]

JWKS, CA = "/.well-known/jwks.json", "/ca.pem"

# How soon a running server has taken over what a command of its own did. It is done before the command answers.
PURPOSES = ["token-mac", "sealing", "external-jwt", "authority-ca", "location-secret"]


def claviger(
    *arguments: str | Path, env: Mapping[str, str] | None = None, status: int = 0
) -> "subprocess.CompletedProcess[str]":
    """Runs a command to its end."""
    done = subprocess.run(
        [BINARY, *arguments], capture_output=True, text=True, env={**environment(), **(env or {})}, timeout=60
    )
    assert done.returncode == status, done.stderr
    assert "panicked" not in done.stderr
    return done


def rotate(server: Server, *options: str) -> list[dict[str, Any]]:
    rotated: list[dict[str, Any]] = json.loads(
        claviger("rotate-keys", "--data", server.data, "--output", "json", *options).stdout
    )
    return rotated


def exchange(server: Server) -> None:
    assert "sealed under the new one" in claviger("exchange-master-key", "--data", server.data).stdout


def fetch(
    server: Server, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """Plain HTTP on the port for callers, without any credential."""
    host, port = "localhost", server.address[1]
    if server.url.startswith("https://"):
        context = ssl.create_default_context(cafile=server.data / "tls" / "ca.pem")
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, port, context=context, timeout=20)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request(method, path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def jwks(server: Server) -> list[dict[str, str]]:
    answer, body = fetch(server, JWKS)
    assert answer.status == 200
    keys: list[dict[str, str]] = json.loads(body)["keys"]
    return keys


def certificates(pem: str) -> list[str]:
    end = "-----END CERTIFICATE-----\n"
    return [part + end for part in pem.split(end) if part.strip()]


def openssl(*arguments: str, given: str) -> str:
    done = subprocess.run(["openssl", *arguments], input=given, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout


# === What is published ===


def test_the_key_set_is_what_machines_check_tokens_with(home: Quickstart) -> None:
    keys = jwks(home.server)
    assert len(keys) >= 1
    for key in keys:
        assert set(key) == {"kty", "alg", "use", "kid", "n", "e"}
        assert (key["kty"], key["alg"], key["use"], key["e"]) == ("RSA", "RS256", "sig", "AQAB")
        modulus = int.from_bytes(base64.urlsafe_b64decode(key["n"] + "=="), "big")
        assert modulus.bit_length() == 2048
        assert "=" not in key["n"]
    # Byte for byte, because configurations of machines hold it.
    assert fetch(home.server, JWKS)[1] == fetch(home.server, JWKS)[1]


@pytest.mark.parametrize(("path", "kind"), [(JWKS, "application/json"), (CA, "application/pem-certificate-chain")])
def test_they_are_for_everybody_and_for_a_minute(home: Quickstart, path: str, kind: str) -> None:
    answer, body = fetch(home.server, path, headers={"origin": "https://console.example"})
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert body
    answer, body = fetch(home.server, path, "HEAD")
    assert (answer.status, body) == (200, b"")
    assert fetch(home.server, path, "POST")[0].status == 405
    preflight = {"origin": "https://console.example", "access-control-request-method": "GET"}
    assert fetch(home.server, path, "OPTIONS", preflight)[0].headers["access-control-allow-origin"] == "*"


def test_what_is_not_served_is_not_there(home: Quickstart) -> None:
    assert fetch(home.server, "/.well-known/other")[0].status == 404
    assert fetch(home.server, f"{CA}/x")[0].status == 404
    # What has no path of its own is for gRPC, and no page of another site can send that unasked.
    for path in ("/", "/viam.app.v1.AppService/ListOrganizations", "/ca"):
        assert fetch(home.server, path)[0].status in (400, 415)


def test_the_ca_is_one_that_clients_can_use(home: Quickstart) -> None:
    pem = fetch(home.server, CA)[1].decode()
    for certificate in certificates(pem):
        text = openssl("x509", "-noout", "-text", given=certificate)
        assert "CA:TRUE, pathlen:0" in text
        assert "prime256v1" in text
        assert "Subject: CN = claviger CA " in text or "Subject: CN=claviger CA " in text
    assert ssl.create_default_context(cadata=pem).cert_store_stats()["x509_ca"] >= 1


def test_its_certificates_chain_to_what_is_published(new_server: StartServer, tmp_path: Path) -> None:
    """The authority's own certificate comes from the CA that certifies parts."""
    server = new_server(["--tls-self-signed", "--tls-names", "authority.example", "--name", "Our fleet"])
    Quickstart.start(server)
    published = fetch(server, CA)[1].decode()
    assert published == (server.data / "tls" / "ca.pem").read_text()
    assert len(certificates(published)) == 1
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=published)
    with socket.create_connection(("127.0.0.1", server.address[1]), timeout=5) as raw:
        with context.wrap_socket(raw, server_hostname="authority.example") as connection:
            seen = connection.getpeercert()
    assert seen is not None
    lasts = ssl.cert_time_to_seconds(seen["notAfter"]) - time.time()
    assert 89 * 86_400 < lasts <= 90 * 86_400
    assert "Our fleet CA" in str(seen["issuer"])
    (tmp_path / "ca.pem").write_text(published)
    chain = (server.data / "tls" / "server.pem").read_text()
    assert certificates(chain)[1:] == certificates(published)
    assert "OK" in openssl("verify", "-x509_strict", "-CAfile", str(tmp_path / "ca.pem"), given=chain)
    # Nothing of the CA's key is on the disk but in the database, sealed.
    assert {path.name for path in (server.data / "tls").iterdir()} == {"ca.pem", "server.pem", "server.key"}


# === Rotation ===


async def test_a_token_from_before_a_rotation_works_after_it(own: Quickstart) -> None:
    server = own.server
    async with connect(server, own.owner) as before:
        keys = jwks(server)
        rotated = await asyncio.to_thread(rotate, server)
        assert [it["purpose"] for it in rotated] == PURPOSES
        assert [it["older"] for it in rotated] == [1, 1, 1, 1, 1]
        assert len({it["id"] for it in rotated}) == len(PURPOSES)
        await before.call("ListOrganizations")
        # The new key is told before it signs, after the old one that signs on.
        assert jwks(server)[:1] == keys
        assert [key["kid"] for key in jwks(server)[1:]] == [it["id"] for it in rotated if it["purpose"] == "external-jwt"]
        assert len(certificates(fetch(server, CA)[1].decode())) == 2
        # Also after a restart, and with tokens of both times.
        async with connect(server, own.operator) as after:
            await after.call("ListOrganizations")
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.serve)
            both = [before.token, after.token]
        published = jwks(server)
    assert len(published) == 2
    for token in both:
        async with connect(server) as again:
            again.token = token
            await again.call("ListOrganizations")


async def test_old_tokens_end_when_that_is_asked_for(own: Quickstart) -> None:
    server = own.server
    async with connect_api(server, own.owner) as before, before.wire.stream(WATCH_IDENTITY, b"") as watched:
        assert await watched.recv_message() is not None
        rotated = await asyncio.to_thread(rotate, server, "--purpose", "token-mac", "--end-old-tokens")
        assert [(it["purpose"], it["older"]) for it in rotated] == [("token-mac", 0)]
        # Nothing is accepted from the moment on at which the command has answered, by calls and by open streams.
        with unauthenticated():
            await before.wire.call("ListOrganizations")
        with pytest.raises(GRPCError) as ended:
            await asyncio.wait_for(watched.recv_message(), 5)
            await asyncio.wait_for(watched.recv_trailing_metadata(), 5)
        assert (ended.value.status, ended.value.message) == (Status.UNAUTHENTICATED, INVALID_CREDENTIALS)
        # The key is as good as before, and signs at once.
        before.wire.token = await before.wire.authenticate(own.owner)
        await before.wire.call("ListOrganizations")


async def test_only_what_is_asked_for_is_rotated_and_ended(own: Quickstart) -> None:
    server = own.server
    keys, ca = jwks(server), fetch(server, CA)[1]
    async with connect(server, own.owner) as wire:
        await asyncio.to_thread(rotate, server, "--purpose", "external-jwt", "--end-old-tokens")
        await wire.call("ListOrganizations")
        assert fetch(server, CA)[1] == ca
        assert len(jwks(server)) == 1
        assert jwks(server) != keys
        keys = jwks(server)
        await asyncio.to_thread(rotate, server, "--purpose", "authority-ca", "--distrust-old-ca")
        assert len(certificates(fetch(server, CA)[1].decode())) == 1
        assert fetch(server, CA)[1] != ca
        assert jwks(server) == keys
        await wire.call("ListOrganizations")


async def test_a_distrusted_ca_is_replaced_while_the_server_runs(new_server: StartServer) -> None:
    home = Quickstart.start(new_server(["--tls-self-signed"]))
    old = (home.server.data / "tls" / "ca.pem").read_text()
    rotate(home.server, "--purpose", "authority-ca")
    await asyncio.sleep(6)
    # Both are to be trusted now, and the old one signs on.
    assert (home.server.data / "tls" / "ca.pem").read_text().startswith(old)
    serves(home.server, old)
    rotate(home.server, "--purpose", "authority-ca", "--distrust-old-ca")
    deadline = time.monotonic() + 12
    while certificates((home.server.data / "tls" / "ca.pem").read_text())[:1] == [old]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    await asyncio.sleep(6)
    serves(home.server, (home.server.data / "tls" / "ca.pem").read_text())
    with pytest.raises(ssl.SSLCertVerificationError):
        serves(home.server, old)


def serves(server: Server, trusted: str) -> None:
    """A new connection is one that who trusts this can be sure of."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=trusted)
    with socket.create_connection(("127.0.0.1", server.address[1]), timeout=5) as raw:
        context.wrap_socket(raw, server_hostname="localhost").close()


def test_a_rotation_that_makes_no_sense_is_refused(own: Quickstart) -> None:
    data = own.server.data
    said = claviger("rotate-keys", "--data", data, "--purpose", "sealing", "--end-old-tokens", status=1).stderr
    assert "error: end_old_tokens: needs one of the purposes token-mac, external-jwt" in said
    said = claviger("rotate-keys", "--data", data, "--purpose", "token-mac", "--distrust-old-ca", status=1).stderr
    assert "error: distrust_old_ca: needs the purpose authority-ca" in said
    said = claviger("rotate-keys", "--data", data, "--purpose", "other", status=2).stderr
    assert "token-mac" in said and "authority-ca" in said
    own.server.stop()
    said = claviger("rotate-keys", "--data", data, status=1).stderr
    assert "is it running on this data folder?" in said


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("--external-token-minutes", "0", "must be 1 to 60"),
        ("--external-token-minutes", "61", "must be 1 to 60"),
        ("--name", "", "must be 1 to 40 printable ASCII characters"),
        ("--name", "ü", "must be 1 to 40 printable ASCII characters"),
    ],
)
def test_settings_that_are_wrong_are_said(tmp_path: Path, option: str, value: str, rule: str) -> None:
    data = tmp_path / "data"
    said = claviger("quickstart", "--data", data, "--listen", "127.0.0.1:0", option, value, status=1).stderr
    assert f"error: {option}: {rule}" in said
    assert not data.exists()


# === The master key ===


async def accepted(server: Server, token: str | None) -> None:
    async with connect(server) as wire:
        wire.token = token
        await wire.call("ListOrganizations")


async def test_everything_is_as_before_under_another_master_key(own: Quickstart, tmp_path: Path) -> None:
    server = own.server
    async with connect(server, own.owner) as wire:
        token = wire.token
    keys, ca = jwks(server), fetch(server, CA)[1]
    said = claviger("exchange-master-key", "--data", server.data, status=1).stderr
    assert "another process" in said or "in use" in said or "uses" in said
    await asyncio.to_thread(server.stop)
    old = (server.data / "master.key").read_text()
    exchange(server)
    new = (server.data / "master.key").read_text()
    assert new != old
    assert (server.data / "master.key").stat().st_mode & 0o777 == 0o600
    assert not (server.data / "master.key.old").exists()
    # The old one opens nothing any more.
    saved = tmp_path / "saved"
    shutil.copytree(server.data, saved)
    (saved / "master.key").write_text(old)
    said = claviger("recover", "--data", saved, status=1).stderr
    assert "this master key does not open what is sealed in the database" in said
    await asyncio.to_thread(server.serve)
    await accepted(server, token)
    assert (jwks(server), fetch(server, CA)[1]) == (keys, ca)
    head = claviger("audit", "verify", "--data", saved).stdout
    assert ":" in head


async def test_a_key_from_the_environment_is_exchanged_too(own: Quickstart, tmp_path: Path) -> None:
    server = own.server
    async with connect(server, own.owner) as wire:
        token = wire.token
    await asyncio.to_thread(server.stop)
    key = (server.data / "master.key").read_text().strip()
    (server.data / "master.key").unlink()
    env, out = {"CLAVIGER_MASTER_KEY": key}, tmp_path / "new.key"
    command = ("exchange-master-key", "--data", server.data)
    assert "give --out FILE" in claviger(*command, env=env, status=1).stderr
    out.write_text("mine")
    assert "exists already" in claviger(*command, "--out", out, env=env, status=1).stderr
    assert out.read_text() == "mine"
    out.unlink()
    claviger(*command, "--out", out, env=env)
    (server.data / "master.key").write_text(out.read_text())
    assert "--out is for a master key" in claviger(*command, "--out", tmp_path / "x", status=1).stderr
    await asyncio.to_thread(server.serve)
    await accepted(server, token)


def restores(server: Server, tmp_path: Path, name: str, *options: str | Path) -> Path:
    """A restore to a folder of its own."""
    data = tmp_path / name
    claviger("restore", "--data", data, "--from", tmp_path / "backup", *options)
    return data


def test_a_backup_from_before_opens_with_the_key_of_its_time(own: Quickstart, tmp_path: Path) -> None:
    server = own.server
    claviger(
        "backup", "--data", server.data, "--out", tmp_path / "backup", "--master-key-out", tmp_path / "old.key"
    )
    seq = json.loads(claviger("status", "--data", server.data, "--output", "json").stdout)["seq"]
    server.stop()
    exchange(server)
    shutil.copy(server.data / "master.key", tmp_path / "new.key")
    server.serve()
    journal = tmp_path / "journal"
    claviger("export-journal", "--data", server.data, "--after", str(seq), "--out", journal)
    restores(server, tmp_path, "then", "--master-key", tmp_path / "old.key")
    # What was written since holds the exchange.
    restores(server, tmp_path, "now", "--master-key", tmp_path / "new.key", "--replay", journal)
    wrong = ("restore", "--data", tmp_path / "no", "--from", tmp_path / "backup", "--master-key")
    assert "does not open" in claviger(*wrong, tmp_path / "new.key", status=1).stderr
    assert "does not open" in claviger(*wrong, tmp_path / "old.key", "--replay", journal, status=1).stderr


async def test_an_exchange_that_is_killed_leaves_a_folder_that_opens(own: Quickstart) -> None:
    server = own.server
    async with connect(server, own.owner) as wire:
        token = wire.token
    keys = jwks(server)
    await asyncio.to_thread(server.stop)
    began = time.monotonic()
    exchange(server)
    takes = time.monotonic() - began
    dice, killed = random.Random(7), 0
    for _ in range(25):
        command = [BINARY, "exchange-master-key", "--data", server.data]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
        await asyncio.sleep(dice.random() * takes)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        await asyncio.to_thread(server.serve)
        await accepted(server, token)
        assert jwks(server) == keys
        assert not (server.data / "master.key.old").exists()
        await asyncio.to_thread(server.stop)
    assert killed > 5
