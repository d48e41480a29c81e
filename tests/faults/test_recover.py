"""What the person at the server does while it is stopped, and what keeps two from doing it at once."""

import asyncio
import json
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from claviger import ApiKey
from conftest import NewVictim
from database import rows
from fleet import ABSENT_UUID, Quickstart
from grpclib.const import Status
from victim import Command, Victim, claviger, done, fails, made_key, verify
from wire import authorization, connect, refused


def entries(victim: Victim, to: Path) -> list[dict[str, Any]]:
    """The exported journal, each line with the entry that it carries."""
    done("export-journal", "--data", victim.data, "--out", to)
    *lines, end = map(json.loads, to.read_text().splitlines())
    assert end["complete_to"] == len(lines)
    return [json.loads(line["entry"]) for line in lines]


# === recover ===


async def test_a_lost_owner_key_is_made_up_for(victim: Victim, fleet: Quickstart, tmp_path: Path) -> None:
    victim.stop()
    recovered = made_key("recover", "--data", victim.data)
    victim.start()
    async with connect(victim, recovered) as wire:
        # An owner of the organization, who ends the lost key.
        assert await wire.accepts(fleet.owner)
        await wire.call("DeleteKey", {"id": fleet.owner.id})
        assert not await wire.accepts(fleet.owner)
        keys = (await wire.call("ListKeys", {"org_id": fleet.organization_id})).api_keys
        assert [it.api_key.name for it in keys if it.api_key.id == recovered.id] == ["recovered-owner"]
        grants = [authorization("owner", "organization", fleet.organization_id)]
        await wire.call("CreateKey", {"name": "another", "authorizations": grants})
    journal = entries(victim, tmp_path / "journal")
    made = [entry for entry in journal if entry["via"] == "claviger recover"]
    assert len(made) == 1
    assert made[0]["actor"] == "system"
    (change,) = made[0]["changes"]
    assert (change["kind"], change["id"], change["value"]["name"]) == ("key", recovered.id, "recovered-owner")
    # It says who did what the recovered key did afterwards.
    assert recovered.id in json.dumps(journal[-1]["actor"])
    assert recovered.value not in (tmp_path / "journal").read_text()


def test_the_key_is_shown_once_to_people_too(victim: Victim) -> None:
    victim.found()
    victim.stop()
    said = done("recover", "--data", victim.data)
    id, value = (line.partition(": ")[2] for line in said.out.splitlines())
    assert ApiKey.from_json({"id": id, "key": value}).value.startswith("clvk_")
    assert "shown once and stored nowhere" in said.err
    assert value not in said.err


def test_not_while_the_server_runs(victim: Victim, fleet: Quickstart) -> None:
    head = victim.head()
    stops = ["claviger.db` is in use: only one process may have a journal open. Stop the other one"]
    fails("recover", "--data", victim.data, says=stops)
    fails("init", "--data", victim.data, "--organization", "x", says=stops)
    fails("audit", "verify", "--data", victim.data, says=stops)
    fails("restore", "confirm", "--data", victim.data, says=stops)
    assert victim.head() == head
    # The command that is named in the error tells which process it is.
    asked = claviger("status", "--data", victim.data)
    assert asked.status == 0


async def test_one_of_several_organizations_is_named(victim: Victim, fleet: Quickstart) -> None:
    victim.stop()
    neighbours = victim.init("neighbours")
    ids = [fleet.organization_id, neighbours.id]
    fails("recover", "--data", victim.data, says=["several organizations: give --organization-id", *ids, "neighbours"])
    wanted: Command = ["recover", "--data", victim.data, "--organization-id"]
    recovered = made_key(*wanted, neighbours.id)
    fails(*wanted, ABSENT_UUID, says=["organization"])
    fails(*wanted, "x", says=["--organization-id"])
    victim.start()
    async with connect(victim, recovered) as wire:
        keys = (await wire.call("ListKeys", {"org_id": neighbours.id})).api_keys
        assert {it.api_key.id for it in keys} == {neighbours.owner.id, recovered.id}
        with refused(Status.NOT_FOUND):
            await wire.call("ListKeys", {"org_id": fleet.organization_id})


def test_nothing_is_recovered_from_nothing(tmp_path: Path) -> None:
    for command in (["recover"], ["serve", "--listen", "127.0.0.1:0"], ["audit", "verify"], ["restore", "confirm"]):
        fails(*command, "--data", tmp_path / "data", says=["there is no journal at", "check the path"])
    assert not (tmp_path / "data").exists()


# === init ===


