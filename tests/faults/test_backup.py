"""Backups, and coming back from one without pretending to know what happened since."""

import asyncio
import json
import shutil
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import strace
from claviger import BINARY, ApiKey
from conftest import NewVictim
from database import counted, recorded, rows
from fleet import Quickstart
from victim import Command, Victim, claviger, done, fails, get, verify
from wire import Wire, authorization, connect, unauthenticated

UNCONFIRMED = "claviger restore confirm"
NOT_READY = (503, "the state waits to be confirmed: claviger restore confirm\n")


# === An authority with a past ===


@dataclass(frozen=True)
class Saved:
    """A backup, what was exported beside it, and what has happened since."""

    fleet: Quickstart
    backup: Path
    master_key: Path
    # All entries, and those since the backup.
    journal: Path
    journal_since: Path
    # The head at the time of the backup, and at the end.
    head: str
    last_head: str
    at: str
    doomed: ApiKey
    turned: ApiKey
    turned_later: ApiKey
    newcomer: ApiKey
    token: str

    @property
    def victim(self) -> Victim:
        assert isinstance(self.fleet.server, Victim)
        return self.fleet.server


async def create(wire: Wire, fleet: Quickstart, name: str) -> ApiKey:
    grants = [authorization("operator", "robot", fleet.machine_id)]
    reply = await wire.call("CreateKey", {"name": name, "authorizations": grants})
    return ApiKey(reply.id, reply.key)


@pytest.fixture
def saved(victim: Victim, tmp_path: Path) -> Saved:
    return asyncio.run(make_history(victim, tmp_path))


async def make_history(victim: Victim, folder: Path) -> Saved:
    fleet = victim.found()
    backup, master_key = folder / "backup", folder / "master"
    journal, journal_since = folder / "journal", folder / "journal-since"
    async with connect(victim, fleet.owner) as wire:
        doomed, turned = await create(wire, fleet, "doomed"), await create(wire, fleet, "turned")
        token = await wire.authenticate(fleet.operator)
        head = victim.head()
        done("backup", "--data", victim.data, "--out", backup, "--master-key-out", master_key)
        await wire.call("DeleteKey", {"id": doomed.id})
        turned_later = ApiKey(turned.id, (await wire.call("RotateKey", {"id": turned.id})).key)
        newcomer = await create(wire, fleet, "newcomer")
        last_head = victim.head()
        done("export-journal", "--data", victim.data, "--out", journal)
        done("export-journal", "--data", victim.data, "--out", journal_since, "--after", head.partition(":")[0])
    micros = rows(backup, "SELECT at FROM journal ORDER BY seq DESC LIMIT 1")[0][0]
    at = rows(backup, f"SELECT strftime('%Y-%m-%dT%H:%M:%S', {micros} / 1000000, 'unixepoch')")[0][0]
    keys = (doomed, turned, turned_later, newcomer)
    return Saved(fleet, backup, master_key, journal, journal_since, head, last_head, at, *keys, token)


def restore(saved: Saved, to: Victim, *options: str | Path) -> str:
    """Restores the backup and returns what is said about it."""
    from_backup: Command = ["--from", saved.backup, "--master-key", saved.master_key]
    outcome = done("restore", "--data", to.data, *from_backup, *options)
    assert outcome.out.startswith("Restored the state of ")
    return outcome.out + outcome.err


def start(victim: Victim) -> str:
    """Starts, and returns the address of the page with its health."""
    observe_url: str = victim.start("serve", "--observe", "127.0.0.1:0")["observe_url"]
    return observe_url


async def accepted(wire: Wire, **keys: ApiKey) -> set[str]:
    return {name for name, key in keys.items() if await wire.accepts(key)}


