"""Whatever is acknowledged is on the disk before the reply is on the wire.

A kill cannot show that: what the kernel was told survives the process. So the process is watched as it talks to the
kernel, and the disk is worked out that a power cut would leave behind just before each reply.
"""

import asyncio
import hashlib
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import strace
from claviger import ApiKey
from conftest import NewVictim
from fleet import Quickstart
from strace import Call
from victim import Victim, lacking
from wire import Wire, authorization, connect

SERIAL_COMMITS = 20
CALLERS = 32
COMMITS_EACH = 10
# A disk that is neither the fastest nor the slowest.
SYNC_DELAY = "fsync,fdatasync:delay_enter=5000"

NO_SYNC = """
int fsync(int descriptor) { (void)descriptor; return 0; }
int fdatasync(int descriptor) { (void)descriptor; return 0; }
"""


# === The checks ===


@dataclass(frozen=True)
class Run:
    """What was recorded of a server: its calls, its disk before them, and the keys it acknowledged."""

    calls: list[Call]
    data: Path
    before: Mapping[str, bytes]
    acknowledged: list[ApiKey]

    @property
    def log(self) -> str:
        """The write-ahead log's path."""
        return str(self.data / "claviger.db-wal")

    def reply(self, key: ApiKey) -> Call:
        """The write that took the key's value to the client."""
        value = key.value.encode()
        return next(call for call in self.calls if call.target.startswith("TCP:") and value in call.content)

    def doctored(self, keep: Callable[[Call], bool]) -> "Run":
        return Run([call for call in self.calls if keep(call)], self.data, self.before, self.acknowledged)


def not_synced(run: Run) -> list[ApiKey]:
    """The keys for which the log was not synced between the write that has the key in it and the reply."""

    def synced(key: ApiKey) -> bool:
        reply, id = run.reply(key), key.id.encode()
        on_log = [call for call in run.calls if call.target == run.log and call.ended < reply.began]
        writes = [call for call in on_log if call.name in strace.WRITES and id in call.content]
        assert writes, "the key is in no write to the log that came before the reply"
        # The key stands in the entry and in the record: the last of them counts.
        written = writes[-1].ended
        return any(call.name in strace.SYNCS and call.returned == 0 and call.began > written for call in on_log)

    return [key for key in run.acknowledged if not synced(key)]


def lost_in_a_power_cut(run: Run, scratch: Path) -> list[ApiKey]:
    """The keys that would not be there if the power went just before the reply and took all that was not synced."""
    disk = Disk(run.data, run.before)
    at = {run.reply(key).began: key for key in run.acknowledged}
    lost = []
    for place, happens in sorted(_timeline(run, disk, at), key=lambda it: it[0]):
        happens()
        if (key := at.get(place)) is not None and not disk.holds(key, scratch):
            lost.append(key)
    return lost


def _timeline(run: Run, disk: "Disk", at: Mapping[int, ApiKey]) -> list[tuple[int, Callable[[], None]]]:
    """What happens to the disk, and when. In doubt it is against us: a write counts when it has ended, and a sync
    saves what was written before it began."""
    happens: list[tuple[int, Callable[[], None]]] = [(place, lambda: None) for place in at]
    for call in run.calls:
        if call.returned < 0 or not call.target.startswith(str(run.data)):
            continue
        if call.name in strace.SYNCS:
            happens.append((call.began, partial(disk.begin_sync, call)))
            happens.append((call.ended, partial(disk.end_sync, call)))
        elif call.name == "ftruncate":
            happens.append((call.ended, partial(disk.cut, call.target, call.number)))
        elif call.name == "pwrite64":
            happens.append((call.ended, partial(disk.write, call.target, call.number, call.content)))
    return happens


class Disk:
    """A directory's files as the kernel has them, and as the disk does."""

    def __init__(self, directory: Path, before: Mapping[str, bytes]) -> None:
        self._directory = str(directory)
        self._cached = {path: bytearray(content) for path, content in before.items()}
        self._synced = {path: bytes(content) for path, content in before.items()}
        self._named = set(before)
        # What a sync that is under way will have saved: names, and contents.
        self._saving: dict[int, tuple[set[str], dict[str, bytes]]] = {}

    def write(self, path: str, offset: int, content: bytes) -> None:
        file = self._cached.setdefault(path, bytearray())
        if len(file) < offset + len(content):
            file.extend(bytes(offset + len(content) - len(file)))
        file[offset : offset + len(content)] = content

    def cut(self, path: str, length: int) -> None:
        file = self._cached.setdefault(path, bytearray())
        file[:] = file[:length].ljust(length, b"\0")

    def begin_sync(self, call: Call) -> None:
        path = call.target
        names = set(self._cached) if path == self._directory else set()
        contents = {path: bytes(self._cached[path])} if path in self._cached else {}
        self._saving[call.began] = names, contents

    def end_sync(self, call: Call) -> None:
        names, contents = self._saving.pop(call.began)
        self._named |= names
        self._synced.update(contents)

    def holds(self, key: ApiKey, scratch: Path) -> bool:
        """Whether a database is on the disk that has the key with its value."""
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        for path in self._named & self._synced.keys():
            (scratch / Path(path).name).write_bytes(self._synced[path])
        database = sqlite3.connect(scratch / "claviger.db")
        try:
            row = database.execute("SELECT value FROM record WHERE kind = 'key' AND id = ?", [key.id]).fetchone()
        finally:
            database.close()
        expected = hashlib.sha256(key.value.encode()).hexdigest()
        return row is not None and json.loads(row[0])["hash"] == expected


