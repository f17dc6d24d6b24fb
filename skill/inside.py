"""Judge results, inside the throw-away container: ``python -m skill.inside FOLDER``.

FOLDER has ``list.json``, and a folder for each result with ``workspace``, ``given`` and, where the result is still to
be made, ``script``. Each verdict is one JSON line on standard output. Programs of a result run as processes of their
own, so that none of them can end the judge.
"""

from __future__ import annotations

import json
import multiprocessing
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
        # The judge has read a file that has another form than the prompt asks for.
        at = traceback.extract_tb(error.__traceback__)[-1]
        why = f"the result has an unexpected form: {type(error).__name__}: {error} (in {at.name}, line {at.lineno})"
        return {"key": entry["key"], "passed": False, "why": why[:500]}
    finally:
        signal.alarm(0)


def _too_long(*_: object) -> None:
    raise Wrong(f"judging took more than {VERDICT_SECONDS + SCRIPT_SECONDS} s")


def _make(language: str, script: Path, here: Path) -> None:
    try:
        done = subprocess.run(
            [*RUN[language], str(script)], cwd=here, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=SCRIPT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Wrong(f"the script took more than {SCRIPT_SECONDS} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise Wrong(f"the script ended with exit code {done.returncode}: {last}")


def main(folder: Path) -> None:
    entries = json.loads((folder / "list.json").read_text())
    for entry in entries:
        entry["folder"] = str(folder / entry["key"])
    with multiprocessing.get_context("fork").Pool(min(4, len(entries)), maxtasksperchild=8) as pool:
        for found in pool.imap_unordered(verdict, entries):
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