async def as_of_the_backup(saved: Saved, victim: Victim) -> None:
    """Which keys work: those of the moment of the backup, also the one revoked since. That is the loss."""
    async with connect(victim) as wire:
        works = await accepted(
            wire,
            owner=saved.fleet.owner,
            operator=saved.fleet.operator,
            doomed=saved.doomed,
            turned=saved.turned,
            turned_later=saved.turned_later,
            newcomer=saved.newcomer,
        )
        assert works == {"owner", "operator", "doomed", "turned"}
    await tokens_are_void(saved, victim)


async def tokens_are_void(saved: Saved, victim: Victim) -> None:
    async with connect(victim) as wire:
        wire.token = saved.token
        with unauthenticated():
            await wire.call("ListOrganizations")
        wire.token = await wire.authenticate(saved.fleet.operator)
        await wire.call("ListOrganizations")


async def nothing_is_accepted(saved: Saved, victim: Victim) -> None:
    async with connect(victim) as wire:
        keys = {"owner": saved.fleet.owner, "operator": saved.fleet.operator, "doomed": saved.doomed}
        assert await accepted(wire, **keys) == set()
        wire.token = saved.token
        with unauthenticated():
            await wire.call("ListOrganizations")


def contents(folder: Path) -> dict[str, bytes]:
    """What stands in a data directory. The lock of a database is left there on purpose, and empty."""
    if not folder.exists():
        return {}
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.suffix != ".lock"}


# === Making one ===


async def test_a_backup_is_made_while_changes_go_on(victim: Victim, tmp_path: Path) -> None:
    fleet = victim.found()
    acknowledged: list[str] = []
    stop = asyncio.Event()

    async def write(wire: Wire, number: int) -> None:
        while not stop.is_set():
            acknowledged.append((await create(wire, fleet, f"key-{number}-{len(acknowledged)}")).id)

    def back_up(number: int) -> tuple[Path, set[str], str]:
        before, out = set(acknowledged), tmp_path / f"backup-{number}"
        said = json.loads(done("backup", "--data", victim.data, "--out", out, "--output", "json").out)
        assert said["size_bytes"] == out.stat().st_size
        return out, before, f"{said['seq']}:{said['hash']}"

    async with connect(victim, fleet.owner) as wire:
        writing = [asyncio.create_task(write(wire, number)) for number in range(8)]
        copies: list[tuple[Path, set[str], str]] = []
        for number in range(0, 6, 2):
            # Two at a time.
            pair = (asyncio.to_thread(back_up, number), asyncio.to_thread(back_up, number + 1))
            copies += await asyncio.gather(*pair)
            await asyncio.sleep(0.1)
        stop.set()
        await asyncio.gather(*writing)

    for number, (copy, before, head) in enumerate(copies):
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        keys = {id for kind, id in recorded(copy) if kind == "key"}
        assert before <= keys
        assert counted(copy) == recorded(copy)
        # Restored, it verifies, and ends where the backup said; the restore adds the entry that ends the tokens.
        to = tmp_path / f"restored-{number}"
        done("restore", "--data", to, "--from", copy, "--master-key", victim.data / "master.key")
        assert verify(to, expect=head).partition(":")[0] == str(int(head.partition(":")[0]) + 1)
    assert {len(before) for _, before, _ in copies} != {0}, "nothing was written before a backup began"
    assert len(acknowledged) > len(copies[-1][1]), "nothing was written while the last backup was made"
    assert list(victim.data.glob("backup*")) == []


def test_nothing_is_overwritten(saved: Saved, tmp_path: Path) -> None:
    data, free, taken = saved.victim.data, tmp_path / "free", tmp_path / "taken"
    assert stat.S_IMODE(saved.master_key.stat().st_mode) == 0o600
    assert saved.master_key.read_text() == (data / "master.key").read_text()
    for path in (saved.journal, saved.journal_since):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    taken.write_text("precious")
    fails("backup", "--data", data, "--out", taken, says=["taken` exists already"])
    fails("backup", "--data", data, "--out", free, "--master-key-out", taken, says=["taken` exists already"])
    assert not free.exists()
    fails("export-journal", "--data", data, "--out", taken, says=["taken` exists already"])
    assert taken.read_text() == "precious"


