"""Collects facts about a job's files, and small copies of its pictures, for the review.

The agent opens no file of a job. Child processes with the identity of the job's user do, and the job may tamper with
them. So their output is untrusted: it is bounded, and dropped as a whole if any part of it has the wrong shape.
"""

from __future__ import annotations

import base64
import json
import os
import posixpath
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from agent.runtime.processes import WORKSPACE, Stopped, users_processes
from protocol import messages

if TYPE_CHECKING:
    from agent.job import Job

#: Paths and globs that are checked at once, and the length of one, in characters.
MOST_NAMED, NAME_CHARACTERS = 200, 4_000

#: Facts that a child may return; characters of a fact's sentence, after and before secrets are hidden.
MOST_FACTS, DETAIL, DETAIL_RAW = 400, 500, 16 * 1024

#: The longest answer of a child without pictures, in bytes.
ANSWER_BYTES = 512 * 1024

#: Seconds until a child is killed, and until it stops by itself with what it has.
SECONDS, CHILDS_SECONDS = 10.0, 7.0

#: The program that tries examples, and the seconds that it takes at most.
TRY = ["/opt/venv/bin/python", "-I", str(Path(__file__).parents[1] / "children/try_examples.py")]
TRY_SECONDS = 30.0

#: The place of an example's number in its verdict on an uploaded test, and on a test file that the job made.
TEST, WEAK = -1, -2

#: The first bytes of each kind of picture.
BEGINS = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}

#: The command that saves a picture of the screen, and the name of the X server's process.
SCREENSHOT, SCREEN = "screenshot", "Xtigervnc"


class Nonsense(Exception):
    """A child gave no answer, or one of the wrong shape."""


def facts(job: Job, named: list[str]) -> list[messages.Fact]:
    """Check the files that paths and globs name. Returns an empty list if the check itself fails."""
    request = {"root": WORKSPACE, "named": in_workspace(named), "seconds": CHILDS_SECONDS, "columns": job.order.columns}
    try:
        return [_fact(job, one) for one in _list(answer(job, "agent.children.check_files", request), MOST_FACTS)]
    except Nonsense:
        return []


def tried(job: Job) -> list[messages.Fact]:
    """Check the rules of the prompt, and try its examples and its tests. A check that fails itself gives no facts."""
    return _kept_promises(job) + _examples_and_tests(job)


def _kept_promises(job: Job) -> list[messages.Fact]:
    if not job.order.promises:
        return []
    request = {"root": WORKSPACE, "promises": [asdict(one) for one in job.order.promises]}
    try:
        return [_fact(job, one) for one in _list(answer(job, "agent.children.check_promises", request), MOST_FACTS)]
    except Nonsense:
        return []


def _examples_and_tests(job: Job) -> list[messages.Fact]:
    order = job.order
    if not order.examples and not order.tests and not order.tried_tests:
        return []
    examples = [{"call": one.call, "result": one.result, "names": one.names} for one in order.examples]
    request = {
        "root": WORKSPACE, "seconds": TRY_SECONDS, "tests": order.tests, "tried_tests": order.tried_tests,
        "examples": examples,
    }  # fmt: skip
    try:
        told = _list(_ask(job, TRY, request, ANSWER_BYTES, TRY_SECONDS + 5), MOST_FACTS)
        return [_tried(job, one) for one in told]
    except Nonsense:
        return []


def pictures(job: Job, named: list[str], most: int = 4) -> list[messages.Seen]:
    """Copy up to ``most`` pictures: named ones first, then figures, then the newest; the screen, if any, comes last."""
    screen = screenshot(job)
    most -= len(screen)
    request = {"root": WORKSPACE, "named": in_workspace(named), "most": most, "seconds": CHILDS_SECONDS}
    return _pictures(job, request, most) + screen if most > 0 else screen


def screenshot(job: Job) -> list[messages.Seen]:
    """Copy the job's screen if its X server runs. Connecting to the display would start one."""
    if not any(_name_of(pid) == SCREEN for pid in users_processes()):
        return []
    return _pictures(job, {"screen": SCREENSHOT, "seconds": CHILDS_SECONDS}, 1)


