"""kill -9 during concurrent changes: what was acknowledged is there, what was not is there whole or not at all.

CLAVIGER_KILLS says how often; 100 unless told, 1,000 in the soak. CLAVIGER_SEED makes the clerks and the moments
those of an earlier run, as far as two runs can be alike.
"""

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from claviger import BINARY, environment
from clerk import ORGANIZATION, Clerk, Credential, Grant, Key, Location, Machine, Things, label_of
from conftest import NewVictim
from database import counted, recorded
from fleet import Quickstart
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from ours import GET_IDENTITY, LIST_KEYS, Ours
from victim import Command, Victim, claviger, copied, verify
from viam.gen.proto.rpc.v1 import auth_pb2
from wire import AUTHENTICATE, INVALID_CREDENTIALS, Wire, authorization, connect

KILLS = int(os.environ.get("CLAVIGER_KILLS", "100"))
SEED = int(os.environ.get("CLAVIGER_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)

CLERKS = 6
# How long the clerks work before the server is killed. Seconds, from and to.
LIFE_S = (0.01, 0.25)
# A start takes about as long: some of them are killed at any moment of it.
START_S = (0.0, 0.06)
KILLS_WHILE_STARTING_EVERY = 10
# Looking at everything takes longer, the longer the journal is.
RECOUNT_EVERY = 10
OLD_DEAD_LOOKED_AT = 10

# Writing the log would take most of the time.
QUIET = ("--log", "warn")


@dataclass
class Office:
    """A server, its clerks, and what the tests know about both."""

    victim: Victim
    fleet: Quickstart
    clerks: list[Clerk]
    ours: Ours
    random: random.Random
    scratch: Path
    head: str
    outcomes: Counter[str] = field(default_factory=Counter)
    dead_looked_at: dict[str, int] = field(default_factory=Counter)

    @classmethod
    async def open(cls, victim: Victim, scratch: Path) -> "Office":
        fleet = victim.found()
        # What was written so far is in the database from now on, not in its log alone.
        victim.stop()
        victim.start("serve", *QUIET)
        clerks = []
        async with connect(victim, fleet.owner) as wire:
            ours = await Ours.described(wire)
            for number in range(CLERKS):
                grants = [authorization("owner", "organization", fleet.organization_id)]
                reply = await wire.call("CreateKey", {"name": f"clerk {number}", "authorizations": grants})
                token = await authenticated(wire, reply.id, reply.key)
                assert token is not None
                clerks.append(Clerk(f"c{number}", fleet.organization_id, token, SEED + number))
        return cls(victim, fleet, clerks, ours, random.Random(SEED), scratch, victim.head())

    async def work_and_be_killed(self) -> None:
        host, port = self.victim.address
        at_work = [asyncio.create_task(clerk.work(host, port)) for clerk in self.clerks]
        await asyncio.sleep(self.random.uniform(*LIFE_S))
        self.victim.kill()
        await asyncio.gather(*at_work)

    def kill_while_starting(self) -> None:
        command: Command = [BINARY, "serve", "--data", self.victim.data, "--listen", "127.0.0.1:0"]
        starting = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
        time.sleep(self.random.uniform(*START_S))
        starting.kill()
        starting.wait()

    def check_journal(self, recount: bool) -> None:
        """The chain verifies and has the head that it had before. On a copy: the next start finds what was left."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        data = copied(self.victim.data, self.scratch)
        verify(data, expect=self.head)
        if recount:
            assert counted(data / "claviger.db") == recorded(data / "claviger.db")

    async def look(self, thorough: bool) -> None:
        """Everything that was acknowledged is there, and nothing else but changes that were under way."""
        async with connect(self.victim, self.fleet.owner) as wire:
            found, ids = await self.found(wire)
            for clerk in self.clerks:
                own = {label: thing for label, thing in found.items() if label.startswith(f"{clerk.name}-")}
                made = clerk.settle(own, ids)
                if made is not None:
                    self.outcomes["made" if made else "not made"] += 1
            assert {label.partition("-")[0] for label in found} <= {clerk.name for clerk in self.clerks}
            for clerk in self.clerks:
                await self.check_credentials(wire, clerk, thorough)
        self.head = self.victim.head()

    async def found(self, wire: Wire) -> tuple[Things, dict[str, str]]:
        """How things stand on the server, and their ids. Without what was there before the clerks."""
        organization_id = self.fleet.organization_id
        locations = (await wire.call("ListLocations", {"organization_id": organization_id})).locations
        machines = (await wire.call("ListRobotsForOrg", {"org_id": organization_id})).robots
        parts = await asyncio.gather(*(wire.call("GetRobotParts", {"robot_id": it.id}) for it in machines))
        keys = await self.list_keys(wire)
        ids = {ORGANIZATION: organization_id}
        ids.update((label_of(it.name), it.id) for it in [*locations, *machines, *keys])
        labels = {id: label for label, id in ids.items()}
        # An id that is nothing's is shown as it is, and is what no clerk expects.
        things: Things = {label_of(it.name): Location(it.name) for it in locations}
        for machine, of in zip(machines, parts, strict=True):
            names = tuple(part.name for part in of.parts)
            things[label_of(machine.name)] = Machine(machine.name, labels.get(machine.location, "?"), names)
        for key in keys:
            grants = frozenset(grant_of(grant, labels) for grant in key.grants)
            things[label_of(key.name)] = Key(key.name, grants, key.rotations)
        assert len(things) == len(locations) + len(machines) + len(keys), "two things have one name"
        return {label: thing for label, thing in things.items() if label.startswith("c") and "-" in label}, ids

    async def list_keys(self, wire: Wire) -> list[Any]:
        keys: list[Any] = []
        token = ""
        while True:
            page = {"organization_id": self.fleet.organization_id, "page_size": 1_000, "page_token": token}
            reply = await self.ours.call(wire, LIST_KEYS, page)
            keys.extend(reply.keys)
            token = reply.next_page_token
            if not token:
                return keys

    async def check_credentials(self, wire: Wire, clerk: Clerk, thorough: bool) -> None:
        """Values and tokens that should work do, those that should not do not."""
        for label, credential in clerk.held.items():
            assert await accepted(wire, credential), f"the value of {label} was acknowledged and does not work"
            if credential.token is None:
                token = await authenticated(wire, credential.id, credential.value)
                clerk.held[label] = replace(credential, token=token)
            else:
                assert await self.speaks_for(wire, credential) == credential.id, f"the token of {label} is dead"
        seen = 0 if thorough else self.dead_looked_at[clerk.name]
        older = clerk.dead[:seen]
        some = self.random.sample(older, min(len(older), OLD_DEAD_LOOKED_AT))
        for credential in [*clerk.dead[seen:], *some]:
            assert not await accepted(wire, credential), f"a dead value of {credential.id} works again"
            assert await self.speaks_for(wire, credential) is None, f"a dead token of {credential.id} works again"
        self.dead_looked_at[clerk.name] = len(clerk.dead)

    async def speaks_for(self, wire: Wire, credential: Credential) -> str | None:
        """The key that a token is accepted for."""
        if credential.token is None:
            return None
        bearer = [("authorization", f"Bearer {credential.token}")]
        identity = await unless_refused(self.ours.call(wire, GET_IDENTITY, metadata=bearer))
        return None if identity is None else str(identity.actor.key_id)


def grant_of(grant: Any, labels: dict[str, str]) -> Grant:
    role = {1: "owner", 2: "operator"}[grant.role]
    level = {1: "organization", 2: "location", 3: "machine"}[grant.resource.type]
    return Grant(role, level, labels.get(grant.resource.id, grant.resource.id))


async def unless_refused(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except GRPCError as error:
        assert (error.status, error.message) == (Status.UNAUTHENTICATED, INVALID_CREDENTIALS)
        return None


async def authenticated(wire: Wire, id: str, value: str) -> str | None:
    """A token for this value, if it is accepted. Not by way of `Wire.authenticate`, which remembers every one."""
    credentials = auth_pb2.Credentials(type="api-key", payload=value)
    request = auth_pb2.AuthenticateRequest(entity=id, credentials=credentials)
    content = await unless_refused(wire.raw(AUTHENTICATE, request.SerializeToString(), metadata=[]))
    return None if content is None else auth_pb2.AuthenticateResponse.FromString(content).access_token


async def accepted(wire: Wire, credential: Credential) -> bool:
    return await authenticated(wire, credential.id, credential.value) is not None


# === Tests ===


async def test_killed_at_any_moment_nothing_acknowledged_is_lost(victim: Victim, tmp_path: Path) -> None:
    print(f"seed {SEED}, {KILLS} kills")
    began = time.monotonic()
    office = await Office.open(victim, tmp_path / "copy")
    for number in range(1, KILLS + 1):
        thorough = number == KILLS
        await office.work_and_be_killed()
        if number % KILLS_WHILE_STARTING_EVERY == 0:
            office.kill_while_starting()
        office.check_journal(recount=thorough or number % RECOUNT_EVERY == 0)
        victim.start("serve", *QUIET)
        await office.look(thorough)
    acknowledged = sum(clerk.acknowledged for clerk in office.clerks)
    took = time.monotonic() - began
    print(f"{acknowledged} changes acknowledged, {dict(office.outcomes)} when the server was killed, {took:.0f} s")
    # The kills hit something: changes were made, and changes were under way, also ones that the disk had already.
    assert acknowledged > KILLS
    assert office.outcomes["made"] > 0 or KILLS < 100
    assert office.outcomes["not made"] > 0 or KILLS < 100


async def lose_the_log(office: Office) -> None:
    (office.victim.database.with_name("claviger.db-wal")).unlink()


async def half_a_machine(office: Office) -> None:
    edit(office, "DELETE FROM record WHERE kind = 'part' AND value ->> 'name' LIKE 'c%'")


async def a_key_without_its_name(office: Office) -> None:
    edit(office, "DELETE FROM record WHERE kind = 'key' AND value ->> 'name' LIKE 'c%.%'")


async def a_rotation_undone(office: Office) -> None:
    edit(office, "UPDATE record SET value = json_set(value, '$.generation', 1) WHERE value ->> 'generation' > 1")


async def a_value_that_does_not_work(office: Office) -> None:
    other = "json_set(value, '$.hash', printf('%064d', 7))"
    edit(office, f"UPDATE record SET value = {other} WHERE kind = 'key' AND value ->> 'name' LIKE 'c%.%'")


def edit(office: Office, statement: str) -> None:
    with sqlite3.connect(office.victim.database) as database:
        changed = database.execute(statement).rowcount
    database.close()
    assert changed > 0


@pytest.mark.parametrize(
    "harm", [lose_the_log, half_a_machine, a_key_without_its_name, a_rotation_undone, a_value_that_does_not_work]
)
async def test_what_is_lost_or_half_done_is_noticed(
    victim: Victim, tmp_path: Path, harm: Callable[[Office], Any]
) -> None:
    """The check of the test above, on a database that was harmed."""
    office = await Office.open(victim, tmp_path / "copy")
    office.random = random.Random(1)
    host, port = victim.address
    at_work = [asyncio.create_task(clerk.work(host, port)) for clerk in office.clerks]
    while sum(clerk.acknowledged for clerk in office.clerks) < 40 * CLERKS:
        await asyncio.sleep(0.01)
    victim.kill()
    await asyncio.gather(*at_work)
    await harm(office)
    # It would notice that the end is missing; here it is the test that has to.
    (victim.data / "master.mark").unlink()
    victim.start("serve", *QUIET)
    with pytest.raises(AssertionError, match="acknowledged"):
        await office.look(thorough=True)


async def test_a_cut_off_log_does_not_hold_the_head(victim: Victim, tmp_path: Path) -> None:
    """What `--expect` is for: without it a journal whose end is missing verifies."""
    office = await Office.open(victim, tmp_path / "copy")
    victim.kill()
    await lose_the_log(office)
    with pytest.raises(AssertionError, match="its end was cut off"):
        office.check_journal(recount=False)
    verify(victim.data)


@pytest.mark.parametrize("after_ms", range(0, 100, 5))
def test_a_first_start_that_was_killed_can_be_repeated(new_victim: NewVictim, after_ms: int) -> None:
    victim = new_victim()
    command: Command = [BINARY, "quickstart", "--data", victim.data, "--listen", "127.0.0.1:0"]
    starting = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_ms / 1000)
    starting.kill()
    starting.wait()
    ready = victim.start("quickstart")
    if ready["owner_key"] is None:
        # It was made, and nobody has read the key: that is what `recover` is for.
        victim.stop()
        assert claviger("recover", "--data", victim.data).status == 0
    else:
        victim.stop()
    assert int(verify(victim.data).partition(":")[0]) >= 2
