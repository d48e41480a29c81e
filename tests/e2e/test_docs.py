"""The documentation is true: its code runs, and the tests it names are there."""

import ast
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from viam.app.viam_client import ViamClient

from claviger import BINARY, REPOSITORY, ApiKey, Server, environment
from fleet import KINDS
from test_roles import ORGANIZATION_WIDE, PERMISSIONS
from wire import sdk, watch

DOCS = REPOSITORY / "docs"
NODE_TESTS = REPOSITORY / "tests" / "node"

# === docs/api-keys.md: every block of code runs ===


@dataclass(frozen=True)
class Block:
    """A block of code of a page, with the line that it starts at."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name in a first line such as `# dashboard.py`: the block is a file, not a step."""
        match = re.match(r"(?:#|//) (\S+\.\w+)\n", self.text)
        return match[1] if match else None

    @property
    def serves(self) -> bool:
        """Whether it starts the authority that the rest of the page is about."""
        return self.language == "sh" and self.text.startswith("claviger quickstart ")


def blocks(page: Path) -> list[Block]:
    found = []
    fence: tuple[str, int] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(keepends=True), start=1):
        if not line.startswith("```"):
            lines.append(line)
        elif fence is None:
            fence, lines = (line.strip().removeprefix("```"), number + 1), []
        else:
            found.append(Block(page, fence[1], fence[0], "".join(lines)))
            fence = None
    assert fence is None, f"{page}: a block does not end"
    return found


API_KEYS = blocks(DOCS / "api-keys.md")


@dataclass
class Page:
    """A page that is followed by somebody: a directory, and the authority that its first block started."""

    directory: Path
    server: Server
    ready: dict[str, Any]

    def filled_in(self, text: str) -> str:
        """The text with what is true of this authority in place of what the page says instead."""
        places = {
            "<org-id>": self.ready["organization_id"],
            "<location-id>": self.ready["location_id"],
            "<machine-id>": self.ready["machine_id"],
            "<owner-key-id>": self.ready["owner_key"]["id"],
            "<owner-key>": self.ready["owner_key"]["key"],
            "<operator-key-id>": self.ready["operator_key"]["id"],
            "<operator-key>": self.ready["operator_key"]["key"],
            "http://localhost:8080": self.ready["url"],
        }
        for place, content in places.items():
            text = text.replace(place, content)
        # Quotation marks keep types and comparisons out of this.
        assert re.search(r"[\"=' ]<[a-z][a-z-]*>", text) is None, f"a place that is not filled in: {text}"
        return text

    async def keys(self) -> list[tuple[str, str]]:
        owner = ApiKey.from_json(self.ready["owner_key"])
        async with sdk(self.server, owner) as app:
            listed = await app.list_keys(self.ready["organization_id"])
        return [(key.api_key.id, key.api_key.name) for key in listed]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """Follows the first block of the page."""
    (start,) = [block for block in API_KEYS if block.serves]
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "claviger").symlink_to(BINARY)
    (programs / "python").symlink_to(sys.executable)

    server = Server(tmp_path)
    server.data = tmp_path / "claviger-data"
    assert f"--data {server.data.name} " in start.text
    # Its port may be taken by somebody here.
    command = start.text.replace("127.0.0.1:8080", "127.0.0.1:0")
    assert command != start.text
    ready = server.launch(["env", f"PATH={programs}:{os.environ['PATH']}", "bash", "-euc", command], tmp_path)
    yield Page(tmp_path, server, ready)
    server.stop()


def test_the_page_has_blocks_in_every_language() -> None:
    languages = {block.language for block in API_KEYS}
    assert languages == {"python", "typescript", "sh", "json"}


def test_the_ready_line_is_as_the_page_says(page: Page) -> None:
    (shown,) = [block for block in API_KEYS if block.language == "json"]
    said = ast.literal_eval(page.filled_in(shown.text))
    assert said == page.ready


