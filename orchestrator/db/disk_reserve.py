"""Disk space that is reserved, so that the end of a job can be stored even if the disk is full."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path

log = logging.getLogger(__name__)

#: Bytes. They suffice for a hundred jobs with prompts of the usual length, or for a few jobs with the longest prompts.
SPARE_BYTES = 16 * 2**20

#: Seconds between two attempts to reserve the space again.
AGAIN_SECONDS = 1.0


class DiskReserve:
    """A file that only takes up disk space, until that space is needed. For one thread. Blocks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = path.exists()
        self._tried_at = 0.0

    def hold(self) -> bool:
        """Return whether the space is reserved. Space that was given up is reserved again once the disk has it."""
        if not self._held and time.monotonic() > self._tried_at + AGAIN_SECONDS:
            part = self._path.with_name(f"{self._path.name}.part")
            try:
                with open(part, "wb") as file:
                    os.posix_fallocate(file.fileno(), 0, SPARE_BYTES)
                part.replace(self._path)
                self._held = True
            except OSError:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
                self._tried_at = time.monotonic()
        return self._held

    def give(self) -> bool:
        """Give the space up. Returns False if there is none to give."""
        if not self._held:
            return False
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.error("the reserve %s could not be removed: %s", self._path, error)
            return False
        self._held = False
        self._tried_at = time.monotonic()
        return True
