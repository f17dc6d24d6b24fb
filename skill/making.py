"""Makes the files of tasks, with only the standard library and the same bytes on every run."""

from __future__ import annotations

import csv
import io
import random
import struct
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence


def table(heading: Sequence[str], rows: Iterable[Sequence[object]], delimiter: str = ",") -> str:
    """Make a CSV file."""
    target = io.StringIO()
    writer = csv.writer(target, delimiter=delimiter, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows(rows)
    return target.getvalue()


def png(width: int, height: int, colour: tuple[int, int, int], second: tuple[int, int, int]) -> bytes:
    """Make a picture with the first colour on the left half and the second on the right."""
    left = width // 2
    row = b"\0" + bytes(colour) * left + bytes(second) * (width - left)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * height))
        + chunk(b"IEND", b"")
    )


def tar(files: Mapping[str, str]) -> bytes:
    """Make a tar.gz of text files."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return target.getvalue()


def chance(seed: str) -> random.Random:
    """Return a random generator with the same numbers on every run."""
    return random.Random(seed)  # noqa: S311 - test data, no secret
