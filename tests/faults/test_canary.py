"""A key's value exists once: it is in no file that the authority writes, however talkative it is.

Every server of the fault tests is held to that when it stops. Here it is asked for everything that has a value or a
token in it, and all that it leaves behind is looked at while it runs, after it was killed, and in its backup and its
export. What finds the secrets is tested in the end-to-end tests; here it has to find one in these very files.
"""

import base64
import json
import re
import shutil
from pathlib import Path

import canary
import pytest
from claviger import ApiKey
from fleet import Quickstart
from keyform import PREFIX, forged, with_flipped_case
from victim import Victim, claviger, done, made_key
from wire import AUTHENTICATE, Wire, authorization, connect

TALKATIVE = ("--log", "trace", "--log-format", "json")
ROUNDS = 12


async def use_many_values(fleet: Quickstart, wire: Wire) -> list[str]:
    """Creates, rotates, copies, exchanges and guesses keys. Returns the secrets, of which there are two each round
    for each way that makes one."""
    secrets = []
    grants = [authorization("operator", "robot", fleet.machine_id)]
    for number in range(ROUNDS):
        created = await wire.call("CreateKey", {"name": f"key {number}", "authorizations": grants})
        copied = await wire.call("CreateKeyFromExistingKeyAuthorizations", {"id": created.id})
        rotated = await wire.call("RotateKey", {"id": created.id})
        keys = [ApiKey(created.id, created.key), ApiKey(copied.id, copied.key), ApiKey(created.id, rotated.key)]
        secrets += [key.value for key in keys]
        secrets += [await wire.authenticate(key) for key in keys[1:]]
        assert not await wire.accepts(keys[0])
        for guess in (forged(seed=number), with_flipped_case(created.key), created.key[:-1], created.key + "\n"):
            canary.remember(guess)
            assert not await wire.accepts(ApiKey(created.id, guess))
        await wire.call("DeleteKey", {"id": copied.id})
    return secrets


@pytest.fixture
def talkative(victim: Victim) -> Quickstart:
    return victim.found(*TALKATIVE)


async def test_no_secret_is_in_any_file(victim: Victim, talkative: Quickstart, tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.mkdir()
    async with connect(victim, talkative.owner) as wire:
        secrets = await use_many_values(talkative, wire)
    assert len(set(secrets)) == 5 * ROUNDS
    assert all(canary.knows(secret) for secret in secrets)
    done("backup", "--data", victim.data, "--out", left / "backup", "--master-key-out", left / "master")
    done("export-journal", "--data", victim.data, "--out", left / "journal")
    running = {path.name for path in victim.data.iterdir() if path.is_file()}
    assert {"claviger.db", "claviger.db-wal", "claviger.db-shm", "master.mark"} <= running
    assert canary.finds(victim.log_files(), victim.data) == []
    assert canary.finds(victim.log_files(), left) == []
    victim.kill()
    assert canary.finds(victim.log_files(), victim.data) == []

    # Those that commands print are nowhere else either.
    secrets.append(made_key("recover", "--data", victim.data).value)
    secrets.append(victim.init("another").owner.value)
    restored = tmp_path / "restored"
    done("restore", "--data", restored, "--from", left / "backup", "--master-key", left / "master")
    for folder in (victim.data, restored):
        assert canary.finds(victim.log_files(), folder) == []

    # The log was as talkative as it gets, and in the form that is the easiest to search.
    log = victim.log_files()[0].read_text()
    levels = {json.loads(line)["level"] for line in log.splitlines()}
    assert {"TRACE", "DEBUG", "INFO"} <= levels

    # The search finds each of these, in each of these files.
    silent = tmp_path / "silent"
    silent.write_text("nothing\n")
    for number, secret in enumerate(secrets):
        sources = sorted(path for path in [*left.iterdir(), *victim.data.iterdir()] if path.is_file())
        plant = tmp_path / "plant" / sources[number % len(sources)].name
        plant.parent.mkdir(exist_ok=True)
        content = sources[number % len(sources)].read_bytes()
        half = len(content) // 2
        plant.write_bytes(content[:half] + secret.encode() + content[half:])
        assert {find.path for find in canary.finds([silent], plant.parent)} == {plant}
        shutil.rmtree(plant.parent)


def test_no_error_repeats_a_secret(victim: Victim, talkative: Quickstart) -> None:
    """One that is where a master key or an id belongs."""
    secret = talkative.owner.value
    assert secret.startswith(PREFIX)
    victim.stop()
    outcome = claviger("recover", "--data", victim.data, env={"CLAVIGER_MASTER_KEY": secret})
    assert outcome.status == 1 and "CLAVIGER_MASTER_KEY does not hold a master key" in outcome.err
    assert secret not in outcome.err
    outcome = claviger("recover", "--data", victim.data, "--organization-id", secret)
    assert outcome.status == 1 and "--organization-id" in outcome.err
    assert secret not in outcome.err
    (victim.data / "master.key").write_text(secret)
    outcome = claviger("recover", "--data", victim.data)
    assert outcome.status == 1 and "does not hold a master key" in outcome.err
    assert secret not in outcome.err


async def test_the_master_key_is_in_no_other_file(victim: Victim, talkative: Quickstart, tmp_path: Path) -> None:
    backup, journal = tmp_path / "backup", tmp_path / "journal"
    done("backup", "--data", victim.data, "--out", backup)
    done("export-journal", "--data", victim.data, "--out", journal)
    key = (victim.data / "master.key").read_text().strip()
    forms = [key.encode(), base64.b64decode(key), base64.b64decode(key).hex().encode()]
    files = [path for path in victim.data.iterdir() if path.is_file() and path.name != "master.key"]
    for path in [*files, *victim.log_files(), backup, journal]:
        content = path.read_bytes()
        assert not any(form in content for form in forms), path.name
    assert any(form in (victim.data / "master.key").read_bytes() for form in forms)


async def test_the_authorization_header_is_in_no_log(victim: Victim, talkative: Quickstart) -> None:
    """Also one that is no token of ours: it may be somebody else's."""
    strangers = "Bearer eyJhbGciOiJIUzI1NiJ9.c3RyYW5nZXI.c2lnbmF0dXJl"
    canary.remember(strangers.removeprefix("Bearer "))
    async with connect(victim) as wire:
        for header in (strangers, strangers.removeprefix("Bearer "), f"Basic {strangers}"):
            with pytest.raises(Exception, match="invalid credentials"):
                await wire.call("ListOrganizations", metadata=[("authorization", header)])
        with pytest.raises(Exception, match="already authenticated"):
            await wire.call(AUTHENTICATE, {"entity": "x"}, metadata=[("authorization", strangers)])
    assert canary.finds(victim.log_files(), victim.data) == []
    # The requests themselves are there.
    assert re.search(r'"/?viam.app.v1.AppService/ListOrganizations"', victim.log())
