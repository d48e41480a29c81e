"""strace: what a process tells the kernel, and errors put between the two."""

import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from victim import lacking

# Enough for a page of the database and the frame around it.
_STRING_BYTES = 16_384
_ATTACH_TIMEOUT_S = 20

WRITES = frozenset({"pwrite64", "pwritev", "write", "writev", "sendto", "sendmsg"})
SYNCS = frozenset({"fsync", "fdatasync"})
TRACED = sorted(WRITES | SYNCS | {"ftruncate"})


@dataclass(frozen=True)
class Call:
    """A system call, with the places in the trace where it began and where it had ended."""

    name: str
    target: str
    content: bytes
    number: int
    returned: int
    began: int
    ended: int


def recording(to: Path, *faults: str) -> list[str]:
    """The start of a command line: what it runs has its writes and syncs recorded, and keeps its process id."""
    command = [_strace(), "-D", "-f", "-yy", "-xx", "-s", str(_STRING_BYTES), "-e", f"trace={','.join(TRACED)}"]
    return [*command, *_injections(faults), "-o", str(to)]


@contextmanager
def injecting(pid: int, *faults: str, path: Path | None = None) -> Iterator[None]:
    """While inside, these system calls of the process fail or are slow, all of them or those on one file.

    A fault is what strace calls an injection, such as `fsync:error=EIO`.
    """
    calls = sorted({call for fault in faults for call in fault.split(":")[0].split(",")})
    command = [_strace(), "-f", "-p", str(pid), "-e", f"trace={','.join(calls)}"]
    command += _injections(faults)
    command += [] if path is None else ["-P", str(path)]
    tracer = subprocess.Popen([*command, "-o", "/dev/null"], stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    attached = threading.Event()
    reader = threading.Thread(target=_watch, args=(tracer, said, attached), daemon=True)
    reader.start()
    try:
        if not attached.wait(_ATTACH_TIMEOUT_S) or tracer.poll() is not None:
            lacking(f"strace may not attach to a process here: {''.join(said)}")
        yield
    finally:
        # It lets go of the process, which goes on.
        tracer.send_signal(signal.SIGINT)
        tracer.wait(_ATTACH_TIMEOUT_S)
        reader.join()


def run_killed(command: Sequence[str | Path], calls: str, at: int) -> bool:
    """Runs a command and kills it when it begins the n-th of these calls. Tells whether it came to that."""
    kill = _injections([f"{calls}:signal=KILL:when={at}"])
    under = [_strace(), "-f", "-o", "/dev/null", "-e", f"trace={calls}", *kill]
    ended = subprocess.run([*under, *command], capture_output=True, text=True)
    # strace ends the way its child did.
    assert ended.returncode in (0, -signal.SIGKILL), ended
    return ended.returncode != 0


def _watch(tracer: "subprocess.Popen[str]", said: list[str], attached: threading.Event) -> None:
    assert tracer.stderr is not None
    with tracer.stderr as stderr:
        for line in stderr:
            said.append(line)
            # "Invalid process" and the like are said as well, and then it is over.
            if re.search(r"Process \d+ attached", line):
                attached.set()
    attached.set()


def _injections(faults: Iterable[str]) -> list[str]:
    return [argument for fault in faults for argument in ("-e", f"inject={fault}")]


def _strace() -> str:
    return shutil.which("strace") or lacking("strace is not installed")


# === Reading a trace ===

_LINE = re.compile(r"(\d+) +(.*)")
_CALL = re.compile(r"(\w+)\(\d+<((?:->|[^<>])*)>(.*?)\) += (-?\d+)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
# An offset or a length is the last argument.
_LAST_NUMBER = re.compile(r", (\d+) *$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def calls(lines: Iterable[str]) -> list[Call]:
    """The calls of a recording that came to an end, in the order in which they began."""
    found: list[Call] = []
    under_way: dict[str, tuple[int, str]] = {}
    for place, line in enumerate(lines):
        matched = _LINE.match(line)
        if matched is None:
            continue
        thread, rest = matched.groups()
        if rest.endswith("<unfinished ...>"):
            under_way[thread] = (place, rest.removesuffix("<unfinished ...>"))
            continue
        began = place
        if resumed := _RESUMED.match(rest):
            began, start = under_way.pop(thread)
            rest = start + resumed.group(1)
        if (call := _call(rest, began, place)) is not None:
            found.append(call)
    return sorted(found, key=lambda call: call.began)


def _call(text: str, began: int, ended: int) -> Call | None:
    matched = _CALL.match(text)
    if matched is None:
        return None
    name, target, arguments, returned = matched.groups()
    content = b"".join(_unhex(string) for string in _STRING.findall(arguments))
    number = _LAST_NUMBER.search(arguments)
    return Call(name, _path(target), content, int(number.group(1)) if number else -1, int(returned), began, ended)


def _path(target: str) -> str:
    return _unhex(target).decode() if target.startswith("\\x") else target


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
