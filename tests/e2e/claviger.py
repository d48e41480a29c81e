"""A real Claviger process, started and stopped as its operator would."""

import gc
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import canary

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("CLAVIGER_BIN", REPOSITORY / "target" / "debug" / "claviger")).resolve()

_START_TIMEOUT_S = 30
_STOP_TIMEOUT_S = 20


@dataclass(frozen=True)
class ApiKey:
    """A key as its owner holds it. Does not print its value: failed assertions end up in reports."""

    id: str
    value: str = field(repr=False)

    @classmethod
    def from_json(cls, it: dict[str, str]) -> "ApiKey":
        canary.remember(it["key"])
        return cls(it["id"], it["key"])

    @classmethod
    def from_sdk(cls, value_and_id: tuple[str, str]) -> "ApiKey":
        """From what the Python SDK returns: the value first."""
        value, id = value_and_id
        canary.remember(value)
        return cls(id, value)


@dataclass(frozen=True)
class Organization:
    """An organization made by `init`, with its first key."""

    id: str
    owner: ApiKey


class Server:
    """One data directory and, while it runs, the process that serves it."""

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        self.data = directory / "data"
        self.url = ""
        self._directory = directory
        self._options = list(options)
        self._logs: list[Path] = []
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def quickstart(self) -> dict[str, Any]:
        """Runs `claviger quickstart` until it is ready. Returns what it says then."""
        return self.launch(self._command("quickstart"))

    def serve(self) -> dict[str, Any]:
        """Runs `claviger serve` until it is ready. Returns what it says then."""
        return self.launch(self._command("serve"))

    def launch(self, command: Sequence[str | Path], directory: Path | None = None) -> dict[str, Any]:
        """Starts this command, which becomes the server, and waits for the line that says that it is ready."""
        assert self._process is None, "runs already"
        with self._next_log().open("wb") as stderr:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment(), cwd=directory
            )
        self._lines = queue.Queue()
        threading.Thread(target=_read_lines, args=(self._process, self._lines), daemon=True).start()
        try:
            line = self._lines.get(timeout=_START_TIMEOUT_S)
        except queue.Empty:
            line = ""
        if not line:
            self._process.kill()
            self._process.wait()
            self._process = None
            raise AssertionError(f"did not get ready: {command}\n{self.log()}")
        ready: dict[str, Any] = json.loads(line)
        self.url = ready["url"]
        return ready

    def init(self, organization: str) -> Organization:
        """Makes an organization while the server is stopped."""
        assert self._process is None, "init is for a server that does not run"
        command: list[str | Path] = [
            BINARY,
            "init",
            "--organization",
            organization,
            "--data",
            self.data,
            "--output",
            "json",
        ]
        done = subprocess.run(command, capture_output=True, text=True, env=environment())
        self._next_log().write_text(done.stderr, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        made = json.loads(done.stdout)
        return Organization(made["organization_id"], ApiKey.from_json(made["owner_key"]))

    def stop(self) -> None:
        """Ends the process the way a service manager does, and looks for secrets that it left behind.

        A server waits for its clients to hang up, so a test that is one itself calls this in a thread.
        """
        assert self._process is not None, "not running"
        process, self._process = self._process, None
        # The SDK drops a connection without closing it when its log-in is refused.
        gc.collect()
        # Twice, because what stands in a journal beside the database while it is open is gone afterwards.
        finds = canary.finds(self._logs, self.data)
        process.send_signal(signal.SIGTERM)
        try:
            exit_status = process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"did not stop within {_STOP_TIMEOUT_S} s\n{self.log()}") from None
        assert exit_status == 0, f"exit status {exit_status}\n{self.log()}"
        finds += canary.finds(self._logs, self.data)
        assert finds == [], "secrets where none may be"
        assert self._lines.get(timeout=_STOP_TIMEOUT_S) == "", "more than one line on stdout"

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.rpartition("://")[2].rpartition(":")
        return host, int(port)

    def log(self) -> str:
        """What the process wrote about itself, in all its runs."""
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in self._logs)

    def _command(self, name: str) -> list[str | Path]:
        listen = ["--listen", "127.0.0.1:0", *self._options]
        return [BINARY, name, "--data", self.data, "--output", "json", *listen]

    def _next_log(self) -> Path:
        log = self._directory / f"log.{len(self._logs)}"
        self._logs.append(log)
        return log


def _read_lines(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    with process.stdout as stdout:
        for line in stdout:
            lines.put(line)
    # The end, which readers wait for.
    lines.put("")


def environment() -> dict[str, str]:
    """The environment of the tests, with the server as talkative as it gets: the canaries are for its logs too."""
    return {**os.environ, "CLAVIGER_LOG": "debug"}