async def test_the_python_of_the_page_runs(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    initially = await page.keys()
    namespace: dict[str, Any] = {}
    printed = io.StringIO()
    steps = [block for block in API_KEYS if block.language == "python" and block.file is None]
    try:
        with redirect_stdout(printed):
            for block in steps:
                await run_python(block, page, namespace)
                if isinstance(client := namespace.get("client"), ViamClient):
                    watch(client)
    finally:
        if "client" in namespace:
            namespace["client"].close()
    assert f"{namespace['api_key_id']}: warehouse-monitoring\n    location_operator " in printed.getvalue()
    assert namespace["same_id"] == namespace["new_key_id"] != namespace["api_key_id"]
    # What the page makes it also deletes.
    assert await page.keys() == initially


async def run_python(block: Block, page: Page, namespace: dict[str, Any]) -> None:
    """Runs a block as it would run in `python -m asyncio`, with the lines of the page in its tracebacks."""
    padded = "\n" * (block.line - 1) + page.filled_in(block.text)
    code = compile(padded, block.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, namespace)
    if running is not None:
        await running


def test_the_shell_of_the_page_runs(page: Page) -> None:
    for block in API_KEYS:
        if block.file is not None:
            (page.directory / block.file).write_text(page.filled_in(block.text), encoding="utf-8")
    script = "".join(page.filled_in(block.text) for block in API_KEYS if block.language == "sh" and not block.serves)
    assert "python dashboard.py" in script
    path = f"{page.directory / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=page.directory,
        env={**environment(), "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    # The name of the machine that quickstart makes, whatever it is.
    assert done.stdout.strip()


async def test_the_typescript_of_the_page_runs(page: Page) -> None:
    assert shutil.which("node"), "node is not installed"
    assert (NODE_TESTS / "node_modules").is_dir(), "run `npm ci` in tests/node"
    initially = await page.keys()
    module = "\n".join(page.filled_in(block.text) for block in API_KEYS if block.language == "typescript")
    # A module is looked for beside the file that imports it.
    file = page.directory / "page.mjs"
    file.write_text(module, encoding="utf-8")
    (page.directory / "node_modules").symlink_to(NODE_TESTS / "node_modules")
    done = subprocess.run(["node", file.name], cwd=page.directory, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    created = re.search(r"^created (\S+)$", done.stdout, re.MULTILINE)
    assert created is not None
    assert f"{created[1]}: arm-control\n    robot_operator {page.ready['machine_id']}\n" in done.stdout
    assert f"rotated {created[1]}\n" in done.stdout
    assert await page.keys() == initially


def test_a_place_that_is_not_filled_in_is_noticed(page: Page) -> None:
    for text in ('f("<api-key-id>")', "viam --key-id <key-id>", "KEY=<key>"):
        with pytest.raises(AssertionError, match="not filled in"):
            page.filled_in(text)


# === docs/permissions.md: the table is the matrix ===


def test_the_page_of_permissions_has_the_matrix() -> None:
    rows = table_rows(DOCS / "permissions.md", r"`(\w+)`")
    said = {row[0].strip("`"): row[1:] for row in rows}
    assert said.keys() == PERMISSIONS.keys()
    for name, (wide, *cells) in said.items():
        assert dict(zip(KINDS, [cell == "yes" for cell in cells], strict=True)) == PERMISSIONS[name], name
        assert set(cells) <= {"yes", "-"}, name
        assert (wide == "wide") == (name in ORGANIZATION_WIDE), name


# === docs/mission.md: every statement has its proof ===

MISSION = DOCS / "mission.md"
TEST_NAME = re.compile(r"`((?:tests/|\w+::)[^`]+)`")


def table_rows(page: Path, first_cell: str) -> list[list[str]]:
    """The rows of the page's tables whose first cell looks like this."""
    found = []
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if cells and re.fullmatch(first_cell, cells[0]):
            found.append(cells)
    assert found, f"{page}: no such table"
    return found


def statements() -> list[list[str]]:
    """The numbered statements, without the table of differences at the end, which has a column more."""
    return [row for row in table_rows(MISSION, r"\d+") if len(row) == 3]


def test_statements_are_numbered_without_a_gap() -> None:
    numbers = [int(number) for number, *_ in statements()]
    assert numbers == list(range(1, len(numbers) + 1))
    known = set(numbers)
    assert {int(number) for number, *_ in table_rows(MISSION, r"\d+")} == known


@pytest.mark.parametrize("row", statements(), ids=lambda row: f"statement-{row[0]}")
def test_every_statement_has_a_proof_or_says_not_yet(row: list[str]) -> None:
    _, statement, proof = row
    assert statement
    assert TEST_NAME.search(proof) is not None or "not yet" in proof


def test_every_test_that_is_named_exists() -> None:
    named = {name for *_, cell in table_rows(MISSION, r"\d+") for name in TEST_NAME.findall(cell)}
    assert len(named) > 30
    there = python_tests() | node_tests() | rust_tests()
    assert sorted(named - there) == []


def python_tests() -> set[str]:
    """What pytest collects, without parameters."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "--no-header", "tests/e2e"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    names = {line.split("[")[0] for line in done.stdout.splitlines() if "::" in line}
    # Relative to the directory of pytest.ini.
    return {f"tests/e2e/{name.removeprefix('tests/e2e/')}" for name in names}


def node_tests() -> set[str]:
    found = set()
    for file in NODE_TESTS.glob("*.test.mjs"):
        for name in re.findall(r'^\s*test\("([^"]+)"', file.read_text(encoding="utf-8"), re.MULTILINE):
            found.add(f"tests/node/{file.name}::{name}")
    return found


def rust_tests() -> set[str]:
    """Tests by crate and function: what has `#[test]` or another attribute that ends in `test` above it."""
    found = set()
    attribute = r"#\[(?:\w+::)*test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)"
    for crate in (REPOSITORY / "crates").iterdir():
        for file in crate.rglob("*.rs"):
            found |= {f"{crate.name}::{name}" for name in re.findall(attribute, file.read_text(encoding="utf-8"))}
    return found