async def test_init_makes_an_organization(victim: Victim) -> None:
    made = victim.init("Plant 7")
    victim.start()
    async with connect(victim, made.owner) as wire:
        organizations = (await wire.call("ListOrganizations")).organizations
        assert [(it.id, it.name) for it in organizations] == [(made.id, "Plant 7")]


@pytest.mark.parametrize("name", ["", " ", "x" * 1_000, "a\nb"], ids=["empty", "blank", "long", "two lines"])
def test_a_name_that_is_none_is_refused(victim: Victim, name: str) -> None:
    victim.init("first")
    before = verify(victim.data)
    fails("init", "--data", victim.data, "--organization", name, says=["--organization"])
    assert verify(victim.data) == before


# === The master key ===


def test_without_its_master_key_it_does_not_start(victim: Victim, fleet: Quickstart) -> None:
    victim.stop()
    key = victim.data / "master.key"
    text = key.read_text()
    key.unlink()
    for command in (["serve", "--listen", "127.0.0.1:0"], ["recover"], ["init", "--organization", "x"]):
        fails(
            *command,
            "--data",
            victim.data,
            says=[f"the master key `{key}` is missing: put it back", "--new-master-key", "log in again"],
        )
    assert not key.exists()
    key.write_text("x")
    fails("recover", "--data", victim.data, says=["does not hold a master key: it must be 32 bytes in base64"])
    key.write_text(text)
    victim.start()


async def test_the_environment_may_hold_the_master_key(
    victim: Victim, fleet: Quickstart, new_victim: NewVictim
) -> None:
    async with connect(victim, fleet.owner) as wire:
        token = wire.token
    await asyncio.to_thread(victim.stop)
    key = victim.data / "master.key"
    env = {"CLAVIGER_MASTER_KEY": key.read_text().strip()}
    key.unlink()
    made_key("recover", "--data", victim.data, env=env)
    victim.start("serve", env=env)
    async with connect(victim) as wire:
        wire.token = token
        await wire.call("ListOrganizations")
    assert not key.exists()
    await asyncio.to_thread(victim.stop)

    # It comes before the file, also where it is the wrong one.
    other = new_victim()
    other.found()
    other.stop()
    fails(
        "recover", "--data", other.data, env=env, says=["this master key does not open what is sealed in the database"]
    )
    malformed = {"CLAVIGER_MASTER_KEY": "c2VjcmV0"}
    error = fails(
        "recover", "--data", other.data, env=malformed, says=["CLAVIGER_MASTER_KEY does not hold a master key"]
    )
    assert "c2VjcmV0" not in error


async def test_a_first_start_with_a_master_key_writes_none(victim: Victim, new_victim: NewVictim) -> None:
    other = new_victim()
    other.found()
    env = {"CLAVIGER_MASTER_KEY": (other.data / "master.key").read_text().strip()}
    victim.start("quickstart", env=env)
    assert not (victim.data / "master.key").exists()
    victim.stop()
    fails("serve", "--data", victim.data, "--listen", "127.0.0.1:0", says=["is missing"])
    victim.start("serve", env=env)


# === One at a time ===


@pytest.mark.parametrize("through", ["itself", "folder link", "file link"])
def test_a_second_server_on_the_same_data_is_refused(victim: Victim, tmp_path: Path, through: str) -> None:
    victim.found()
    data = victim.data
    if through == "folder link":
        data = tmp_path / "link"
        data.symlink_to(victim.data)
    if through == "file link":
        data = tmp_path / "other"
        data.mkdir()
        for path in victim.data.iterdir():
            (data / path.name).symlink_to(path)
    for command in ("serve", "quickstart"):
        fails(command, "--data", data, "--listen", "127.0.0.1:0", says=["is in use", "Stop the other one"])
    # The first one is none the worse for it.
    assert victim.head()
    victim.stop()


async def test_a_crash_leaves_no_lock(victim: Victim, fleet: Quickstart) -> None:
    victim.kill()
    assert (victim.data / "claviger.db.lock").exists()
    assert (victim.data / "claviger.sock").exists()
    victim.start()
    async with connect(victim, fleet.owner) as wire:
        assert await wire.accepts(fleet.operator)


def test_the_address_is_taken(victim: Victim, fleet: Quickstart, new_victim: NewVictim) -> None:
    other = new_victim()
    address = ":".join(map(str, ("127.0.0.1", victim.address[1])))
    fails("quickstart", "--data", other.data, "--listen", address, says=[f"cannot listen on `{address}`", "in use"])


# === Who may read it ===


def modes(data: Path) -> dict[str, int]:
    paths = [path for path in data.rglob("*")]
    return {str(path.relative_to(data)): stat.S_IMODE(path.stat().st_mode) for path in paths}


