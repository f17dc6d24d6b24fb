"""Checks of the record: free disk space, damage, and the clock behind its times."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from orchestrator.diagnosis import base
from orchestrator.diagnosis.base import Case, Finding, lasting
from orchestrator.errors import DiskUnreadable, EngineError
from orchestrator.sizes import show_size

#: Allowed difference between clocks in seconds.
CLOCK_SECONDS = 5.0

#: Seconds for SQLite's check for damage.
DATABASE_SECONDS = 2.0


#: Advice for a disk without room.
MAKE_ROOM = "Free some disk space, lower RETENTION_DAYS or MIN_KEEP_MINUTES, or delete jobs (DELETE /jobs/{id})."


async def room(case: Case) -> Finding | None:
    """Return a finding if jobs wait for the disk, or if old results cannot be removed."""
    fault = case.job_files.room_fault
    try:
        short = await case.on_thread(case.job_files.disk_short)
    except DiskUnreadable as error:
        return Finding("failed", str(error), "Repair the disk of AGENT_OUTPUT_DIR. Jobs wait meanwhile.")
    if short:
        return Finding("failed", f"{short} {fault}".strip(), f"{MAKE_ROOM} Or lower DISK_RESERVE. Jobs wait meanwhile.")
    return Finding("warning", fault, "See the orchestrator's log. Until then, the disk may fill up.") if fault else None


async def disk(case: Case) -> Finding:
    folder, reserve = case.job_files.folder, case.settings.disk_reserve
    found = await room(case)
    try:
        free = (await case.on_thread(lambda: shutil.disk_usage(folder))).free
    except OSError:
        if found is None:
            raise
        return found
    size = await case.on_thread(lambda: _size(folder))
    detail = f"{show_size(free)} free, of which {show_size(reserve)} are reserved. The record has {show_size(size)}."
    try:
        facts = await case.facts()
        detail += f" {facts.storage}"
        if facts.free is not None and facts.free < reserve:
            detail += f" It has {show_size(facts.free)} free, less than DISK_RESERVE."
            return Finding("warning", detail, MAKE_ROOM)
    except EngineError:
        pass  # the check of the engine says so
    if found:
        return Finding(found.result, f"{found.detail} {detail}", found.to_do)
    if free < 2 * reserve:
        return Finding("warning", f"Disk space is low. {detail}", MAKE_ROOM)
    return Finding("ok", detail)


def writer(case: Case) -> Finding | None:
    """Return a finding if the thread that writes the record has ended."""
    if not case.store.closed:
        return None
    return Finding("failed", case.store.closed, "Restart the orchestrator: `make down`, `make up`. Its log says more.")


async def database(case: Case) -> Finding:
    if failed := writer(case):
        return failed
    checked = await case.store.check(DATABASE_SECONDS)
    path = case.job_files.database
    if checked.wrong:
        return Finding(
            "failed",
            f"{path} is damaged: {checked.wrong}.",
            f"Stop the system and keep a copy of {path.parent}. Recover it with `sqlite3 {path.name} .recover`, or "
            "start with another AGENT_OUTPUT_DIR. Then look for the cause: `dmesg`, the disk.",
        )
    how = "no damage" if checked.complete else f"no damage found in the first {DATABASE_SECONDS:g} s"
    return Finding("ok", f"{path}: record of version {checked.version}, {how}.")


async def clock(case: Case) -> Finding:
    set_it = (
        "Synchronize the clock (`timedatectl set-ntp true`). Time limits of running jobs may end too early or too late."
    )
    ahead = (await case.store.latest()) - time.time()
    jumped = base.clock() - case.clock
    if ahead > CLOCK_SECONDS:
        return Finding("warning", f"The record has times up to {lasting(ahead)} in the future.", set_it)
    if abs(jumped) > CLOCK_SECONDS:
        return Finding("warning", f"The clock has been set by {jumped:+,.0f} s since the system started.", set_it)
    try:
        engine = (await case.facts()).clock_ahead
    except EngineError:
        return Finding("ok", "No time in the record is in the future. The engine does not answer.")
    if abs(engine) > CLOCK_SECONDS:
        return Finding("warning", f"The engine's clock differs from ours by {engine:+,.0f} s.", set_it)
    return Finding("ok", f"No time in the record is in the future. The engine's clock differs by {abs(engine):.1f} s.")


def _size(folder: Path) -> int:
    """Return the bytes on disk of all files in the folder. Blocks."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
            except FileNotFoundError:
                pass  # retention deleted it meanwhile
    return total
