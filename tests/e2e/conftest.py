"""What the tests share: running servers, and coroutines as tests.

    cargo build
    python -m venv .venv && .venv/bin/pip install -r tests/e2e/requirements.txt     # Python 3.11 or newer
    (cd tests/node && npm ci)                                                       # for the TypeScript of the pages
    .venv/bin/python -m pytest tests/e2e

`CLAVIGER_BIN` names another binary than `target/debug/claviger`.
"""

import asyncio
import inspect
from collections.abc import Callable, Generator, Iterator, Sequence

import pytest

from claviger import BINARY, Server
from fleet import Quickstart, TwoOrganizations

StartServer = Callable[..., Server]

_TIMEOUT_S = 120


def pytest_sessionstart() -> None:
    if not BINARY.is_file():
        pytest.exit(f"no server to test: build it with `cargo build`, or set CLAVIGER_BIN ({BINARY})", returncode=2)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a test that is a coroutine in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    # A server that does not answer is a failure with a name, not a run that never ends.
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), _TIMEOUT_S))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Puts the end of the server's log beside a failure."""
    report = yield
    if report.failed:
        for server in item.session.stash.get(_SERVERS, []):
            if server.running:
                report.sections.append((f"log of {server.url}", server.log()[-4_000:]))
    return report


_SERVERS = pytest.StashKey[list[Server]]()


@pytest.fixture(scope="session")
def new_server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[StartServer]:
    """Makes servers, each with a directory of its own; the ones that still run are stopped at the end.

    Stopping is itself a test: the exit status is 0, and no secret is in the logs or on the disk.
    """
    servers = request.session.stash.setdefault(_SERVERS, [])

    def make(options: Sequence[str] = ()) -> Server:
        server = Server(tmp_path_factory.mktemp("server"), options)
        servers.append(server)
        return server

    yield make
    for server in servers:
        if server.running:
            server.stop()


@pytest.fixture(scope="session")
def home(new_server: StartServer) -> Quickstart:
    """A server that all tests share. They leave its first location, machine and keys as they are."""
    return Quickstart.start(new_server())


@pytest.fixture
def own(new_server: StartServer) -> Iterator[Quickstart]:
    """A server for one test, which may do with it what it likes."""
    started = Quickstart.start(new_server())
    yield started
    if started.server.running:
        started.server.stop()


@pytest.fixture(scope="session")
def two(new_server: StartServer) -> TwoOrganizations:
    """A server with two organizations that know nothing of each other."""
    started = Quickstart.start(new_server())
    started.server.stop()
    foreign = started.server.init("neighbours")
    started.server.serve()
    return TwoOrganizations(started, foreign)
