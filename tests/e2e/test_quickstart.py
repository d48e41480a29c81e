"""`claviger quickstart` as somebody at a terminal meets it: first, again, killed, and where it cannot start."""

import asyncio
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import canary
import keyform
from claviger import BINARY, ApiKey, Server, environment
from fleet import held
from wire import connect, sdk

_START_S = 30
# The last line of what a first start prints, and of what a later one does.
FIRST_ENDS = "check_permissions"
AGAIN_ENDS = "claviger recover"

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True)
class Printed:
    """What a running quickstart has printed, and where it serves."""

    text: str
    server: Server

    def id(self, what: str) -> str:
        match = re.search(rf"^ +{what} +(\S+)$", self.text, re.MULTILINE)
        assert match, f"no {what} in what was printed"
        return match[1]

    @property
    def keys(self) -> list[ApiKey]:
        """The owner's and the operator's."""
        form = rf"Key ID: ({UUID})\n +Key: ({keyform.FORM.pattern})$"
        return [ApiKey(id, value) for id, value in re.findall(form, self.text, re.MULTILINE)]

    @property
    def snippet(self) -> str:
        start, end = self.text.index("    import asyncio"), "    asyncio.run(main())\n"
        return textwrap.dedent(self.text[start : self.text.index(end) + len(end)])


def command(directory: Path, *options: str) -> list[str | Path]:
    return [BINARY, "quickstart", "--data", directory / "data", "--listen", "127.0.0.1:0", *options]


@contextmanager
def at_the_terminal(directory: Path, ends: str, options: Sequence[str] = ()) -> Iterator[Printed]:
    """A quickstart that prints for people, up to its last words; it is ended the way Ctrl-C does it."""
    log = directory / f"log.{len(list(directory.iterdir()))}"
    with log.open("wb") as stderr:
        arguments = command(directory, *options)
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=stderr, env=environment())
    assert process.stdout is not None
    try:
        text, deadline = b"", time.monotonic() + _START_S
        while ends.encode() not in text or not text.endswith(b"\n"):
            readable, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
            more = os.read(process.stdout.fileno(), 65_536) if readable else b""
            assert more, f"not as expected:\n{log.read_text(encoding='utf-8')}"
            text += more
        printed = Printed(text.decode(), Server(directory))
        match = re.match(r"Claviger serves (https?://\S+)\n", printed.text)
        assert match, "the first line says where it serves"
        printed.server.url = match[1]
        for key in printed.keys:
            canary.remember(key.value)
        yield printed
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stdout.read() == b""
    finally:
        # A test that failed leaves it running.
        process.kill()
        process.wait()
        process.stdout.close()
    assert canary.finds([log], directory / "data") == []


def accepts_all(server: Server, keys: Sequence[ApiKey]) -> bool:
    """Whether the server takes each of these, and there are any."""

    async def ask() -> list[bool]:
        async with connect(server) as wire:
            return [await wire.accepts(key) for key in keys]

    answers = asyncio.run(ask())
    return answers != [] and all(answers)


def refuses(arguments: Sequence[str | Path]) -> str:
    """The words with which this command does not start."""
    silent = {**environment(), "CLAVIGER_LOG": "off"}
    done = subprocess.run(arguments, capture_output=True, text=True, env=silent, timeout=30)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "panicked" not in line
    return line


# === What is printed ===


def test_the_text_has_ids_and_keys_that_work(tmp_path: Path) -> None:
    async def try_them(printed: Printed) -> None:
        owner, operator = printed.keys
        assert all(keyform.is_well_formed(key.value) for key in (owner, operator))
        assert printed.text.index("owner of the organization") < printed.text.index(owner.id)
        assert printed.text.index("operator of the machine") < printed.text.index(operator.id)
        machine = printed.id("machine")
        async with sdk(printed.server, owner) as app:
            (organization,) = await app.list_organizations()
            assert organization.id == printed.id("organization")
            (location,) = await app.list_locations(organization.id)
            assert location.id == printed.id("location")
            (robot,) = await app.list_robots(location.id)
            assert robot.id == machine
            assert await held(app, "organization", organization.id, ["manage_keys"]) == ["manage_keys"]
        async with sdk(printed.server, operator) as app:
            assert await held(app, "robot", machine, ["write_robot", "control_robot"]) == ["control_robot"]

    with at_the_terminal(tmp_path, FIRST_ENDS) as printed:
        asyncio.run(try_them(printed))


@pytest.mark.parametrize("options", [[], ["--tls-self-signed"]], ids=["plaintext", "tls"])
def test_the_snippet_runs_as_pasted(tmp_path: Path, options: list[str]) -> None:
    with at_the_terminal(tmp_path, FIRST_ENDS, options) as printed:
        assert printed.server.url.startswith("https://" if options else "http://")
        program = tmp_path / "pasted.py"
        program.write_text(printed.snippet, encoding="utf-8")
        done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        owner, operator = printed.keys
        lines = {f"{owner.id} quickstart-owner", f"{operator.id} quickstart-operator"}
        assert lines <= set(done.stdout.splitlines())
        assert "Traceback" not in done.stderr


