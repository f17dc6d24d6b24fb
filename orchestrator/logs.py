"""What is logged: one JSON object a line on stderr, with the job's id on each line that concerns a job.

Where a job's work begins (a call at either door, a task of its own), ``concerns`` is called once; every line that is
logged from there on, also on threads and by libraries, has the fields ``job`` and ``sandbox``.
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

log = logging.getLogger(__name__)

#: The ids of the job, and of its sandbox, that this task is about.
_subject: ContextVar[tuple[str | None, str | None]] = ContextVar("subject", default=(None, None))

#: Libraries of which only warnings are worth a line.
CHATTY = (
    "alembic", "apscheduler", "docker", "google_genai", "httpcore2", "httpx2", "openai", "python_multipart", "urllib3",
)  # fmt: skip

#: Characters of a path or an id that a caller gave, at most.
GIVEN = 200

#: Calls that change nothing; one that succeeds is logged at level debug, because clients poll.
READING = ("GET", "HEAD", "OPTIONS")


def begin(level: str) -> None:
    """Log to stderr from this level on."""
    handler = logging.StreamHandler(sys.stderr)
    # uvicorn gives its messages in colour too
    handler.setFormatter(
        LogFormatter(rename_fields={"exc_info": "exception"}, reserved_attrs=[*RESERVED_ATTRS, "color_message"])
    )
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    threading.excepthook = _on_thread_failed
    for name in CHATTY:
        logging.getLogger(name).setLevel("WARNING")


def concerns(job_id: str | None = None, sandbox_id: str | None = None) -> None:
    """From here on, what this task logs is about this job (or, where there is none given, about none)."""
    _subject.set((job_id, sandbox_id))


@contextlib.contextmanager
def about(job_id: str | None = None, sandbox_id: str | None = None) -> Iterator[None]:
    """As ``concerns``, for a part of a task; what is said within ends with it."""
    before = _subject.set((job_id, sandbox_id))
    try:
        yield
    finally:
        _subject.reset(before)


class Again:
    """What is done again and again: what goes wrong in the same way each time is told once, with its trace."""

    def __init__(self, log: logging.Logger) -> None:
        self._log, self._said = log, ""

    def well(self) -> None:
        """It went well: what goes wrong from now on is new."""
        self._said = ""

    def wrong(self, error: Exception, message: str, *given: object) -> None:
        """To be called where the error was caught."""
        if str(error) != self._said:
            self._log.exception(message, *given)
        self._said = str(error)


class LogFormatter(JsonFormatter):
    """A record as JSON in ASCII: what comes from outside can neither begin a line nor steer a terminal."""

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
    """A line for each call at a door: method, path without its query, status, and milliseconds until its end.

    At level info are calls that may have changed something (at the users' door), and those that were refused; the
    rest, and every question for the system's health, at level debug.
    """

    def __init__(self, app: ASGIApp, door: str, quiet: tuple[str, ...] = READING) -> None:
        self._app, self._log, self._quiet = app, logging.getLogger(f"orchestrator.{door}"), quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        concerns()  # a call that came right behind another one on its connection begins in that one's context
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
            polled = path == "/health" or (status < 400 and scope["method"] in self._quiet)
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
