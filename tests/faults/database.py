"""The database as a file, looked at with SQLite and nothing else."""

import json
import sqlite3
from pathlib import Path
from typing import Any

Records = dict[tuple[str, str], Any]


def counted(path: Path) -> Records:
    """The records as the entries of the journal make them, one after the other."""
    records: Records = {}
    for (entry,) in rows(path, "SELECT entry FROM journal ORDER BY seq"):
        for change in json.loads(entry)["changes"]:
            name = (change["kind"], change["id"])
            if change.get("value") is None:
                del records[name]
            else:
                records[name] = change["value"]
    return records


def recorded(path: Path) -> Records:
    """The records as they stand."""
    return {(kind, id): json.loads(value) for kind, id, value in rows(path, "SELECT kind, id, value FROM record")}


def rows(path: Path, query: str) -> list[Any]:
    database = sqlite3.connect(path)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()
