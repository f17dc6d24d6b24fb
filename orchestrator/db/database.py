"""The database file: one thread writes, a few read, and nothing on the event loop waits for a disk.

Writes that are waiting at the same time share one transaction, and so one sync of the disk (SQLite with
``synchronous=FULL``); each is in a savepoint of its own, so that one that fails takes no other with it.

Where the disk is full, what ends jobs is stored all the same, on room that is held back for it, and nothing else is
until that room is held again.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from sqlalchemy import Engine, event
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session, create_engine

from orchestrator.db.disk_reserve import DiskReserve
from orchestrator.db.migrations import upgrade
from orchestrator.errors import RecordFull, SettingsError

T = TypeVar("T")

#: Writes in one transaction, at most.
BATCH = 200

#: Milliseconds that SQLite waits for a lock that somebody else holds.
BUSY_MS = 30_000

READERS = 4


class Checked(NamedTuple):
    """What SQLite finds in the file."""

    version: str  # of the record, see migrations
    wrong: str  # in SQLite's words; empty where nothing was found
    complete: bool  # False where there was no time for all of it


class Write(NamedTuple):
    """A function of a session that waits for its turn."""

    work: Callable[[Session], Any]
    future: Future[Any]
    vital: bool  # it may take the room that is held back


class Database:
    """Runs functions of a session, on the writer's thread or on one of the readers'."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer_engine = _engine(path, "BEGIN IMMEDIATE", pool_size=1)
        self._reader_engine = _engine(path, "BEGIN", pool_size=READERS)
        try:
            with self._writer_engine.begin() as connection:
                upgrade(connection)
        except DatabaseError as error:
            raise SettingsError(
                f"The record {path} cannot be opened: {error.orig}. Move it away to begin anew, or set another "
                "AGENT_OUTPUT_DIR."
            ) from None
        self._reserve = DiskReserve(path.with_suffix(".spare"))
        self._reserve.hold()
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(READERS, "database-reader")
        self._writer = threading.Thread(target=self._write_all, name="database-writer", daemon=True)
        self._writer.start()

    async def write(self, work: Callable[[Session], T], *, vital: bool = False) -> T:
        """Run ``work`` in a transaction; what it returned is on disk when this returns.

        Raises RecordFull; what is ``vital`` has some room of its own, since it gives other room back.
        """
        future: Future[T] = Future()
        self._queue.put(Write(work, future, vital))
        return await asyncio.wrap_future(future)

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run ``work`` on what is on disk now."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def check(self, seconds: float) -> Checked:
        """Look for damage, for so long at most."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._check, seconds)

    def close(self) -> None:
        """Finish the writes that wait and close the file."""
        self._queue.put(None)
        self._writer.join()
        self._readers.shutdown()
        self._reader_engine.dispose()
        self._writer_engine.dispose()

    def _check(self, seconds: float) -> Checked:
        # a connection of its own, because what is read anew must come from the file
        with closing(sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True)) as connection:
            timer = threading.Timer(seconds, connection.interrupt)
            timer.start()
            version = ""
            try:
                version = str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
                found = [str(line) for (line,) in connection.execute("PRAGMA quick_check(3)")]
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
                    return Checked(version, "", complete=False)
                return Checked(version, str(error), complete=True)
            finally:
                timer.cancel()
                timer.join()  # before the connection goes
            return Checked(version, "" if found == ["ok"] else "; ".join(found), complete=True)

    def _read(self, work: Callable[[Session], T]) -> T:
        with Session(self._reader_engine, expire_on_commit=False) as session:
            return work(session)

    def _write_all(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            stop = False
            while len(batch) < BATCH and not stop:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    stop = True
                else:
                    batch.append(following)
            self._write_batch(batch)
            if stop:
                return

    def _write_batch(self, batch: list[Write]) -> None:
        batch = [write for write in batch if write.future.set_running_or_notify_cancel()]  # else who asked has gone
        if not self._reserve.hold():
            for write in batch:
                if not write.vital:
                    write.future.set_exception(self._full())
            batch = [write for write in batch if write.vital]
        left = self._try(batch)
        if left and self._reserve.give():
            left = self._try(left)
        for write in left:
            write.future.set_exception(self._full())

    def _try(self, batch: list[Write]) -> list[Write]:
        """Run them in one transaction; returns those that are vital and find no room."""
        outcomes: list[tuple[Write, Any, Exception | None]] = []
        try:
            with Session(self._writer_engine, expire_on_commit=False) as session, session.begin():
                for write in batch:
                    try:
                        with session.begin_nested():
                            result = write.work(session)
                        session.expunge_all()  # what it returned is of this moment: the next write does not change it
                        outcomes.append((write, result, None))
                    except Exception as error:
                        if _is_full(error):
                            raise
                        outcomes.append((write, None, error))
        except Exception as error:  # the commit failed, or the disk is full: nothing of the batch is on disk
            outcomes = [(write, None, error) for write in batch]
        left = []
        for write, result, failed in outcomes:
            if failed is None:
                write.future.set_result(result)
            elif write.vital and _is_full(failed):
                left.append(write)
            else:
                write.future.set_exception(self._full(failed) if _is_full(failed) else failed)
        return left

    def _full(self, cause: Exception | None = None) -> RecordFull:
        full = RecordFull(f"Nothing can be stored: the disk of {self._path.parent} is full. Make room, then try again.")
        full.__cause__ = cause
        return full


def _is_full(error: Exception) -> bool:
    return isinstance(error, DatabaseError) and getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL


def _engine(path: Path, begin: str, pool_size: int) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False},
        pool_size=pool_size,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see SQLAlchemy's pysqlite page on savepoints
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine
