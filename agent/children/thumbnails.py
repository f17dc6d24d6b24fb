"""Makes small copies of pictures in the workspace: a child process with the identity of the job's user.

    python -I -m agent.children.thumbnails

stdin, JSON:   {"root": folder, "named": [glob], "most": number, "seconds": number}, or, for the screen,
               {"screen": command, "seconds": number}; the command writes the file that its argument names
stdout, JSON:  [{"name": path, "media_type": "image/png" or "image/jpeg", "data": base64}]

Pillow comes from the users' environment.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import warnings

from agent.children.isolation import USERS_PACKAGES, Lost, apart, offer_first
from agent.children.pack import matches
from agent.children.walk import OPEN_FLAGS, Found, walk
from protocol.file_names import shown
from protocol.messages import SEEN_CHARACTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff")

#: Pillow's readers that are enabled. Some others run programs.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")

#: Modes with eight bits a channel. Pillow would cut off the values of other modes.
PLAIN_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "La", "RGBa")

#: Maximum pixels of a decoded picture.
PIXELS = 24_000_000

#: Maximum entries of the workspace, and maximum bytes of an opened file.
MOST_FILES, FILE_BYTES = 20_000, 64 * 2**20

#: A copy: pixels of its longer side, and colours up to which it is a PNG.
SIDE, COLOURS = 1024, 256

#: Time limits for one picture and for a screenshot, in seconds.
EACH, SCREEN = 3.0, 5.0


class TooLarge(Exception):
    """The picture has more than PIXELS."""


def opened(file: BinaryIO) -> Image.Image:
    """Open a picture without decoding it. Raises TooLarge, and what Pillow raises."""
    from PIL import Image

    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # PIXELS is the limit
    image = Image.open(file, formats=FORMATS)
    if image.width * image.height > PIXELS:
        raise TooLarge
    return image


def small(file: BinaryIO) -> tuple[str, str]:
    """Return the media type and the base64 of a small copy. Raises TooLarge, ValueError, and what Pillow raises."""
    from PIL import Image, ImageOps

    image = opened(file)
    image.draft("RGB", (2 * SIDE, 2 * SIDE))  # a large JPEG is decoded at a smaller size
    image = ImageOps.exif_transpose(image)
    if image.mode not in PLAIN_MODES:
        image = ImageOps.autocontrast(image.convert("F").convert("L"))
    if image.has_transparency_data or image.mode in ("LA", "PA", "RGBA"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    few = image.getcolors(COLOURS) is not None
    image.thumbnail((SIDE, SIDE))
    ways: list[tuple[str, dict[str, Any]]] = [("JPEG", {"quality": quality}) for quality in (80, 60, 40)]
    if few:
        ways.insert(0, ("PNG", {"optimize": True}))
    for kind, options in ways:
        out = io.BytesIO()
        image.save(out, kind, **options)
        data = base64.b64encode(out.getvalue()).decode()
        if len(data) <= SEEN_CHARACTERS:
            return f"image/{kind.lower()}", data
    raise ValueError("no copy is small enough")


def chosen(root: str, named: list[str]) -> list[Found]:
    """List the pictures of a workspace: named ones first, then those in ``figures/``, then the newest."""
    found = walk(root, named, lambda *_, **__: None, MOST_FILES)
    pictures = [item for item in found if item.kind == "file" and item.path.lower().endswith(SUFFIXES)]

    def rank(item: Found) -> tuple[int, bool, float]:
        by = (number for number, pattern in enumerate(named) if matches(pattern, item.path))
        return next(by, len(named)), not item.path.startswith("figures/"), -item.mtime

    return sorted((item for item in pictures if 0 < item.size <= FILE_BYTES), key=rank)


def copy_of(path: str) -> tuple[str, str]:
    """Call ``small`` for a regular file."""
    with open(path, "rb", opener=lambda name, _: os.open(name, OPEN_FLAGS)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > FILE_BYTES:
            raise ValueError("not a regular file, or too large")
        return small(file)


def pictures(root: str, named: list[str], most: int, deadline: float) -> list[dict[str, str]]:
    """Copy the first pictures. Equal copies count once."""
    seen: list[dict[str, str]] = []
    for item in chosen(root, named):
        left = deadline - time.monotonic()
        if len(seen) >= most or left <= 0:
            break
        try:
            kind, data = apart(lambda path=f"{root}/{item.path}": copy_of(path), min(left, EACH))  # type: ignore[misc]
        except Lost:
            continue
        if all(data != other["data"] for other in seen):
            seen.append({"name": shown(item.path), "media_type": kind, "data": data})
    return seen


def screenshot(command: str, deadline: float) -> list[dict[str, str]]:
    """Copy the screen. Returns nothing if the command is missing or fails."""
    program = shutil.which(command)
    if program is None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/screen.png"
        nothing = subprocess.DEVNULL
        seconds = min(SCREEN, deadline - time.monotonic())
        try:
            subprocess.run([program, path], stdin=nothing, stdout=nothing, stderr=nothing, timeout=seconds, check=True)
            kind, data = apart(lambda: copy_of(path), max(0.0, deadline - time.monotonic()))
        except (OSError, subprocess.SubprocessError, Lost):
            return []
    return [{"name": "screen", "media_type": kind, "data": data}]


def main() -> int:
    offer_first()
    sys.path.append(USERS_PACKAGES)
    request = json.load(sys.stdin)
    deadline = time.monotonic() + request["seconds"]
    if "screen" in request:
        found = screenshot(request["screen"], deadline)
    else:
        import PIL.Image  # noqa: F401 - once, before the forks

        found = pictures(request["root"], request["named"], request["most"], deadline)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
