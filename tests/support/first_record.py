"""The record of version 0.1.0."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.system import ROOT

#: A record from version 0.1.0, before there were migrations: a completed job and a failed job.
FIRST_RECORD = ROOT / "tests/data/record-0.1.0.sql"


def write(path: Path, sql: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as record:
        record.executescript(sql)