# === Recording ===


async def record(victim: Victim, to: Path, env: Mapping[str, str] | None = None) -> Run:
    """Commits one after the other, on a server that is recorded."""
    fleet = victim.found()
    victim.stop()
    before = {str(path): path.read_bytes() for path in victim.data.glob("claviger.db")}
    victim.start("serve", env=env, under=strace.recording(to))
    async with connect(victim, fleet.owner) as wire:
        keys = [await create_key(wire, fleet, f"key-{number}") for number in range(SERIAL_COMMITS)]
    # Beside the loop, which has connections to close.
    await asyncio.to_thread(victim.stop)
    return Run(strace.calls(to.read_text().splitlines()), victim.data, before, keys)


async def create_key(wire: Wire, fleet: Quickstart, name: str) -> ApiKey:
    grants = [authorization("operator", "robot", fleet.machine_id)]
    reply = await wire.call("CreateKey", {"name": name, "authorizations": grants})
    return ApiKey(reply.id, reply.key)


async def test_every_acknowledged_commit_is_synced_before_its_reply(victim: Victim, tmp_path: Path) -> None:
    run = await record(victim, tmp_path / "trace")
    assert len(run.acknowledged) == SERIAL_COMMITS
    assert not_synced(run) == []
    assert lost_in_a_power_cut(run, tmp_path / "disk") == []

    # And the checks see what they are for, each in the same run without what it looks for.
    without_syncs = run.doctored(lambda call: not (call.name in strace.SYNCS and call.target == run.log))
    assert not_synced(without_syncs) == run.acknowledged
    assert lost_in_a_power_cut(without_syncs, tmp_path / "disk") == run.acknowledged
    without_names = run.doctored(lambda call: call.target != str(run.data))
    assert lost_in_a_power_cut(without_names, tmp_path / "disk") == run.acknowledged
    nearly = run.reply(run.acknowledged[-1]).began
    last_sync = max(call.began for call in run.calls if call.name in strace.SYNCS and call.ended < nearly)
    without_one = run.doctored(lambda call: call.began != last_sync)
    assert not_synced(without_one) == run.acknowledged[-1:]
    assert lost_in_a_power_cut(without_one, tmp_path / "disk") == run.acknowledged[-1:]


async def test_a_server_that_does_not_sync_is_noticed(victim: Victim, tmp_path: Path) -> None:
    """The same check on a real server whose syncs are switched off, below it: it believes that it syncs."""
    compiler = shutil.which("cc") or lacking("there is no C compiler to make a library from that does not sync")
    source, library = tmp_path / "no_sync.c", tmp_path / "no_sync.so"
    source.write_text(NO_SYNC)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    run = await record(victim, tmp_path / "trace", env={"LD_PRELOAD": str(library)})
    assert not_synced(run) == run.acknowledged
    assert lost_in_a_power_cut(run, tmp_path / "disk") == run.acknowledged


async def test_concurrent_changes_share_syncs(
    new_victim: NewVictim, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    victim = new_victim()
    fleet = victim.found()
    victim.stop()
    trace = tmp_path / "trace"
    victim.start("serve", under=strace.recording(trace, SYNC_DELAY))

    async def caller(number: int) -> None:
        async with connect(victim, fleet.owner) as wire:
            for turn in range(COMMITS_EACH):
                await create_key(wire, fleet, f"key-{number}-{turn}")

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    await asyncio.to_thread(victim.stop)
    log = str(victim.data / "claviger.db-wal")
    recorded = strace.calls(trace.read_text().splitlines())
    syncs = sum(call.name in strace.SYNCS and call.target == log for call in recorded)
    commits = CALLERS * COMMITS_EACH
    print(f"{commits} changes by {CALLERS} callers took {syncs} syncs of the log")
    record_property("changes", commits)
    record_property("syncs", syncs)
    # One sync each would be as many; all callers in step would be one for 32.
    assert 0 < syncs <= commits / 4


@pytest.mark.parametrize("name", ["fsync", "fdatasync"])
def test_the_trace_is_read_right(name: str) -> None:
    """Also where two threads' calls are interleaved, and where one failed."""
    hexed = "".join(f"\\x{byte:02x}" for byte in b"/d/claviger.db-wal")
    lines = [
        f'7 pwrite64(11<{hexed}>, "\\x61\\x62", 2, 53616 <unfinished ...>',
        '8 writev(20<TCP:[127.0.0.1:1->127.0.0.1:2]>, [{iov_base="\\x63", iov_len=1}, {iov_base="\\x64"}], 2) = 2',
        "7 <... pwrite64 resumed>) = 2",
        f"7 {name}(11<{hexed}>) = -1 EIO (Input/output error) (INJECTED)",
        f"7 {name}(11<{hexed}>) = 0",
        f"7 ftruncate(11<{hexed}>, 32) = 0",
        "7 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---",
        "7 +++ exited with 0 +++",
    ]
    path = "/d/claviger.db-wal"
    assert strace.calls(lines) == [
        Call("pwrite64", path, b"ab", 53616, 2, 0, 2),
        Call("writev", "TCP:[127.0.0.1:1->127.0.0.1:2]", b"cd", 2, 2, 1, 1),
        Call(name, path, b"", -1, -1, 3, 3),
        Call(name, path, b"", -1, 0, 4, 4),
        Call("ftruncate", path, b"", 32, 0, 5, 5),
    ]
