"""A full disk."""

from __future__ import annotations

from pathlib import Path

import pytest


def fill(disk: Path) -> Path:
    """Fill a disk with one file, and return the file's path."""
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space"), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return filler
