"""An exchange of the master key that is killed at each of its steps."""

import asyncio
from pathlib import Path

import pytest
import strace
from claviger import BINARY
from fleet import Quickstart
from victim import Victim, done
from wire import connect

# Where something is on disk, or stands under another name, from one moment to the next.
CALLS = "fsync,fdatasync,rename,unlink,pwrite64"


@pytest.mark.parametrize("again", [False, True], ids=["started", "exchanged-again"])
async def test_killed_at_every_step(victim: Victim, fleet: Quickstart, again: bool) -> None:
    async with connect(victim, fleet.owner) as wire:
        token = wire.token
    await asyncio.to_thread(victim.stop)
    command: list[str | Path] = [BINARY, "exchange-master-key", "--data", victim.data]
    old = victim.data / "master.key.old"
    in_between, step = 0, 1
    while strace.run_killed(command, CALLS, step):
        in_between += old.exists()
        if again:
            done("exchange-master-key", "--data", victim.data)
        else:
            victim.start()
            async with connect(victim) as wire:
                wire.token = token
                await wire.call("ListOrganizations")
            await asyncio.to_thread(victim.stop)
        assert not old.exists()
        step += 1
    assert step > 5
    assert in_between > 2, "it was never killed with both keys there"
    victim.start()
    async with connect(victim) as wire:
        wire.token = token
        await wire.call("ListOrganizations")