def test_one_name_for_both_is_refused(saved: Saved, tmp_path: Path) -> None:
    """The second of the two would replace the first."""
    both = tmp_path / "both"
    fails("backup", "--data", saved.victim.data, "--out", both, "--master-key-out", both, says=["must be two files"])


def test_without_a_running_authority_there_is_none(saved: Saved, tmp_path: Path) -> None:
    saved.victim.stop()
    for command in ("backup", "export-journal"):
        out = ("--out", tmp_path / "out")
        fails(command, "--data", saved.victim.data, *out, says=["no authority answers", "is it running"])
    assert not (tmp_path / "out").exists()


# === Coming back ===


async def test_no_key_is_accepted_until_somebody_confirms(saved: Saved, new_victim: NewVictim) -> None:
    to = new_victim()
    said = restore(saved, to)
    seq = saved.head.partition(":")[0]
    assert f"Restored the state of {saved.at}" in said
    assert f"(entry {seq}); all tokens are void" in said
    assert "It cannot know what happened since: keys revoked after that would work again" in said
    assert UNCONFIRMED in said
    assert stat.S_IMODE(to.data.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in to.data.iterdir()} == {0o600}

    # A restart does not forget it.
    for _ in range(2):
        url = start(to)
        assert "Attention: this state was restored from a backup" in to.log_file.read_text()
        assert saved.at in to.log_file.read_text()
        await nothing_is_accepted(saved, to)
        assert get(f"{url}/readyz") == NOT_READY
        assert get(f"{url}/healthz") == (200, "ok\n")
        assert "\nclaviger_confirmed 0\n" in get(f"{url}/metrics")[1]
        assert json.loads(done("status", "--data", to.data, "--output", "json").out)["confirmed"] is False
        fails("restore", "confirm", "--data", to.data, says=["is in use"])
        to.kill()

    assert done("restore", "confirm", "--data", to.data).out == "Confirmed: keys are accepted from the next start on\n"
    url = start(to)
    assert get(f"{url}/readyz") == (200, "ready\n")
    assert "\nclaviger_confirmed 1\n" in get(f"{url}/metrics")[1]
    assert json.loads(done("status", "--data", to.data, "--output", "json").out)["confirmed"] is True
    await as_of_the_backup(saved, to)
    await asyncio.to_thread(to.stop)
    verify(to.data, expect=saved.head)
    assert done("restore", "confirm", "--data", to.data).out == "There was nothing to confirm\n"


@pytest.mark.parametrize("which", ["journal", "journal_since"])
async def test_with_the_journal_since_nothing_is_lost(saved: Saved, new_victim: NewVictim, which: str) -> None:
    to = new_victim()
    said = restore(saved, to, "--replay", getattr(saved, which))
    assert "3 entries were replayed; keys are accepted from the next start on" in said
    assert f"(entry {saved.last_head.partition(':')[0]})" in said
    assert UNCONFIRMED not in said
    url = start(to)
    assert "Attention" not in to.log_file.read_text()
    assert get(f"{url}/readyz") == (200, "ready\n")
    async with connect(to) as wire:
        works = await accepted(
            wire,
            owner=saved.fleet.owner,
            doomed=saved.doomed,
            turned=saved.turned,
            turned_later=saved.turned_later,
            newcomer=saved.newcomer,
        )
        assert works == {"owner", "turned_later", "newcomer"}
    await tokens_are_void(saved, to)
    await asyncio.to_thread(to.stop)
    verify(to.data, expect=saved.last_head)
    assert counted(to.database) == recorded(to.database)


Lines = list[str]


def changed(line: str, **fields: object) -> str:
    return json.dumps({**json.loads(line), **fields})


def edited(line: str) -> str:
    entry = json.loads(line)["entry"]
    assert '"via":"' in entry
    return changed(line, entry=entry.replace('"via":"', '"via":"x', 1))


