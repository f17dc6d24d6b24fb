"""Judges results inside the disposable container: ``python -m skill.inside FOLDER``.

FOLDER contains ``list.json`` and a folder per result with ``workspace``, ``given`` and, if a script makes the result,
``script``. Each verdict is one JSON line on standard output. Programs of a result run in separate processes, so that
they cannot end the judge.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from skill.task import Wrong
from skill.tasks import TASKS

#: Seconds for one verdict, and for a script that makes a result.
VERDICT_SECONDS, SCRIPT_SECONDS = 60, 60

RUN = {"python": ["python3"], "bash": ["bash"], "node": ["node"]}


def verdict(entry: dict[str, str]) -> dict[str, Any]:
    """Judge one result."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(VERDICT_SECONDS + SCRIPT_SECONDS)
    folder = Path(entry["folder"])
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            here, given = Path(temporary, "workspace"), Path(temporary, "given")
            shutil.copytree(folder / "workspace", here, symlinks=True)
            shutil.copytree(folder / "given", given)
            if "language" in entry:
                _make(entry["language"], folder / "script", here)
            judge = TASKS[entry["task"]].judge
            assert judge is not None, "the status alone judges this task"  # noqa: S101 - no input decides this
            judge(here, given)
        return {"key": entry["key"], "passed": True, "why": ""}
    except Wrong as wrong:
        return {"key": entry["key"], "passed": False, "why": str(wrong)[:500]}
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        # the judge read a file whose format differs from the prompt's
        at = traceback.extract_tb(error.__traceback__)[-1]
        why = f"the result has an unexpected form: {type(error).__name__}: {error} (in {at.name}, line {at.lineno})"
        return {"key": entry["key"], "passed": False, "why": why[:500]}
    finally:
        signal.alarm(0)


def _too_long(*_: object) -> None:
    raise Wrong(f"judging took more than {VERDICT_SECONDS + SCRIPT_SECONDS} s")


def _make(language: str, script: Path, here: Path) -> None:
    """Run the script that makes the result, and kill its remaining processes."""
    # a server left by the script would keep a pipe open, but not a file
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            [*RUN[language], str(script)], cwd=here, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=printed, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(SCRIPT_SECONDS)
        except subprocess.TimeoutExpired:
            raise Wrong(f"the script took more than {SCRIPT_SECONDS} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        printed.seek(0)
        last = (printed.read().decode(errors="replace").strip().splitlines() or ["no error message"])[-1]
    if code != 0:
        raise Wrong(f"the script ended with exit code {code}: {last}")


def main(folder: Path) -> None:
    entries = json.loads((folder / "list.json").read_text())
    for entry in entries:
        entry["folder"] = str(folder / entry["key"])
    with multiprocessing.get_context("fork").Pool(min(4, len(entries)), maxtasksperchild=8) as pool:
        for found in pool.imap_unordered(verdict, entries):
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