def test_the_second_run_prints_the_same_ids_and_how_to_get_new_keys(tmp_path: Path) -> None:
    with at_the_terminal(tmp_path, FIRST_ENDS) as first:
        pass
    with at_the_terminal(tmp_path, AGAIN_ENDS) as again:
        for what in ("organization", "location", "machine"):
            assert again.id(what) == first.id(what)
        assert again.keys == []
        assert keyform.PREFIX not in again.text
        assert "shown then and are not stored" in again.text
        assert "rotate it, or create another" in again.text
        advice = re.search(r"run +claviger (recover --data \S+)$", again.text, re.MULTILINE)
        assert advice
    # The advice is good: it runs as it stands there.
    done = subprocess.run(
        [BINARY, *advice[1].split()], capture_output=True, text=True, env=environment(), timeout=30
    )
    assert done.returncode == 0, done.stderr
    (value,) = keyform.FORM.findall(done.stdout)
    canary.remember(value)


def test_the_keys_of_the_first_run_still_work(tmp_path: Path) -> None:
    with at_the_terminal(tmp_path, FIRST_ENDS) as first:
        keys = first.keys
    with at_the_terminal(tmp_path, AGAIN_ENDS) as again:
        assert accepts_all(again.server, keys)


def test_json_is_exactly_one_line(tmp_path: Path) -> None:
    keys = {"url", "organization_id", "location_id", "machine_id", "owner_key", "operator_key"}
    lines = []
    for _ in range(2):
        arguments = command(tmp_path, "--output", "json")
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        # What would come later is there when the process has ended.
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(20) == 0
        process.stdout.close()
        assert (line[-1], rest) == ("\n", "")
        lines.append(json.loads(line))
    first, again = lines
    assert first.keys() == again.keys() == keys
    for name in ("organization_id", "location_id", "machine_id"):
        assert first[name] == again[name]
    for name in ("owner_key", "operator_key"):
        assert first[name].keys() == {"id", "key"}
        canary.remember(first[name]["key"])
        assert again[name] is None


# === Killed ===


# From before it has read its arguments to after it has printed.
@pytest.mark.parametrize("after_ms", range(0, 120, 5))
def test_a_start_that_is_killed_leaves_a_whole_fleet_or_none(tmp_path: Path, after_ms: int) -> None:
    process = subprocess.Popen(
        command(tmp_path, "--output", "json"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(after_ms / 1_000)
    process.kill()
    process.wait()

    server = Server(tmp_path)
    ready = server.quickstart()
    if ready["owner_key"] is None:
        # It was made, and nobody was told the values. The fleet is there for whoever recovers it.
        assert ready["operator_key"] is None
        server.stop()
        recover = [BINARY, "recover", "--data", server.data, "--output", "json"]
        done = subprocess.run(recover, capture_output=True, text=True, env=environment(), timeout=30)
        assert done.returncode == 0, done.stderr
        (value,), (id,) = keyform.FORM.findall(done.stdout), re.findall(rf'"id":"({UUID})"', done.stdout)
        canary.remember(value)
        owner, names = ApiKey(id, value), 3
        server.quickstart()
    else:
        owner, names = ApiKey.from_json(ready["owner_key"]), 2
        ApiKey.from_json(ready["operator_key"])
    asyncio.run(whole_fleet(server, owner, ready, names))
    server.stop()


async def whole_fleet(server: Server, owner: ApiKey, ready: dict[str, Any], names: int) -> None:
    async with sdk(server, owner) as app:
        (organization,) = await app.list_organizations()
        (location,) = await app.list_locations(organization.id)
        (machine,) = await app.list_robots(location.id)
        assert ready["organization_id"] == organization.id
        assert ready["location_id"] == location.id
        assert ready["machine_id"] == machine.id
        listed = [key.api_key.name for key in await app.list_keys(organization.id)]
        assert {"quickstart-owner", "quickstart-operator"} <= set(listed)
        assert len(listed) == names


def test_what_was_printed_survives_a_kill_right_after(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path, "--output", "json"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    first = json.loads(line)
    keys = [ApiKey.from_json(first[name]) for name in ("owner_key", "operator_key")]

    server = Server(tmp_path)
    again = server.quickstart()
    for name in ("organization_id", "location_id", "machine_id"):
        assert again[name] == first[name]
    assert (again["owner_key"], again["operator_key"]) == (None, None)
    assert accepts_all(server, keys)
    server.stop()


# === Where it cannot start ===


def test_an_address_in_use_is_an_error_that_says_so_and_makes_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = refuses([BINARY, "quickstart", "--data", tmp_path / "data", "--listen", address])
    assert address in line
    assert "cannot listen" in line
    assert "in use" in line
    # The values would have been lost: there is still a first run to come.
    with at_the_terminal(tmp_path, FIRST_ENDS) as printed:
        assert len(printed.keys) == 2


@pytest.mark.parametrize("data", ["a-file", "a-file/data"])
def test_a_data_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path, data: str) -> None:
    (tmp_path / "a-file").write_text("not a folder", encoding="utf-8")
    line = refuses([BINARY, "quickstart", "--data", tmp_path / data, "--listen", "127.0.0.1:0"])
    assert f"`{tmp_path / data}`" in line
    assert (tmp_path / "a-file").read_text(encoding="utf-8") == "not a folder"


def test_a_second_process_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with at_the_terminal(tmp_path, FIRST_ENDS) as printed:
        line = refuses(command(tmp_path))
        assert str(tmp_path / "data") in line
        assert "another" in line or "in use" in line
        assert accepts_all(printed.server, printed.keys)


def test_plaintext_for_others_to_hear_is_refused(tmp_path: Path) -> None:
    line = refuses([BINARY, "quickstart", "--data", tmp_path / "data", "--listen", "0.0.0.0:0"])
    assert "--tls-self-signed" in line
