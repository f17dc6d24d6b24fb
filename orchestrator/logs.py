"""Logging: one JSON object per line on stderr, with the job's ID on each line about a job.

``concerns`` is called once where work for a job begins, such as an HTTP call or a task. Every later line of that work
has the fields ``job`` and ``sandbox``, also in threads and libraries.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.errors import OrchestratorError

log = logging.getLogger(__name__)

#: The IDs of the job and the sandbox that the current task works on.
_subject: ContextVar[tuple[str | None, str | None]] = ContextVar("subject", default=(None, None))

#: Libraries that log from level warning only.
CHATTY = (
    "alembic", "apscheduler", "docker", "google_genai", "httpcore2", "httpx2", "openai", "python_multipart", "urllib3",
)  # fmt: skip

#: Maximum characters of a path or an ID from a client.
GIVEN = 200

#: Read-only methods. Their successful calls are logged at level debug, because clients poll.
READING = ("GET", "HEAD", "OPTIONS")


def begin(level: str) -> None:
    """Log to stderr from this level up."""
    handler = logging.StreamHandler(sys.stderr)
    # uvicorn adds a coloured copy of its messages
    handler.setFormatter(
        LogFormatter(rename_fields={"exc_info": "exception"}, reserved_attrs=[*RESERVED_ATTRS, "color_message"])
    )
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    threading.excepthook = _on_thread_failed
    for name in CHATTY:
        logging.getLogger(name).setLevel("WARNING")


def concerns(job_id: str | None = None, sandbox_id: str | None = None) -> None:
    """Set the job that this task's later log lines are about. Without an ID, clear it."""
    _subject.set((job_id, sandbox_id))


@contextlib.contextmanager
def about(job_id: str | None = None, sandbox_id: str | None = None) -> Iterator[None]:
    """Set the job as ``concerns`` does, until the block ends."""
    before = _subject.set((job_id, sandbox_id))
    try:
        yield
    finally:
        _subject.reset(before)


class Again:
    """Logger for repeated work. It logs an error that repeats once; a fault in the code has its traceback."""

    def __init__(self, log: logging.Logger) -> None:
        self._log, self._said = log, ""

    def well(self) -> None:
        """Forget the last error after a success, so that the next error is logged."""
        self._said = ""

    def wrong(self, error: Exception, message: str, *given: object) -> None:
        """Log the error unless it repeats the last one. Call it in the ``except`` block."""
        if str(error) != self._said:
            if isinstance(error, OSError | OrchestratorError):
                self._log.error(f"{message}: %s", *given, error)
            else:
                self._log.exception(message, *given)
        self._said = str(error)


class LogFormatter(JsonFormatter):
    """Format a record as JSON in ASCII, so that external text cannot begin a line or control a terminal."""

    def add_fields(
        self, log_data: dict[str, object], record: logging.LogRecord, message_dict: dict[str, object]
    ) -> None:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        log_data |= {"time": at, "level": record.levelname.lower(), "logger": record.name, "message": record.message}
        for name, value in zip(("job", "sandbox"), _subject.get(), strict=True):
            if value is not None:
                log_data[name] = value
        super().add_fields(log_data, record, message_dict)


class Access:
    """Access log: one line per HTTP call with method, path without query, status, and duration in milliseconds.

    Level info has rejected calls and, on the users' API, calls that may change something. All other calls, and all
    calls of /health and /livez, are at level debug.
    """

    def __init__(self, app: ASGIApp, door: str, quiet: tuple[str, ...] = READING) -> None:
        self._app, self._log, self._quiet = app, logging.getLogger(f"orchestrator.{door}"), quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        concerns()  # the second request on a connection inherits the context of the first
        begun, status = time.perf_counter(), 500

        async def noticed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noticed)
        finally:
            path, client = scope["path"][:GIVEN], (scope.get("client") or ("",))[0]
            polled = path in ("/health", "/livez") or (status < 400 and scope["method"] in self._quiet)
            fields = {
                "method": scope["method"],
                "path": path,
                "status": status,
                "ms": round(1000 * (time.perf_counter() - begun), 1),
                **({"client": client} if client else {}),
            }
            self._log.log(logging.DEBUG if polled else logging.INFO, "call", extra=fields)


def _on_thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None:
        log.error("a thread failed", exc_info=failed.exc_value)
