"""The database file: one thread writes, a few threads read, and the event loop never waits for a disk.

Writes that wait at the same time share one transaction, and so one sync of the disk (SQLite with
``synchronous=FULL``). Each write has its own savepoint, so a write that fails does not affect the others.

If the disk is full, writes that end jobs use disk space that is reserved for them. All other writes fail until that
space is reserved again.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import shutil
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
from orchestrator.errors import RecordClosed, RecordFull, SettingsError

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Maximum number of writes in one transaction.
BATCH = 200

#: Milliseconds that SQLite waits for a lock that another connection holds.
BUSY_MS = 30_000

READERS = 4

#: Free pages that the file keeps for the next writes, and pages that one transaction returns to the file system.
KEPT_PAGES, GIVEN_PAGES = 1_000, 500

#: Value of ``PRAGMA auto_vacuum`` for a file that can return its free pages, some at a time.
INCREMENTAL = 2

#: Offset of the header's byte that says so, see https://sqlite.org/fileformat.html, section 1.3.
INCREMENTAL_AT = 67


class Checked(NamedTuple):
    """The result of SQLite's check of the file."""

    version: str  # of the record, see migrations
    wrong: str  # in SQLite's words; empty if the check found nothing
    complete: bool  # False if the time was too short for the whole check


class Write(NamedTuple):
    """A function of a session, in the queue of the writer's thread."""

    work: Callable[[Session], Any]
    future: Future[Any]
    vital: bool  # it may use the reserved disk space


class Database:
    """Runs functions of a session, on the writer's thread or on a reader's thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        _let_shrink(path)
        self._writer_engine = _engine(path, "BEGIN IMMEDIATE", pool_size=1)
        self._reader_engine = _engine(path, "BEGIN", pool_size=READERS)
        try:
            with self._writer_engine.begin() as connection:
                upgrade(connection)
        except DatabaseError as error:
            raise SettingsError(
                f"The record {path} cannot be opened: {error.orig}. Move it away to start with an empty record, "
                "or set another AGENT_OUTPUT_DIR."
            ) from None
        self._reserve = DiskReserve(path.with_suffix(".spare"))
        self._reserve.hold()
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(READERS, "database-reader")
        self.closed = ""  # a sentence that says why, once writing has stopped for good
        self._writer = threading.Thread(target=self._run_writer, name="database-writer", daemon=True)
        self._writer.start()

    async def write(self, work: Callable[[Session], T], *, vital: bool = False) -> T:
        """Run ``work`` in a transaction, and return its result when its changes are on disk.

        A ``vital`` write may use the reserved disk space, since it frees other space.
        Raises RecordFull and RecordClosed.
        """
        future: Future[T] = Future()
        self._queue.put(Write(work, future, vital))
        if self.closed:  # the writer sets this before it empties the queue for the last time
            self._refuse_waiting()
        return await asyncio.wrap_future(future)

    async def give_back(self) -> bool:
        """Return some free pages of the file to the file system. Returns whether there are more."""
        return await self.write(_give_back, vital=True)

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run ``work`` on the present content of the file."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def read_here(self, work: Callable[[Session], T]) -> T:
        """Do the same as ``read``, for a caller that is on its own thread. Blocks."""
        return self._readers.submit(self._read, work).result()

    async def check(self, seconds: float) -> Checked:
        """Look for damage in the file, for at most ``seconds``."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._check, seconds)

    def close(self) -> None:
        """Finish the waiting writes and close the file."""
        self._queue.put(None)
        self._writer.join()
        self._readers.shutdown()
        self._reader_engine.dispose()
        self._writer_engine.dispose()

    def _check(self, seconds: float) -> Checked:
        # a new connection, because the check must read the file and not a cache
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
                timer.join()  # the timer must not interrupt a closed connection
            return Checked(version, "" if found == ["ok"] else "; ".join(found), complete=True)

    def _read(self, work: Callable[[Session], T]) -> T:
        with Session(self._reader_engine, expire_on_commit=False) as session:
            return work(session)

    def _run_writer(self) -> None:
        why = "the record is closed"
        try:
            self._write_all()
        except BaseException as error:
            why = f"the thread that writes the record has ended: {error!r}"
            log.critical("nothing can be stored, because %s", why, exc_info=error)
        self.closed = f"From now on, nothing can be stored: {why}. Restart the orchestrator."
        self._refuse_waiting()

    def _refuse_waiting(self) -> None:
        """Fail every waiting write."""
        while True:
            try:
                write = self._queue.get_nowait()
            except queue.Empty:
                return
            if write and write.future.set_running_or_notify_cancel():
                write.future.set_exception(RecordClosed(self.closed))

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
            self._write_guarded(batch)
            if stop:
                return

    def _write_guarded(self, batch: list[Write]) -> None:
        """Run a batch. On any error, each of its writes still gets an answer, and this thread continues."""
        batch = [write for write in batch if write.future.set_running_or_notify_cancel()]  # False if cancelled
        try:
            self._write_batch(batch)
        except BaseException as error:
            log.exception("writing to the record went wrong")
            for write in batch:
                if not write.future.done():
                    write.future.set_exception(error)

    def _write_batch(self, batch: list[Write]) -> None:
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
        """Run a batch in one transaction. Returns its vital writes that failed because the disk is full."""
        outcomes: list[tuple[Write, Any, BaseException | None]] = []
        try:
            with Session(self._writer_engine, expire_on_commit=False) as session, session.begin():
                for write in batch:
                    try:
                        with session.begin_nested():
                            result = write.work(session)
                        session.expunge_all()  # the next write must not change this result
                        outcomes.append((write, result, None))
                    except BaseException as error:
                        if _is_full(error):
                            raise
                        outcomes.append((write, None, error))
        except BaseException as error:  # no commit, or a full disk: the whole batch is lost
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

    def _full(self, cause: BaseException | None = None) -> RecordFull:
        full = RecordFull(f"Nothing can be stored: the disk of {self._path.parent} is full. Make room, then try again.")
        full.__cause__ = cause
        return full


