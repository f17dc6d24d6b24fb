"""Measures the notebook: a kernel's start, a cell, and their part in a job with one step."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

#: A step that runs as its own process, and the same step in the kernel because it ends with a value.
SCRIPT, CELL = "print('hello')", "print('hello')\n42"

Call = Callable[..., Any]


def measure(call: Call, base: str, rounds: int) -> None:
    """Print the figures of some rounds."""
    starts, cells, scripts, notebooks = (list[float]() for _ in range(4))
    for _ in range(rounds + 1):
        _, found = run(call, base, "x = 1", "x")
        first, second = (_milliseconds(step) for step in found["steps"])
        starts.append(first)
        cells.append(second)
        scripts.append(run(call, base, SCRIPT)[0])
        notebooks.append(run(call, base, CELL)[0])
    print(f"\npython steps, {rounds} rounds; milliseconds\n\n{'':32}{'median':>8}{'min':>8}{'max':>8}")
    for name, values in (
        ("kernel: start and first cell", starts),
        ("  a second cell", cells),
        ("job of one step: a process", scripts),
        ("  the same in the kernel", notebooks),
    ):
        kept = values[1:]  # the first round reads the image from the disk
        print(f"{name:32}{statistics.median(kept):8.0f}{min(kept):8.0f}{max(kept):8.0f}")
    print(f"\nratio of the two: {statistics.median(notebooks[1:]) / statistics.median(scripts[1:]):.2f}")


def run(call: Call, base: str, *codes: str) -> tuple[float, dict[str, Any]]:
    """Run a job with these python steps. Returns the milliseconds until its ZIP is on disk, and its status."""
    begin = time.perf_counter()
    found = call(base, "/schedule?wait=60", {"steps": [{"kind": "python", "code": code} for code in codes]})
    took = (time.perf_counter() - begin) * 1000
    if found["status"] != "completed":
        raise SystemExit(f"The job did not complete: {found['detail']}")
    return took, found


def _milliseconds(step: dict[str, Any]) -> float:
    begin, end = (datetime.fromisoformat(step[name]) for name in ("started", "ended"))
    return (end - begin).total_seconds() * 1000
