"""Hooks that Python runs at its start if PYTHONPATH contains this folder: see test_disk.py.

The hooks report on stderr each access to the record's disk on an event loop. A file named "hangs" beside the record
makes calls of a function hang on all threads except the main thread. The file contains the function's name. The file
"hanging" appears when such a call hangs.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORD = os.environ["AGENT_OUTPUT_DIR"]
HANGS = Path(RECORD).parent / "hangs"

#: Audit events of calls that take a path, and functions without an audit event.
EVENTS = {
    "open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.listdir", "os.scandir", "os.link", "os.truncate",
    "shutil.rmtree", "sqlite3.connect",
}  # fmt: skip
FUNCTIONS = ("statvfs", "stat", "lstat", "fsync", "fdatasync", "replace", "scandir")


def of_the_record(given: tuple[Any, ...]) -> bool:
    if not given or not isinstance(given[0], str | bytes | os.PathLike):
        return bool(given)  # a file descriptor
    return os.fsdecode(given[0]).startswith(RECORD)


def look(what: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    stack = traceback.extract_stack()[:-2]
    if not any(frame.name == "create_system" for frame in stack):  # before the orchestrator serves clients
        print(f"ON THE LOOP: {what}", *traceback.format_list(stack[-5:]), sep="\n", file=sys.stderr)


def on_event(event: str, given: tuple[Any, ...]) -> None:
    if event in EVENTS and not isinstance(given[0], int) and of_the_record(given):
        look(event)


def hangs(name: str, given: tuple[Any, ...]) -> bool:
    if threading.current_thread() is threading.main_thread():
        return False
    of_a_folder = name == "fsync" and os.path.isdir(f"/proc/self/fd/{given[0]}")
    return HANGS.exists() and HANGS.read_text() == (f"{name} of a folder" if of_a_folder else name)


def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        if of_the_record(given):
            look(name)
            while name not in ("stat", "lstat") and hangs(name, given):
                HANGS.with_name("hanging").touch()
                time.sleep(0.02)
        return real(*given, **named)

    return call


sys.addaudithook(on_event)
for function in FUNCTIONS:
    setattr(os, function, watched(function, getattr(os, function)))