def test_only_its_owner_may_read_the_data(victim: Victim, tmp_path: Path) -> None:
    # As a careless administrator would have it.
    victim.start("quickstart", "--tls-self-signed", under=["sh", "-c", 'umask 0; exec "$@"', "sh"])
    assert stat.S_IMODE(victim.data.stat().st_mode) == 0o700
    running = modes(victim.data)
    expected = {"claviger.db", "claviger.db-wal", "claviger.db-shm", "claviger.db.lock", "claviger.sock"}
    assert expected | {"master.key", "master.mark"} <= running.keys()
    assert {name: oct(mode) for name, mode in running.items() if mode not in (0o600, 0o700)} == {}
    assert {name for name, mode in running.items() if mode == 0o700} == {"files", "files/modules", "tls"}
    victim.stop()
    assert not (victim.data / "claviger.sock").exists()


def test_what_others_could_read_they_cannot_any_more(victim: Victim, fleet: Quickstart) -> None:
    victim.kill()
    for name in ("claviger.db", "claviger.db-wal"):
        (victim.data / name).chmod(0o644)
    victim.start()
    assert "others could read the journal; now they cannot" in victim.log_file.read_text()
    assert {modes(victim.data)[name] for name in ("claviger.db", "claviger.db-wal", "claviger.db-shm")} == {0o600}


# === Databases of others ===


def execute(database: Path, statement: str) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(statement)
    connection.close()


def test_a_newer_schema_is_refused(victim: Victim, fleet: Quickstart) -> None:
    victim.stop()
    ((known,),) = rows(victim.database, "PRAGMA user_version")
    execute(victim.database, f"PRAGMA user_version = {known + 1}")
    before = victim.database.read_bytes()
    says = [f"has schema {known + 1}, and this version knows schemas up to {known}", "newer one"]
    serve = ["serve", "--listen", "127.0.0.1:0"]
    for command in (serve, ["recover"], ["init", "--organization", "x"], ["audit", "verify"], ["restore", "confirm"]):
        fails(*command, "--data", victim.data, says=says)
    assert victim.database.read_bytes() == before
    execute(victim.database, f"PRAGMA user_version = {known}")
    victim.start()


def test_a_database_of_something_else_is_left_alone(victim: Victim) -> None:
    victim.data.mkdir()
    execute(victim.database, "CREATE TABLE precious (id)")
    before = victim.database.read_bytes()
    for command in ("serve", "quickstart"):
        says = ["is not a journal: it is a database of something else. Nothing in it was changed"]
        fails(command, "--data", victim.data, "--listen", "127.0.0.1:0", says=says)
    assert victim.database.read_bytes() == before


def test_a_damaged_database_is_said(victim: Victim, fleet: Quickstart) -> None:
    victim.stop()
    content = bytearray(victim.database.read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096 : page * 4096 + 16] = b"\xff" * 16
    victim.database.write_bytes(content)
    fails("serve", "--data", victim.data, "--listen", "127.0.0.1:0", says=["is damaged: restore the last backup"])


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM journal WHERE seq = 1", "entry 1 is missing"),
        (
            "UPDATE journal SET entry = replace(entry, 'My organization', 'Yours') WHERE entry LIKE '%My organization%'",
            "does not follow",
        ),
        ("UPDATE journal SET at = at + 1 WHERE seq = 1", "entry 1 does not follow"),
        ("UPDATE record SET seq = 99 WHERE kind = 'location'", "names entry 99, which is not in the journal"),
    ],
)
def test_an_edited_journal_does_not_verify(victim: Victim, statement: str, says: str) -> None:
    victim.found()
    victim.stop()
    verify(victim.data)
    execute(victim.database, statement)
    fails("audit", "verify", "--data", victim.data, says=[says])


def test_a_journal_is_held_to_a_head_from_before(victim: Victim, fleet: Quickstart) -> None:
    victim.stop()
    head = verify(victim.data)
    made_key("recover", "--data", victim.data)
    later = verify(victim.data, expect=head)
    execute(victim.database, "DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)")
    execute(victim.database, "DELETE FROM record WHERE seq > (SELECT max(seq) FROM journal)")
    assert verify(victim.data) == head
    verb: Command = ["audit", "verify", "--data", victim.data, "--expect"]
    fails(*verb, later, says=["its end was cut off"])
    fails(*verb, f"{head.partition(':')[0]}:{'ab' * 32}", says=["the journal was written anew"])
    malformed = claviger(*verb, "x")
    assert malformed.status == 2 and "must be SEQ:HASH" in malformed.err