SPOILT: dict[str, tuple[Callable[[Lines], Lines], int, str]] = {
    # How, in which line that is noticed, and what is said of it.
    "a gap": (lambda lines: [lines[0], lines[2]], 2, "comes next: export from there"),
    "the start is missing": (lambda lines: lines[1:], 1, "comes next: export from there"),
    "another order": (lambda lines: [lines[1], lines[0], lines[2]], 1, "comes next"),
    "garbage": (lambda lines: [lines[0], "garbage", *lines[1:]], 2, "is no line of an exported journal"),
    "cut off within a line": (lambda lines: [*lines[:2], lines[2][:40]], 3, "is no line of an exported journal"),
    "cut off at the end of a line": (lambda lines: lines[:-1], 3, "it was cut off"),
    "an edited end": (lambda lines: [*lines[:-1], changed(lines[-1], hash="ab" * 32)], 4, "another history"),
    "an end that is not there": (lambda lines: [*lines[:-1], changed(lines[-1], complete_to=10**6)], 4, "is the last"),
    "an edited entry": (lambda lines: [edited(lines[0]), *lines[1:]], 1, "belongs to another history"),
    "an edited time": (lambda lines: [lines[0], changed(lines[1], at=1), lines[2]], 2, "belongs to another history"),
    "an edited hash": (lambda lines: [*lines[:2], changed(lines[2], hash="ab" * 32)], 3, "belongs to another history"),
    "no hash": (lambda lines: [*lines[:2], changed(lines[2], hash="x")], 3, "belongs to another history"),
    "no entry": (lambda lines: [*lines[:2], changed(lines[2], entry="{}")], 3, ""),
    "another version": (
        lambda lines: [lines[0], changed(lines[1], entry=json.loads(lines[1])["entry"].replace('"v":1', '"v":99', 1))],
        2,
        "",
    ),
    "a number below zero": (lambda lines: [changed(lines[0], seq=-1), *lines[1:]], 1, ""),
    "number zero": (lambda lines: [changed(lines[0], seq=0), *lines[1:]], 1, "belongs to another history"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_journal_that_does_not_fit_is_refused(saved: Saved, tmp_path: Path, how: str) -> None:
    spoil, line, problem = SPOILT[how]
    spoilt, to = tmp_path / "spoilt", tmp_path / "to"
    lines = spoil(saved.journal_since.read_text().splitlines())
    spoilt.write_text("\n".join(lines) + "\n")
    refused_and_untouched(saved, to, "--replay", spoilt, says=[f"line {line} of `{spoilt}`", problem])


async def test_the_journal_of_another_authority_is_refused(saved: Saved, new_victim: NewVictim, tmp_path: Path) -> None:
    other, others = new_victim(), tmp_path / "others"
    fleet = other.found()
    async with connect(other, fleet.owner) as wire:
        for number in range(6):
            await create(wire, fleet, f"{number}")
    done("export-journal", "--data", other.data, "--out", others)
    says = [f"line 1 of `{others}`", "belongs to another history than this backup"]
    refused_and_untouched(saved, tmp_path / "to", "--replay", others, says=says)
    # Also one that only begins where this one ends.
    since = tmp_path / "since"
    done("export-journal", "--data", other.data, "--out", since, "--after", saved.head.partition(":")[0])
    refused_and_untouched(saved, tmp_path / "to", "--replay", since, says=["line 1 of", "belongs to another history"])


@pytest.mark.parametrize("how", ["empty", "older"])
async def test_a_journal_that_tells_nothing_since_is_no_replacement_for_confirming(
    saved: Saved, new_victim: NewVictim, tmp_path: Path, how: str
) -> None:
    """A file that was cut off or is from before the backup says nothing about what was revoked since."""
    told, to = tmp_path / "told", new_victim()
    lines = saved.journal.read_text().splitlines(keepends=True)
    told.write_text("" if how == "empty" else "".join(lines[:2]))
    from_backup: Command = ["--from", saved.backup, "--master-key", saved.master_key, "--replay", told]
    if claviger("restore", "--data", to.data, *from_backup).status == 0:
        start(to)
        await nothing_is_accepted(saved, to)


def refused_and_untouched(saved: Saved, to: Path, *options: str | Path, says: list[str]) -> None:
    """The restore is refused, and leaves the directory as it was."""
    before = contents(to)
    fails("restore", "--data", to, "--from", saved.backup, "--master-key", saved.master_key, *options, says=says)
    assert contents(to).keys() == before.keys()
    assert contents(to) == before


# === What is in the way ===


async def test_a_database_that_is_there_is_not_replaced_by_mistake(saved: Saved) -> None:
    victim = saved.victim
    victim.stop()
    refused_and_untouched(saved, victim.data, says=["there is a database at", "give `--replace` to move it aside"])
    said = restore(saved, victim, "--replace")
    aside = victim.data / "claviger.db.before-restore-1"
    assert f"The database that was there is now `{aside}`" in said
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert counted(aside) == recorded(aside)
    start(victim)
    await nothing_is_accepted(saved, victim)
    await asyncio.to_thread(victim.stop)
    # A second time, the first is not overwritten.
    before = aside.read_bytes()
    said = restore(saved, victim, "--replace")
    assert "claviger.db.before-restore-2" in said
    assert aside.read_bytes() == before


@pytest.mark.parametrize("mode", [0o600, 0o400], ids=["opens", "does not open"])
async def test_a_killed_database_is_moved_aside_with_its_log(saved: Saved, mode: int) -> None:
    """Its last changes are in the log only. The log must neither be lost nor be taken for the backup's. Where the
    database can be opened its log is emptied into it first; one that is read-only is moved as it is."""
    victim = saved.victim
    victim.kill()
    victim.database.chmod(mode)
    restore(saved, victim, "--replace")
    aside = victim.data / "claviger.db.before-restore-1"
    aside.chmod(0o600)
    assert counted(aside) == recorded(aside)
    assert saved.newcomer.id in {id for _, id in recorded(aside)}
    done("restore", "confirm", "--data", victim.data)
    start(victim)
    await as_of_the_backup(saved, victim)


async def test_a_log_left_behind_is_not_taken_for_the_backups(saved: Saved) -> None:
    """Somebody deleted the database after a crash, and not the log that belonged to it."""
    victim = saved.victim
    victim.kill()
    victim.database.unlink()
    restore(saved, victim)
    verify(victim.data, expect=saved.head)
    done("restore", "confirm", "--data", victim.data)
    start(victim)
    await as_of_the_backup(saved, victim)


def test_a_running_authority_is_not_replaced(saved: Saved, new_victim: NewVictim, tmp_path: Path) -> None:
    """Also not its master key, by that of the other."""
    other = new_victim()
    other.found()
    before = {name: text for name, text in contents(other.data).items() if name.startswith("master")}
    from_backup: Command = ["--from", saved.backup, "--master-key", saved.master_key, "--replace"]
    fails("restore", "--data", other.data, *from_backup, says=["is in use"])
    after = {name: text for name, text in contents(other.data).items() if name.startswith("master")}
    assert after == before
    other.stop()
    other.start()


async def test_what_a_failed_restore_found_goes_on(saved: Saved, new_victim: NewVictim, tmp_path: Path) -> None:
    """Another authority's data, which a restore of this one's backup was to replace, and could not."""
    other, spoilt = new_victim(), tmp_path / "spoilt"
    fleet = other.found()
    other.stop()
    spoilt.write_text("garbage\n")
    refused_and_untouched(saved, other.data, "--replace", "--replay", spoilt, says=["line 1 of"])
    other.start()
    async with connect(other, fleet.owner) as wire:
        assert await wire.accepts(fleet.operator)


def test_what_is_moved_aside_can_be_put_back(saved: Saved, new_victim: NewVictim) -> None:
    """With the master key without which it does not start."""
    other = new_victim()
    other.found()
    other.stop()
    key = (other.data / "master.key").read_bytes()
    restore(saved, other, "--replace")
    assert key in contents(other.data).values()


# === Damage ===


def cut(copy: Path) -> None:
    content = copy.read_bytes()
    copy.write_bytes(content[: len(content) // 2])


def noise(copy: Path) -> None:
    copy.write_bytes(bytes(range(256)) * 64)


def nothing(copy: Path) -> None:
    copy.write_bytes(b"")


def remove(copy: Path) -> None:
    copy.unlink()


def broken_page(copy: Path) -> None:
    content = bytearray(copy.read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096 : page * 4096 + 16] = b"\xff" * 16
    copy.write_bytes(content)


def statement(sql: str) -> Callable[[Path], None]:
    def execute(copy: Path) -> None:
        with sqlite3.connect(copy) as database:
            assert database.execute(sql).rowcount != 0
        database.close()

    return execute


DAMAGE: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "cut": (cut, []),
    "noise": (noise, ["is not a journal"]),
    "nothing": (nothing, ["empty"]),
    "removed": (remove, ["could not open"]),
    "a broken page": (broken_page, []),
    "an edited entry": (
        statement("UPDATE journal SET entry = replace(entry, 'doomed', 'saved') WHERE entry LIKE '%doomed%'"),
        ["the backup does not verify", "edited"],
    ),
    "a missing entry": (statement("DELETE FROM journal WHERE seq = 3"), ["the backup does not verify", "missing"]),
    "another database": (statement("PRAGMA application_id = 7"), ["is not a journal"]),
    "a newer one": (statement("PRAGMA user_version = 99"), ["has schema 99"]),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_backup_is_refused(saved: Saved, tmp_path: Path, how: str) -> None:
    damage, says = DAMAGE[how]
    damage(saved.backup)
    refused_and_untouched(saved, tmp_path / "to", says=says)


def test_the_right_master_key_is_needed(saved: Saved, new_victim: NewVictim, tmp_path: Path) -> None:
    to, other = tmp_path / "to", new_victim()
    other.found()
    wrong, malformed = other.data / "master.key", tmp_path / "malformed"
    malformed.write_text("c2hvcnQ=\n")
    from_backup: Command = ["restore", "--data", to, "--from", saved.backup]
    attempts: list[tuple[Command, str]] = [
        (["--master-key", wrong], "this master key does not open what is sealed in the database"),
        (["--master-key", malformed], "does not hold a master key: it must be 32 bytes in base64"),
        (["--master-key", tmp_path / "absent"], "is missing"),
        ([], "`claviger restore --new-master-key` makes another"),
    ]
    for options, says in attempts:
        fails(*from_backup, *options, says=[says])
        assert contents(to) == {}
    both = claviger(*from_backup, "--master-key", saved.master_key, "--new-master-key")
    assert both.status == 2 and "cannot be used with" in both.err


async def test_a_lost_master_key_costs_the_tokens_alone(saved: Saved, new_victim: NewVictim) -> None:
    to = new_victim()
    done("restore", "--data", to.data, "--from", saved.backup, "--new-master-key")
    assert (to.data / "master.key").read_text() != saved.master_key.read_text()
    start(to)
    await nothing_is_accepted(saved, to)
    await asyncio.to_thread(to.stop)
    done("restore", "confirm", "--data", to.data)
    start(to)
    await as_of_the_backup(saved, to)


async def test_a_master_key_from_the_environment_is_enough(saved: Saved, new_victim: NewVictim) -> None:
    to = new_victim()
    env = {"CLAVIGER_MASTER_KEY": saved.master_key.read_text().strip()}
    done("restore", "--data", to.data, "--from", saved.backup, env=env)
    done("restore", "confirm", "--data", to.data)
    to.start("serve", env=env)
    await as_of_the_backup(saved, to)
    assert not (to.data / "master.key").exists()


def test_the_folder_may_be_named_by_the_environment(saved: Saved, tmp_path: Path) -> None:
    env = {"CLAVIGER_DATA": str(tmp_path / "to")}
    done("restore", "--from", saved.backup, "--master-key", saved.master_key, env=env)
    assert "Confirmed" in done("restore", "confirm", env=env).out


# === A restore that is killed ===

CALLS = "rename,renameat,renameat2,unlink,unlinkat,fsync,fdatasync,ftruncate"
MANY = 200


async def test_a_restore_may_be_killed_at_any_step(saved: Saved, new_victim: NewVictim) -> None:
    """At every change of a name and every sync: until it is through, nothing is accepted, and it can be repeated."""
    await asyncio.to_thread(saved.victim.stop)
    killed = 0
    for step in range(1, MANY):
        to = new_victim()
        shutil.copytree(saved.victim.data, to.data)
        through = not killed_at_step(saved, to, step)
        if to.database.exists():
            to.start()
            await nothing_new_is_accepted(saved, to)
            await asyncio.to_thread(to.stop)
        restore(saved, to, "--replace")
        verify(to.data, expect=saved.head)
        shutil.rmtree(to.data)
        if through:
            break
        killed += 1
    assert 5 < killed < MANY - 2, killed


def killed_at_step(saved: Saved, to: Victim, step: int) -> bool:
    command: Command = [BINARY, "restore", "--data", to.data, "--from", saved.backup, "--replace"]
    return strace.run_killed([*command, "--master-key", saved.master_key], CALLS, step)


async def nothing_new_is_accepted(saved: Saved, victim: Victim) -> None:
    """Either it is still the old state, or one that waits: the key that was revoked since the backup never works."""
    async with connect(victim) as wire:
        assert await accepted(wire, doomed=saved.doomed, turned=saved.turned) == set()


# === Without a restore ===


async def old_file(saved: Saved) -> None:
    """A copy of the file from before."""
    shutil.copyfile(saved.backup, saved.victim.database)


async def parted_file(saved: Saved) -> None:
    """A file with as many entries, of which the last ones are others."""
    victim, right = saved.victim, saved.victim.database.read_bytes()
    shutil.copyfile(saved.backup, victim.database)
    (victim.data / "master.mark").rename(victim.data / "kept")
    victim.start()
    async with connect(victim, saved.fleet.owner) as wire:
        while int(victim.head().partition(":")[0]) < int(saved.last_head.partition(":")[0]):
            await create(wire, saved.fleet, "another history")
    await asyncio.to_thread(victim.stop)
    assert victim.database.read_bytes() != right
    (victim.data / "kept").rename(victim.data / "master.mark")


async def no_file(saved: Saved) -> None:
    """A new one, because the old one was deleted: `quickstart` makes it."""
    saved.victim.database.unlink()
    saved.victim.start("quickstart")
    await asyncio.to_thread(saved.victim.stop)


@pytest.mark.parametrize("how", [old_file, parted_file, no_file])
async def test_a_database_put_back_by_hand_is_noticed(saved: Saved, how: Callable[[Saved], Awaitable[None]]) -> None:
    victim = saved.victim
    await asyncio.to_thread(victim.stop)
    right = victim.database.read_bytes()
    await how(saved)
    for _ in range(2):
        url = start(victim)
        log = victim.log_file.read_text()
        seq = saved.last_head.partition(":")[0]
        assert f"the database holds another history than the one that reached entry {seq}" in log
        assert UNCONFIRMED in log
        assert get(f"{url}/readyz") == NOT_READY
        await nothing_is_accepted(saved, victim)
        await asyncio.to_thread(victim.stop)

    # The right file is accepted as it is.
    wrong = victim.database.read_bytes()
    victim.database.write_bytes(right)
    url = start(victim)
    assert get(f"{url}/readyz") == (200, "ready\n")
    async with connect(victim) as wire:
        assert await accepted(wire, newcomer=saved.newcomer, doomed=saved.doomed) == {"newcomer"}
    await asyncio.to_thread(victim.stop)
    # The wrong one once somebody says so.
    victim.database.write_bytes(wrong)
    assert "Confirmed" in done("restore", "confirm", "--data", victim.data).out
    url = start(victim)
    assert get(f"{url}/readyz") == (200, "ready\n")


async def test_a_log_deleted_by_hand_is_noticed(saved: Saved) -> None:
    """After a crash the last changes, revocations among them, are in the log alone."""
    victim = saved.victim
    await asyncio.to_thread(victim.restart)
    async with connect(victim, saved.fleet.owner) as wire:
        await wire.call("DeleteKey", {"id": saved.newcomer.id})
    victim.kill()
    victim.database.with_name("claviger.db-wal").unlink()
    url = start(victim)
    assert "the database holds another history" in victim.log_file.read_text()
    assert get(f"{url}/readyz") == NOT_READY
    async with connect(victim) as wire:
        assert await accepted(wire, newcomer=saved.newcomer, owner=saved.fleet.owner) == set()


@pytest.mark.parametrize("between", [0, 80], ids=["little", "much"])
async def test_an_old_file_under_a_newer_log_is_noticed(saved: Saved, tmp_path: Path, between: int) -> None:
    """After a crash somebody puts an old file back and leaves the log, which SQLite takes for the old file's. The last
    entries are there then; of what was between, only the pages that were written again."""
    victim, old = saved.victim, tmp_path / "old.db"
    async with connect(victim, saved.fleet.owner) as wire:
        # So many that the first and the last of them stand on pages of their own.
        keys = [await create(wire, saved.fleet, f"key {number}") for number in range(60)]
    await asyncio.to_thread(victim.stop)
    shutil.copyfile(victim.database, old)
    victim.start()
    async with connect(victim, saved.fleet.owner) as wire:
        await wire.call("DeleteKey", {"id": keys[0].id})
        for number in range(between):
            await wire.call("RenameKey", {"id": keys[1].id, "name": f"renamed {number}"})
    await asyncio.to_thread(victim.restart)
    async with connect(victim, saved.fleet.owner) as wire:
        await wire.call("RenameKey", {"id": keys[-1].id, "name": "the last"})
    victim.kill()
    shutil.copyfile(old, victim.database)
    try:
        victim.start()
    except AssertionError:
        # As good: it does not start, and says why.
        assert "error: " in victim.log_file.read_text()
        return
    async with connect(victim) as wire:
        assert not await wire.accepts(keys[0]), "a revoked key works again"


# === The mark ===


@pytest.mark.parametrize("damage", ["x", "7 00\n", "\0" * 86], ids=["short", "no-hash", "zeroes"])
async def test_a_damaged_mark_is_said_and_can_be_mended(saved: Saved, damage: str) -> None:
    victim = saved.victim
    await asyncio.to_thread(victim.stop)
    mark = victim.data / "master.mark"
    mark.write_text(damage)
    fails(
        "serve",
        "--data",
        victim.data,
        "--listen",
        "127.0.0.1:0",
        says=[f"the high-water mark `{mark}` is damaged", UNCONFIRMED],
    )
    assert mark.read_text() == damage
    assert "Confirmed" in done("restore", "confirm", "--data", victim.data).out
    assert mark.read_text().startswith(f"{int(saved.last_head.split(':')[0]):020} ")
    assert stat.S_IMODE(mark.stat().st_mode) == 0o600
    url = start(victim)
    assert get(f"{url}/readyz") == (200, "ready\n")
    async with connect(victim) as wire:
        assert await accepted(wire, newcomer=saved.newcomer, doomed=saved.doomed) == {"newcomer"}


async def test_the_mark_follows_every_change(saved: Saved) -> None:
    def said() -> str:
        seq, hash = (saved.victim.data / "master.mark").read_text().split()
        return f"{int(seq)}:{hash}"

    assert said() == saved.last_head
    async with connect(saved.victim, saved.fleet.owner) as wire:
        await create(wire, saved.fleet, "one more")
        assert said() == saved.victim.head() != saved.last_head
