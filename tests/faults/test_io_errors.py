"""A full disk and errors of the disk: a change is refused, nothing of it stays, everything else goes on."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import strace
from claviger import ApiKey
from conftest import NewVictim
from database import counted, recorded
from fleet import Quickstart
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from victim import Victim, claviger, copied, fails, lacking, verify
from wire import Wire, authorization, connect

NOT_MADE = "the change could not be written and was not made; the authority's log says why"
NOT_KNOWN = "it is not known whether the change was written: look before you repeat it"

# Each with what the first change is told that meets it. A disk that is full was full before anything counted; what an
# error leaves behind is not known before the next change has settled it.
FAULTS = {
    "pwrite64:error=ENOSPC": NOT_MADE,
    "pwrite64:error=EIO": NOT_KNOWN,
    "pwrite64:error=ENOSPC:when=2+": NOT_MADE,
    "pwrite64:error=EIO:when=4+": NOT_KNOWN,
    "fsync,fdatasync:error=EIO": NOT_KNOWN,
    "fsync,fdatasync:error=ENOSPC": NOT_KNOWN,
}


async def names(wire: Wire, fleet: Quickstart) -> list[str]:
    """Of everything there is."""
    keys = (await wire.call("ListKeys", {"org_id": fleet.organization_id})).api_keys
    locations = (await wire.call("ListLocations", {"organization_id": fleet.organization_id})).locations
    machines = (await wire.call("ListRobotsForOrg", {"org_id": fleet.organization_id})).robots
    return sorted([*(it.api_key.name for it in keys), *(it.name for it in [*locations, *machines])])


async def create(wire: Wire, fleet: Quickstart, name: str) -> ApiKey:
    grants = [authorization("operator", "robot", fleet.machine_id)]
    reply = await wire.call("CreateKey", {"name": name, "authorizations": grants})
    return ApiKey(reply.id, reply.key)


async def refusal(call: Any) -> str:
    """What a change is told that could not be made."""
    with pytest.raises(GRPCError) as caught:
        await call
    assert caught.value.status is Status.UNAVAILABLE, caught.value
    message = caught.value.message or ""
    assert message in (NOT_MADE, NOT_KNOWN)
    assert "%" not in message
    return message


def changes(fleet: Quickstart, key: ApiKey, empty_location: str) -> list[tuple[str, dict[str, Any]]]:
    """One of each kind, all of them possible."""
    grants = [authorization("operator", "robot", fleet.machine_id)]
    on_location = {**authorization("owner", "location", fleet.location_id), "identity_id": key.id}
    return [
        ("CreateKey", {"name": "ghost", "authorizations": grants}),
        ("RotateKey", {"id": key.id}),
        ("RenameKey", {"id": key.id, "name": "ghost"}),
        ("DeleteKey", {"id": key.id}),
        ("AddRole", {"authorization": on_location}),
        ("CreateLocation", {"organization_id": fleet.organization_id, "name": "ghost"}),
        ("DeleteLocation", {"location_id": empty_location}),
        ("NewRobot", {"name": "ghost", "location": fleet.location_id}),
        ("DeleteRobot", {"id": fleet.machine_id}),
    ]


async def everything_stands(wire: Wire, fleet: Quickstart, key: ApiKey, before: list[str]) -> None:
    """Nothing half done is seen, and keys are exchanged and checked."""
    assert await names(wire, fleet) == before
    assert await wire.accepts(key)
    assert await wire.accepts(fleet.operator)
    asked = [{"resource_type": "robot", "resource_id": fleet.machine_id, "permissions": ["control_robot"]}]
    async with connect(fleet.server, key) as other:
        reply = await other.call("CheckPermissions", {"permissions": asked})
        assert [list(it.permissions) for it in reply.authorized_permissions] == [["control_robot"]]


def check_database(victim: Victim, scratch: Path) -> None:
    """What the process would leave behind if it were killed now verifies, and its records are those of its entries."""
    data = copied(victim.data, scratch)
    verify(data)
    assert counted(data / "claviger.db") == recorded(data / "claviger.db")


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_change_that_cannot_be_written_is_not_made(
    victim: Victim, fleet: Quickstart, tmp_path: Path, fault: str
) -> None:
    log = victim.data / "claviger.db-wal"
    async with connect(victim, fleet.owner) as wire:
        key = await create(wire, fleet, "key")
        location = {"organization_id": fleet.organization_id, "name": "empty"}
        empty = (await wire.call("CreateLocation", location)).location.id
        before = await names(wire, fleet)
        with strace.injecting(victim.pid, fault, path=log):
            told = []
            for method, request in changes(fleet, key, empty):
                told.append(await refusal(wire.call(method, request)))
                await everything_stands(wire, fleet, key, before)
        assert told[0] == FAULTS[fault]
        # What was not known is settled before anything else is attempted: from then on it is known.
        if ":when=" not in fault:
            assert set(told[1:]) == {NOT_MADE}

        rotated = await wire.call("RotateKey", {"id": key.id})
        assert not await wire.accepts(key)
        key = ApiKey(key.id, rotated.key)
        await create(wire, fleet, "afterwards")
        expected = sorted([*before, "afterwards"])
        await everything_stands(wire, fleet, key, expected)
    check_database(victim, tmp_path / "copy")
    # What was refused does not come to light later.
    victim.kill()
    victim.start()
    async with connect(victim, fleet.owner) as wire:
        await everything_stands(wire, fleet, key, expected)
    await asyncio.to_thread(victim.stop)
    verify(victim.data)
    # The log says why, as the system said it.
    assert "database or disk is full" in victim.log() or "disk I/O error" in victim.log()


async def test_concurrent_changes_share_a_refusal(victim: Victim, fleet: Quickstart, tmp_path: Path) -> None:
    """Also what was only refused because of a change of the same commit: it is told that the commit failed."""
    async with connect(victim, fleet.owner) as wire:
        key = await create(wire, fleet, "key")
        before = await names(wire, fleet)
        with strace.injecting(victim.pid, "pwrite64:error=ENOSPC", path=victim.data / "claviger.db-wal"):
            deleted = [wire.call("DeleteKey", {"id": key.id}) for _ in range(16)]
            outcomes = await asyncio.gather(*deleted, return_exceptions=True)
            # Never "there is no such key": it is there.
            assert {getattr(it, "message", it) for it in outcomes} == {NOT_MADE}
            await everything_stands(wire, fleet, key, before)
        await wire.call("DeleteKey", {"id": key.id})
        assert not await wire.accepts(key)


@pytest.mark.parametrize("fault", ["pwrite64:error=EIO", "pwrite64:error=EIO:when=4+", "fsync,fdatasync:error=EIO"])
async def test_what_is_not_known_is_whole_or_not_there_after_a_kill(
    victim: Victim, fleet: Quickstart, tmp_path: Path, fault: str
) -> None:
    async with connect(victim, fleet.owner) as wire:
        before = await names(wire, fleet)
        with strace.injecting(victim.pid, fault, path=victim.data / "claviger.db-wal"):
            machine = {"name": "perhaps", "location": fleet.location_id}
            assert await refusal(wire.call("NewRobot", machine)) == NOT_KNOWN
            victim.kill()
    check_database(victim, tmp_path / "copy")
    victim.start()
    async with connect(victim, fleet.owner) as wire:
        assert await names(wire, fleet) in (before, sorted([*before, "perhaps"]))
        machines = (await wire.call("ListRobots", {"location_id": fleet.location_id})).robots
        for machine in machines:
            parts = (await wire.call("GetRobotParts", {"robot_id": machine.id})).parts
            assert [part.name for part in parts] == [f"{machine.name}-main"]
        await create(wire, fleet, "afterwards")


async def test_a_mark_that_cannot_be_written_lags_behind(victim: Victim, fleet: Quickstart) -> None:
    mark = victim.data / "master.mark"
    said = mark.read_text()
    async with connect(victim, fleet.owner) as wire:
        with strace.injecting(victim.pid, "pwrite64:error=EIO", path=mark):
            key = await create(wire, fleet, "key")
        assert mark.read_text() == said
        assert "the high-water mark lags behind" in victim.log()
    victim.kill()
    victim.start()
    assert mark.read_text() != said
    async with connect(victim, key) as wire:
        assert await wire.accepts(fleet.owner)


@pytest.mark.parametrize("stderr", ["/dev/full", ">(exec true)"], ids=["full", "nobody-reads"])
async def test_a_log_that_cannot_be_written_stops_nothing(victim: Victim, fleet: Quickstart, stderr: str) -> None:
    """The log may lie on the disk that is full, or its reader may be gone."""
    victim.stop()
    victim.start(under=["bash", "-c", f'exec "$@" 2> {stderr}', "bash"])
    async with connect(victim, fleet.owner) as wire:
        key = await create(wire, fleet, "key")
        assert await wire.accepts(key)
        assert not await wire.accepts(ApiKey(key.id, fleet.owner.value))
        await wire.call("DeleteKey", {"id": key.id})
        assert not await wire.accepts(key)
    await asyncio.to_thread(victim.stop)


# === A disk that is really full ===

DISK = "8m"


@contextmanager
def small_disk(at: Path) -> Iterator[None]:
    at.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK},mode=0700"]
    mounted = subprocess.run(["mount", *options, "claviger-faults", at], capture_output=True, text=True)
    if mounted.returncode != 0:
        lacking(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", at], check=True)


def fill(disk: Path) -> None:
    with open(disk / "ballast", "ab", buffering=0) as ballast:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    ballast.write(bytes(size))
            except OSError:
                pass
    assert os.statvfs(disk).f_bavail == 0


def free(disk: Path) -> None:
    (disk / "ballast").unlink()


@pytest.fixture
def on_small_disk(new_victim: NewVictim, tmp_path: Path) -> Iterator[Quickstart]:
    directory = tmp_path / "victim"
    directory.mkdir()
    with small_disk(directory / "data"):
        victim = new_victim(directory)
        yield victim.found()
        victim.put_down()


async def test_a_full_disk_refuses_changes_and_nothing_else(on_small_disk: Quickstart, tmp_path: Path) -> None:
    fleet, victim = on_small_disk, on_small_disk.server
    assert isinstance(victim, Victim)
    async with connect(victim, fleet.owner) as wire:
        key = await create(wire, fleet, "key")
        before = await names(wire, fleet)
        fill(victim.data)
        for method, request in changes(fleet, key, "zzzzzzzzzz")[:6]:
            assert await refusal(wire.call(method, request)) == NOT_MADE
            await everything_stands(wire, fleet, key, before)

        # A backup needs room beside the database, says so, and leaves nothing behind.
        fails("backup", "--data", victim.data, "--out", tmp_path / "backup", says=["could not back up", "disk is full"])
        assert not (tmp_path / "backup").exists()
        assert list(victim.data.glob("backup*")) == []
        # An export does not.
        assert claviger("export-journal", "--data", victim.data, "--out", tmp_path / "journal").status == 0
    check_database(victim, tmp_path / "copy")

    # A full disk is no reason not to start: keys are accepted, whether the last process was killed or stopped.
    victim.kill()
    for _ in range(2):
        fill(victim.data)
        victim.start()
        async with connect(victim, fleet.owner) as wire:
            assert await refusal(create(wire, fleet, "ghost")) == NOT_MADE
            await everything_stands(wire, fleet, key, before)
        await asyncio.to_thread(victim.stop)

    victim.start()
    async with connect(victim, fleet.owner) as wire:
        assert await refusal(create(wire, fleet, "ghost")) == NOT_MADE
        free(victim.data)
        # Without a restart.
        await create(wire, fleet, "afterwards")
        await everything_stands(wire, fleet, key, sorted([*before, "afterwards"]))
    await asyncio.to_thread(victim.restart)
    async with connect(victim, fleet.owner) as wire:
        await everything_stands(wire, fleet, key, sorted([*before, "afterwards"]))
    await asyncio.to_thread(victim.stop)
    verify(victim.data)