def _pictures(job: Job, request: dict[str, Any], most: int) -> list[messages.Seen]:
    try:
        told = answer(
            job, "agent.children.thumbnails", request, most * (messages.SEEN_CHARACTERS + NAME_CHARACTERS * 6)
        )
        return [_seen(job, one) for one in _list(told, most)]
    except Nonsense:
        return []


def in_workspace(named: list[str]) -> list[str]:
    """Make paths and globs relative to the workspace, and drop duplicates and overlong ones."""
    plain = (posixpath.normpath(name.removeprefix(f"{WORKSPACE}/")) for name in named if name.strip())
    return [name for name in dict.fromkeys(plain) if len(name) <= NAME_CHARACTERS and name != "."][:MOST_NAMED]


def answer(job: Job, module: str, request: dict[str, Any], most: int = ANSWER_BYTES) -> Any:
    """Run a module as a child, send it a request, and return its answer from JSON. Raises Nonsense."""
    return _ask(job, [sys.executable, "-I", "-m", module], request, most, SECONDS)


def _ask(job: Job, command: list[str], request: dict[str, Any], most: int, seconds: float) -> Any:
    try:
        child = job.processes.start_look(command, json.dumps(request))
    except (Stopped, OSError):
        raise Nonsense from None
    said, deadline = b"", time.monotonic() + seconds
    assert child.stdout  # noqa: S101 - a pipe
    try:
        while select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            block = os.read(child.stdout.fileno(), 1 << 16)
            said += block
            if not block:
                return json.loads(said)
            if len(said) > most:
                break
    except (ValueError, RecursionError):
        pass
    finally:
        _end(child)
    raise Nonsense


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and its children. They are one process group; its number stays taken until the child is reaped."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert child.stdout  # noqa: S101 - a pipe
    child.stdout.close()


def _list(told: object, most: int) -> list[dict[str, Any]]:
    if not isinstance(told, list) or len(told) > most or not all(isinstance(one, dict) for one in told):
        raise Nonsense
    return told


def _fact(job: Job, told: dict[str, Any]) -> messages.Fact:
    ok = told.get("ok")
    about: messages.About | None = next((word for word in get_args(messages.About) if word == told.get("about")), None)
    if about is None or not isinstance(ok, bool) or ok != (about == "ok"):
        raise Nonsense
    detail = " ".join(text_of(told.get("detail"), DETAIL_RAW).split())
    return messages.Fact(_hidden(job, text_of(told.get("path"))), ok, _hidden(job, detail)[:DETAIL], about)


def _tried(job: Job, told: dict[str, Any]) -> messages.Fact:
    number, ok, path = told.get("example"), told.get("ok"), text_of(told.get("path"))
    if not isinstance(number, int) or not WEAK <= number < len(job.order.examples) or not isinstance(ok, bool):
        raise Nonsense
    firm = number == TEST or (number >= 0 and job.order.examples[number].firm)
    about: messages.About = "ok" if ok else "doubt" if number == WEAK else "test" if firm else "example"
    detail = " ".join(f"{path}: {text_of(told.get('detail'), DETAIL_RAW)}".split())
    return messages.Fact(_hidden(job, path), ok, _hidden(job, detail)[:DETAIL], about)


def _seen(job: Job, told: dict[str, Any]) -> messages.Seen:
    kind, data = told.get("media_type"), told.get("data")
    begin = BEGINS.get(kind) if isinstance(kind, str) else None
    if begin is None or not isinstance(data, str) or len(data) > messages.SEEN_CHARACTERS:
        raise Nonsense
    if len(data) % 4 or not messages.BASE64.fullmatch(data) or not base64.b64decode(data).startswith(begin):
        raise Nonsense
    return messages.Seen(_hidden(job, text_of(told.get("name"))), kind, data)  # type: ignore[arg-type]


def text_of(value: object, most: int = NAME_CHARACTERS) -> str:
    """Return a child's text without lone surrogates. Raises Nonsense if it is not a string or too long."""
    if not isinstance(value, str) or len(value) > most:
        raise Nonsense
    return value.encode("utf-8", "replace").decode()


def _hidden(job: Job, text: str) -> str:
    """Put a text on one line and hide the values of secrets in it."""
    return " ".join(job.needles.text(text).splitlines())


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return ""