def _let_shrink(path: Path) -> None:
    """Rewrite a record once if it cannot return its free pages. SQLite supports that only in a file made for it.

    This must come before any other connection, because an open connection would not notice the change. On an error,
    the record stays as it is, a line is logged, and the next start tries again.
    """
    try:
        if path.exists() and _header(path)[INCREMENTAL_AT]:
            return  # opening a connection and closing it would clear the write-ahead log
        with closing(sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None)) as connection:
            if connection.execute("PRAGMA auto_vacuum").fetchone()[0] == INCREMENTAL:
                return
            size = path.stat().st_size
            if size:
                log.info("the record is rewritten once, so that it can give room back to the disk")
            if shutil.disk_usage(path.parent).free < 2 * size:
                raise OSError(f"{path.parent} has not twice its size free")
            connection.execute(f"PRAGMA auto_vacuum={INCREMENTAL}")
            connection.execute("VACUUM")
    except (sqlite3.Error, OSError) as error:
        log.warning("the record cannot be rewritten, so it does not shrink for now: %s", error)


def _header(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(100).ljust(100, b"\0")


def _give_back(session: Session) -> bool:
    cursor = session.connection().connection.cursor()

    def asked(pragma: str) -> int:
        return int(cursor.execute(f"PRAGMA {pragma}").fetchone()[0])

    try:
        free = asked("freelist_count") - KEPT_PAGES if asked("auto_vacuum") == INCREMENTAL else 0
        for _ in range(min(free, GIVEN_PAGES)):
            cursor.execute("PRAGMA incremental_vacuum(1)")  # it frees a page per step, and sqlite3 makes one step
        return free > GIVEN_PAGES
    finally:
        cursor.close()


def _is_full(error: BaseException) -> bool:
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
        connection.isolation_level = None  # we send BEGIN ourselves, see SQLAlchemy's pysqlite page on savepoints
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine
