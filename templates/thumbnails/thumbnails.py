"""Make thumbnails: python thumbnails.py [--size PIXELS] PATH...

A PATH is an image, a folder (with all folders in it) or a ZIP archive. Writes thumbs/, contact-sheet.png, index.html.
"""

import argparse
import math
import sys
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ico",
            ".ppm", ".pgm", ".tga"}  # fmt: skip
UNKNOWN = {".heic", ".heif", ".svg", ".raw", ".cr2", ".nef", ".psd"}

#: Maximum pixels of an image, because larger ones exhaust the memory; and the maximum unpacked size of an archive.
Image.MAX_IMAGE_PIXELS = 100_000_000
UNPACKED_BYTES, UNPACKED_FILES = 4_000_000_000, 20_000

#: Maximum thumbnails on the contact sheet.
SHEET = 120

STYLE = """
body { margin: 0; background: #f3f4f6; color: #111827; font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 36px 24px; }
h1 { font-size: 26px; margin: 0; } p { color: #6b7280; margin: 2px 0 24px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 16px; }
figure { margin: 0; background: #fff; border: 1px solid #e5e7eb; border-radius: 10px; overflow: hidden; }
figure a { display: flex; height: 200px; align-items: center; justify-content: center;
  background: repeating-conic-gradient(#eef0f3 0 25%, #fff 0 50%) 0 0 / 20px 20px; }
img { max-width: 100%; max-height: 200px; }
figcaption { padding: 9px 12px; font-size: 13px; overflow-wrap: anywhere; border-top: 1px solid #e5e7eb; }
small { color: #6b7280; display: block; }
h2 { font-size: 18px; margin: 36px 0 8px; } li { overflow-wrap: anywhere; }
"""


@dataclass
class Made:
    """A thumbnail and its source."""

    source: Path
    thumb: Path
    width: int
    height: int
    frames: int


def unpack(archive: Path) -> Path:
    """Unpack a ZIP archive into a folder beside it. Raises OSError or BadZipFile."""
    folder = archive.with_suffix("")
    while folder.exists():
        folder = folder.with_name(f"{folder.name}_")
    with zipfile.ZipFile(archive) as packed:
        infos = packed.infolist()
        if len(infos) > UNPACKED_FILES or sum(info.file_size for info in infos) > UNPACKED_BYTES:
            raise OSError(f"unpacks to more than {UNPACKED_FILES:,} files or {UNPACKED_BYTES / 1e9:g} GB")
        packed.extractall(folder)  # extractall keeps every name inside the folder
    return folder


def images(paths: list[Path], broken: dict[Path, str]) -> Iterator[Path]:
    """Return the files that look like images, in order."""
    for path in paths:
        if path.suffix.lower() == ".zip" and path.is_file():
            try:
                path = unpack(path)
            except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
                broken[path] = str(error)
                continue
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            hidden = any(part.startswith(("._", "__MACOSX")) for part in file.parts)
            if not file.is_file() or hidden or "thumbs" in file.parts:
                continue
            if file.suffix.lower() in SUFFIXES:
                yield file
            elif file.suffix.lower() in UNKNOWN:
                broken[file] = f"{file.suffix[1:].upper()} files cannot be read here"


def thumbnail(file: Path, size: int, taken: set[Path]) -> Made:
    """Make a thumbnail: upright, in RGB, with transparency. An animation gives its first frame."""
    with Image.open(file) as image:
        frames = getattr(image, "n_frames", 1)
        width, height = image.size
        if image.getexif().get(0x0112, 1) >= 5:
            width, height = height, width
        image.draft("RGB", (size * 2, size * 2))  # decodes a large JPEG at a smaller size
        small = ImageOps.exif_transpose(image)
        clear = "A" in small.getbands() or "transparency" in small.info
        if small.mode.startswith(("I;16", "I", "F")) and small.mode not in ("RGB", "RGBA"):
            low, high = small.convert("F").getextrema()
            small = small.convert("F").point(lambda value: (value - low) * 255 / max(1e-9, high - low)).convert("L")
        small = small.convert("RGBA" if clear else "RGB")
        small.thumbnail((size, size), Image.Resampling.LANCZOS)
    place = Path("thumbs", *[part for part in file.parts if part not in ("/", "..")])
    suffix = ".png" if clear else ".jpg"
    target = place.with_suffix(suffix)
    if target in taken:
        target = place.with_name(place.name + suffix)
    taken.add(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    small.save(target, optimize=True) if clear else small.save(target, quality=88, optimize=True)
    return Made(file, target, width, height, frames)


def contact_sheet(made: list[Made]) -> None:
    """Draw all thumbnails with their names on one picture."""
    shown = made[:SHEET]
    columns = min(len(shown), max(3, math.ceil(math.sqrt(len(shown) * 1.4))))
    tile, label, gap = 200, 26, 14
    rows = math.ceil(len(shown) / columns)
    size = (columns * (tile + gap) + gap, rows * (tile + label + gap) + gap)
    sheet = Image.new("RGB", size, "#f3f4f6")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for place, one in enumerate(shown):
        left = gap + place % columns * (tile + gap)
        top = gap + place // columns * (tile + label + gap)
        draw.rounded_rectangle((left, top, left + tile, top + tile), 8, "#ffffff", "#e5e7eb")
        with Image.open(one.thumb) as image:
            small = ImageOps.contain(image.convert("RGBA"), (tile - 16, tile - 16))
        sheet.paste(small, (left + (tile - small.width) // 2, top + (tile - small.height) // 2), small)
        name = one.source.name
        while draw.textlength(name, font) > tile and len(name) > 4:
            name = f"{name[:-2].rstrip('…')}…"
        draw.text((left + tile / 2, top + tile + 15), name, "#374151", font, anchor="mm")
    sheet.save("contact-sheet.png", optimize=True)


def page(made: list[Made], broken: dict[Path, str], size: int) -> None:
    """Write index.html: each thumbnail, linked to its image."""
    figures = "".join(_figure(one) for one in made)
    bad = "".join(f"<li>{escape(file.as_posix())}: {escape(why)}</li>\n" for file, why in broken.items())
    failed = f"<h2>Not readable</h2>\n<ul>{bad}</ul>\n" if broken else ""
    title = f"{len(made)} thumbnail{'s' if len(made) != 1 else ''}"
    Path("index.html").write_text(
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n<style>{STYLE}</style>\n'
        f"<main>\n<h1>{title}</h1><p>at most {size} × {size} pixels</p>\n"
        f'<div class="grid">\n{figures}</div>\n{failed}</main>\n</html>\n',
        "utf-8",
    )


def _figure(one: Made) -> str:
    name = escape(one.source.as_posix())
    frames = f", {one.frames} pictures" if one.frames > 1 else ""
    return (
        f'<figure><a href="{quote(one.source.as_posix())}"><img alt="" src="{quote(one.thumb.as_posix())}"></a>'
        f"<figcaption>{name}<small>{one.width} × {one.height}{frames}</small></figcaption></figure>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=256)
    given = parser.parse_args()
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    made: list[Made] = []
    broken: dict[Path, str] = {}
    taken: set[Path] = set()
    for file in images(given.paths, broken):
        try:
            made.append(thumbnail(file, given.size, taken))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            broken[file] = f"has more than {Image.MAX_IMAGE_PIXELS // 1_000_000} million pixels"
        except UnidentifiedImageError:
            broken[file] = "is no image, whatever its name says"
        except (OSError, ValueError, SyntaxError, EOFError, MemoryError, ZeroDivisionError, TypeError) as error:
            broken[file] = f"is broken: {error}"
    for file, why in broken.items():
        print(f"{file}: {why}")
    if not made:
        sys.exit("No image could be read, so there is no thumbnail.")
    contact_sheet(made)
    page(made, broken, given.size)
    left = f", of {len(made)} the first {SHEET} on the sheet" if len(made) > SHEET else ""
    print(f"{len(made)} thumbnails, {len(broken)} files could not be read{left}")
    print("wrote thumbs/, contact-sheet.png and index.html")


if __name__ == "__main__":
    main()
