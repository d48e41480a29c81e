"""What the fault tests share: servers that may be killed, and coroutines as tests."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from claviger import BINARY
from fleet import Quickstart
from victim import Victim

NewVictim = Callable[..., Victim]


def pytest_sessionstart() -> None:
    if not BINARY.is_file():
        pytest.exit(f"no server to test: build it with `cargo build`, or set CLAVIGER_BIN ({BINARY})", returncode=2)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a test that is a coroutine in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**arguments), debug=False)
    return True


@pytest.fixture
def new_victim(tmp_path: Path) -> Iterator[NewVictim]:
    """Makes servers, each in a directory of its own. One that still runs at the end is killed, by its id."""
    made: list[Victim] = []

    def make(directory: Path | None = None) -> Victim:
        if directory is None:
            directory = tmp_path / f"victim-{len(made)}"
            directory.mkdir()
        made.append(Victim(directory))
        return made[-1]

    yield make
    for victim in made:
        victim.put_down()


@pytest.fixture
def victim(new_victim: NewVictim) -> Victim:
    return new_victim()


@pytest.fixture
def fleet(victim: Victim) -> Quickstart:
    """A running server with its first fleet. `victim` is the server."""
    return victim.found()
