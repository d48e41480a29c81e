"""A server that tests may do violence to, and the commands that its operator would type."""

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from claviger import BINARY, ApiKey, Server, environment
from fleet import Quickstart

Command = Sequence[str | Path]

_COMMAND_TIMEOUT_S = 60


class Victim(Server):
    """A data directory, and the process that serves it until it is killed."""

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        super().__init__(directory, options)
        self._asked_to_end: subprocess.Popen[str] | None = None

    def start(
        self,
        command: str = "serve",
        *options: str | Path,
        env: Mapping[str, str] | None = None,
        under: Command = (),
    ) -> dict[str, Any]:
        """Runs the server, with further options and variables, maybe under a tool that starts it."""
        variables = [f"{name}={value}" for name, value in (env or {}).items()]
        return self.launch([*under, "env", *variables, *self._command(command), *options])

    def found(self, *options: str | Path) -> Quickstart:
        """The first start, with what it made."""
        ready = self.start("quickstart", *options)
        owner, operator = (ApiKey.from_json(ready[name]) for name in ("owner_key", "operator_key"))
        return Quickstart(self, ready["organization_id"], ready["location_id"], ready["machine_id"], owner, operator)

    @property
    def pid(self) -> int:
        assert self._process is not None, "not running"
        return self._process.pid

    @property
    def database(self) -> Path:
        return self.data / "claviger.db"

    @property
    def log_file(self) -> Path:
        """What the latest process writes about itself."""
        return self._logs[-1]

    def log_files(self) -> list[Path]:
        return list(self._logs)

    def kill(self) -> None:
        """Ends the process without giving it a say."""
        assert self._process is not None, "not running"
        process, self._process = self._process, None
        process.kill()
        status = process.wait()
        assert status == -signal.SIGKILL, f"had ended before, with {status}\n{self.log()}"

    def put_down(self) -> None:
        """At the end of a test, however it ended."""
        for process in (self._process, self._asked_to_end):
            if process is not None:
                process.kill()
                process.wait()
        self._process = self._asked_to_end = None

    def ask_to_end(self, by: signal.Signals = signal.SIGTERM) -> subprocess.Popen[str]:
        """Asks the process to end and does not wait. Whoever asked waits."""
        assert self._process is not None, "not running"
        process, self._process = self._process, None
        self._asked_to_end = process
        process.send_signal(by)
        return process

    def restart(self) -> None:
        self.stop()
        self.start()

    def head(self) -> str:
        """Where the journal ends now, as `audit verify` takes it."""
        status = json.loads(done("status", "--data", self.data, "--output", "json").out)
        return f"{status['seq']}:{status['hash']}"


# === Commands ===


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str


def claviger(*arguments: str | Path, env: Mapping[str, str] | None = None, without: Sequence[str] = ()) -> Outcome:
    """Runs a command to its end, with further variables and without some."""
    variables = {**environment(), **(env or {})}
    ended = subprocess.run(
        [BINARY, *arguments],
        capture_output=True,
        text=True,
        env={name: value for name, value in variables.items() if name not in without},
        timeout=_COMMAND_TIMEOUT_S,
    )
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


def done(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Outcome:
    """Runs a command that succeeds."""
    outcome = claviger(*arguments, env=env)
    assert outcome.status == 0, f"{arguments}: {outcome}"
    return outcome


def fails(*arguments: str | Path, says: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """Runs a command that fails and says why: an error of one line with these words, and no result."""
    outcome = claviger(*arguments, env=env)
    assert outcome.status == 1, f"{arguments}: {outcome}"
    assert outcome.out == ""
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, outcome.err
    for word in says:
        assert word in errors[0], f"{word!r} is not in {errors[0]!r}"
    assert "panicked" not in outcome.err
    return errors[0]


def verify(data: Path, expect: str | None = None) -> str:
    """The head of a journal that verifies, and that still holds the head given."""
    expected = [] if expect is None else ["--expect", expect]
    return done("audit", "verify", "--data", data, *expected).out.strip()


def made_key(*arguments: str | Path, env: Mapping[str, str] | None = None) -> ApiKey:
    """The key that `init` or `recover` makes."""
    return ApiKey.from_json(json.loads(done(*arguments, "--output", "json", env=env).out)["owner_key"])


def copied(data: Path, to: Path) -> Path:
    """The data directory as it is now, killed or running."""
    return Path(shutil.copytree(data, to, ignore=shutil.ignore_patterns("*.sock")))


def get(url: str) -> tuple[int, str]:
    """Status and text of a page."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


# === What a machine may lack ===


def lacking(reason: str) -> NoReturn:
    """Skips a test that this machine cannot run. Where it must, CLAVIGER_FAULTS_REQUIRED=1 makes that a failure."""
    text = f"NOT TESTED: {reason}"
    if os.environ.get("CLAVIGER_FAULTS_REQUIRED") == "1":
        pytest.fail(text)
    pytest.skip(text)
