"""The net that every server's logs and disk are held to has no hole."""

import asyncio
import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from grpclib.exceptions import GRPCError

import canary
from claviger import ApiKey, Server
from fleet import Quickstart, grant, new_key
from keyform import PREFIX, forged
from wire import AUTHENTICATE, authorization, connect, sdk

VALUE = forged(seed=1)
RANDOM_PART = VALUE.removeprefix(PREFIX).encode()


@pytest.mark.parametrize(
    "leak",
    [
        VALUE.encode(),
        VALUE[:24].encode(),
        RANDOM_PART,
        RANDOM_PART.hex().encode(),
        base64.b64encode(VALUE.encode()),
        base64.b64encode(b"x" + VALUE.encode()),
        base64.urlsafe_b64encode(b"xy" + VALUE.encode()),
    ],
    ids=["whole", "half", "without-prefix", "hexadecimal", "base64-0", "base64-1", "base64-2"],
)
@pytest.mark.parametrize("place", ["log", "data"])
def test_a_planted_value_is_found(tmp_path: Path, place: str, leak: bytes) -> None:
    canary.remember(VALUE)
    log, data = tmp_path / "log", tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    files = {"log": log, "data": data / "deep" / "claviger.db-wal"}
    for file in files.values():
        file.write_bytes(b"")
    files[place].write_bytes(b"\0\xff before " + leak + b" after")

    finds = canary.finds([log], data)
    assert {find.path for find in finds} == {files[place]}
    assert all(VALUE not in repr(find) for find in finds)


def test_a_hash_belongs_on_the_disk_and_not_in_a_log(tmp_path: Path) -> None:
    canary.remember(VALUE)
    (tmp_path / "data").mkdir()
    for file in (tmp_path / "log", tmp_path / "data" / "claviger.db"):
        file.write_text(hashlib.sha256(VALUE.encode()).hexdigest())
    assert [find.path.name for find in canary.finds([tmp_path / "log"], tmp_path / "data")] == ["log"]


async def test_secrets_in_replies_are_remembered(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner:
        assert canary.knows(owner._metadata["authorization"].removeprefix("Bearer "))
        value, _ = await owner.create_key(
            home.organization_id, [grant("operator", "robot", home.machine_id)], "watched by nobody but the net"
        )
    assert canary.knows(value)


def test_a_key_does_not_print_its_value() -> None:
    assert VALUE not in f"{ApiKey('id', VALUE)}"


async def test_not_even_the_most_talkative_log_has_a_secret(new_server: Callable[..., Server]) -> None:
    talkative = Quickstart.start(new_server(["--log", "trace"]))
    access = grant("operator", "robot", talkative.machine_id)
    async with sdk(talkative.server, talkative.owner) as owner, connect(talkative.server) as wire:
        key = await new_key(owner, talkative.organization_id, access)
        rotated = ApiKey.from_sdk(await owner.rotate_key(key.id))
        ApiKey.from_sdk(await owner.create_key_from_existing_key_authorizations(key.id))
        assert (await wire.accepts(rotated), await wire.accepts(key)) == (True, False)
        # Secrets in places where they do not belong: none of them may be echoed.
        canary.remember(guess := forged(seed=2))
        requests: list[tuple[str, dict[str, Any]]] = [
            ("RotateKey", {"id": guess}),
            ("CreateKey", {"name": "x", "authorizations": [authorization("owner", "robot", guess)]}),
            ("GetLocation", {"location_id": guess}),
            (AUTHENTICATE, {"entity": guess, "credentials": {"type": "api-key", "payload": guess}}),
            (AUTHENTICATE, {"entity": guess, "credentials": {"type": guess, "payload": guess}}),
        ]
        for token in (guess, await wire.authenticate(rotated)):
            wire.token = token
            for method, request in requests:
                with pytest.raises(GRPCError) as caught:
                    await wire.call(method, request, metadata=[] if method == AUTHENTICATE else None)
                assert guess not in (caught.value.message or "")
    assert "TRACE" in talkative.server.log()
    # Which looks for all of them.
    await asyncio.to_thread(talkative.server.stop)
