"""Make thumbnails: python thumbnails.py [--size PIXELS] PATH...

A PATH is an image, a folder (with all folders in it) or a ZIP archive. Writes contact-sheet.png, index.html, and the
thumbnails into a new folder: thumbs/, or thumbs-2/ if there is one already, and so on.
Needs the packages pillow, pillow-heif (for the photos of iPhones) and resvg-py (for SVG).
"""

import argparse
import io
import math
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from urllib.parse import quote

import look
import pillow_heif
import zip_files
from PIL import Image, ImageCms, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

#: The readable formats, by Pillow's names. The first bytes of a file tell its format, not its name.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "JPEG2000", "ICO", "ICNS", "PSD", "QOI")
WEAK = ("PPM", "TGA", "DIB", "PCX", "SGI")  # their first bytes are weak evidence, so the suffix must agree
SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".apng": "PNG", ".gif": "GIF",
    ".webp": "WEBP", ".avif": "AVIF", ".avifs": "AVIF", ".heic": "HEIF", ".heif": "HEIF", ".heics": "HEIF",
    ".hif": "HEIF", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".jp2": "JPEG2000", ".j2k": "JPEG2000",
    ".jpx": "JPEG2000", ".ico": "ICO", ".icns": "ICNS", ".psd": "PSD", ".qoi": "QOI", ".ppm": "PPM", ".pgm": "PPM",
    ".pbm": "PPM", ".pnm": "PPM", ".tga": "TGA", ".dib": "DIB", ".pcx": "PCX", ".sgi": "SGI", ".svg": "SVG",
    ".svgz": "SVG",
}  # fmt: skip
RAW = {".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"}

#: Maximum pixels of an image, and of the part of it that is decoded: a JPEG is decoded at a smaller size.
PIXELS, DECODED = 400_000_000, 100_000_000

#: Seconds to draw an SVG, and maximum thumbnails on the contact sheet.
DRAWING, SHEET = 20, 120

#: Names that a folder with the files of an archive does not get.
OURS = ("thumbs", "index.html", "contact-sheet.png")

#: Draws an SVG in a process of its own, because a drawing can exhaust the memory. Arguments: path and pixels.
DRAW = """
import sys, resvg_py
path, size = sys.argv[1], int(sys.argv[2])
sys.stdout.buffer.write(resvg_py.svg_to_bytes(svg_path=path, width=size, height=size))
"""

STYLE = """
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 16px; margin-top: 24px; }
figure { padding: 0; overflow: hidden; }
figure a { display: flex; height: 200px; align-items: center; justify-content: center;
  background: repeating-conic-gradient(var(--page) 0 25%, var(--card) 0 50%) 0 0 / 20px 20px; }
img { width: auto; max-width: 100%; max-height: 200px; }
figcaption { padding: 9px 12px; font-size: 13px; overflow-wrap: anywhere; border-top: 1px solid var(--line); }
small { color: var(--soft); display: block; } li { overflow-wrap: anywhere; }
"""


@dataclass
class Made:
    """A thumbnail and its source."""

    source: Path
    thumb: Path
    about: str


@dataclass
class Run:
    """The results: thumbnails, unreadable files with the reason, notes, and the number of other files."""

    made: list[Made] = field(default_factory=list)
    broken: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    others: int = 0
    taken: set[str] = field(default_factory=set)


class Refused(Exception):
    """The file cannot be read; the message says why."""


def images(paths: list[Path], run: Run) -> Iterator[Path]:
    """Return the files that may be images, in order."""
    for path in paths:
        if path.suffix.lower() == ".zip" and path.is_file():
            try:
                found = zip_files.unpack(path, zip_files.free(path.with_suffix(""), OURS))
            except (OSError, zipfile.BadZipFile) as error:
                run.broken[path] = str(error) or "is broken"
                continue
            path = found.folder
            run.broken |= found.broken
            run.notes += [found.note] if found.note else []
        if not path.is_dir():
            yield path
            continue
        for file in sorted(path.rglob("*")):
            if file.is_file() and not zip_files.is_macs(file):
                yield file


def opened(file: Path, size: int) -> Image.Image:
    """Open an image without decoding it. Raises Refused, and anything that Pillow raises."""
    suffix = file.suffix.lower()
    if not file.stat().st_size:
        raise Refused("is empty")
    with open(file, "rb") as content:
        head = content.read(16_384)
    if suffix in RAW:
        raise Refused(f"is a raw photo ({suffix[1:].upper()}); export it as JPEG")
    if (suffix in SUFFIXES and b"<svg" in head.lower()) or (suffix == ".svgz" and head.startswith(b"\x1f\x8b")):
        return drawn(file, size)
    formats = FORMATS + (WEAK if SUFFIXES.get(suffix) in WEAK else ())
    try:
        if head.startswith(b"\x89PNG"):
            with Image.open(file, formats=("PNG",)) as image:
                image.verify()  # without its checksums, a broken PNG is a black one
        return Image.open(file, formats=formats)
    except UnidentifiedImageError:
        if any(accepts(head) for _, accepts in (Image.OPEN[name] for name in FORMATS) if accepts):
            raise Refused("is broken or cut off: its first bytes are those of an image") from None
        raise Refused(f"is not an image{_instead(head)}" if suffix in SUFFIXES else "") from None


def _instead(head: bytes) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    kinds = {
        b"%pdf": "a PDF", b"<!doctype html": "an HTML page", b"<html": "an HTML page", b"pk\x03\x04": "a ZIP archive",
        b"\x1f\x8b": "a gzip archive", b"{": "JSON", b"<?xml": "XML",
    }  # fmt: skip
    kind = next((kind for begin, kind in kinds.items() if start.startswith(begin)), "")
    if head[4:8] == b"ftyp" and head[8:11] in (b"iso", b"mp4", b"qt ", b"avc", b"M4V", b"3gp"):
        kind = "a video"
    if not kind and b"\0" not in head:
        with suppress(UnicodeDecodeError):
            head[:1000].decode()
            kind = "text"
    return f" but {kind}" if kind else ", whatever its name says"


def drawn(file: Path, size: int) -> Image.Image:
    """Draw an SVG. Raises Refused."""
    command = [sys.executable, "-c", DRAW, str(file), str(size * 2)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=DRAWING, check=True)
    except subprocess.TimeoutExpired:
        raise Refused(f"takes more than {DRAWING} s to draw") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Refused(f"cannot be drawn: {lines[-1][:200] if lines else 'no reason was given'}") from None
    image = Image.open(io.BytesIO(done.stdout))
    image.format = "SVG"
    return image


def reduced(image: Image.Image, size: int) -> Image.Image:
    """Return a small copy: upright, in sRGB, with transparency. An animation gives its first frame."""
    image.draft("RGB", (size * 2, size * 2))  # decodes a large JPEG at a smaller size
    if image.width * image.height > DECODED:
        raise Refused(_too_large(image))
    clear = image.has_transparency_data or image.mode in ("LA", "PA", "La", "RGBa")
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        image = image.convert("F")
    elif image.mode not in ("RGB", "RGBA", "L", "CMYK", "LAB", "F") or (clear and image.mode != "RGBA"):
        image = image.convert("RGBA" if clear else "RGB")
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    image = _greys(image) if image.mode == "F" else image
    with suppress(Exception):  # a broken EXIF block is no reason to refuse the image
        image = ImageOps.exif_transpose(image)
    if profile or image.mode == "LAB":
        with suppress(Exception):  # a broken profile is no reason either
            of = ImageCms.createProfile("LAB") if image.mode == "LAB" else io.BytesIO(profile or b"")
            to, mode = ImageCms.createProfile("sRGB"), "RGBA" if clear else "RGB"
            image = ImageCms.profileToProfile(image, of, to, outputMode=mode) or image
    return image.convert("RGBA" if clear else "RGB")


def _greys(image: Image.Image) -> Image.Image:
    """Return an image of 16 or 32 bits in grey, from its darkest to its lightest value."""
    low, high = image.getextrema()
    scale = 255 / (high - low) if high > low else 0
    small = image.point(lambda value: value * scale - low * scale).convert("L")
    small.info = image.info
    return small


def _too_large(image: Image.Image) -> str:
    return f"is too large: {image.width:,} × {image.height:,} pixels; the maximum is {DECODED:,} pixels"


def thumbnail(file: Path, size: int, folder: Path, run: Run) -> Made:
    """Make the thumbnail of a file. Raises Refused, and anything that Pillow raises."""
    with opened(file, size) as image:
        about = _about(image, file)
        small = reduced(image, size)
    clear = small.mode == "RGBA"
    parts = [part for part in file.parts if part not in ("/", "..")]
    suffix = ".png" if clear else ".jpg"
    stem = file.stem.encode()[:200].decode("utf-8", "ignore")
    target, number = Path(folder, *parts[:-1], stem + suffix), 1
    while str(target).casefold() in run.taken:  # a.png and a.jpg; also A.jpg, which some systems take for a.jpg
        number += 1
        target = target.with_name(f"{stem}{file.suffix if number == 2 else f'-{number}'}{suffix}")
    run.taken.add(str(target).casefold())
    target.parent.mkdir(parents=True, exist_ok=True)
    small.info = {}
    small.save(target, optimize=True) if clear else small.save(target, quality=88, optimize=True)
    return Made(file, target, about)


def _about(image: Image.Image, file: Path) -> str:
    """Describe an image: its size, its pictures, and its format if the name says another."""
    width, height = image.size
    with suppress(Exception):
        if image.format != "TIFF" and image.getexif().get(0x0112, 1) >= 5:
            width, height = height, width
    about = "drawing" if image.format == "SVG" else f"{width} × {height}"
    with suppress(Exception):
        frames = getattr(image, "n_frames", 1)
        about += f", {frames} pictures" if frames > 1 else ""
    named = SUFFIXES.get(file.suffix.lower())
    is_a = {"MPO": "JPEG"}.get(image.format or "", image.format)
    return about if named == is_a or is_a == "DIB" else f"{about}, is {is_a}"


def font_for(name: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font that has the characters of a name."""
    special = {f"{ord(character):x}" for character in name if ord(character) > 0xFF}
    if special and (command := shutil.which("fc-match")):
        asked = [command, "--format=%{file}", f"sans-serif:charset={' '.join(sorted(special))}"]
        with suppress(OSError, subprocess.SubprocessError):
            return ImageFont.truetype(subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout, 13)
    return ImageFont.load_default(13)


def contact_sheet(made: list[Made]) -> None:
    """Draw all thumbnails with their names on one picture."""
    shown = made[:SHEET]
    columns = min(len(shown), max(3, math.ceil(math.sqrt(len(shown) * 1.4))))
    tile, label, gap = 200, 26, 14
    rows = math.ceil(len(shown) / columns)
    size = (columns * (tile + gap) + gap, rows * (tile + label + gap) + gap)
    sheet = Image.new("RGB", size, "#f3f4f6")
    draw = ImageDraw.Draw(sheet)
    for place, one in enumerate(shown):
        left = gap + place % columns * (tile + gap)
        top = gap + place // columns * (tile + label + gap)
        draw.rounded_rectangle((left, top, left + tile, top + tile), 8, "#ffffff", "#e5e7eb")
        with Image.open(one.thumb) as image:
            small = ImageOps.contain(image.convert("RGBA"), (tile - 16, tile - 16))
        sheet.paste(small, (left + (tile - small.width) // 2, top + (tile - small.height) // 2), small)
        name, font = one.source.name, font_for(one.source.name)
        while draw.textlength(name, font) > tile and len(name) > 4:
            name = f"{name[:-2].rstrip('…')}…"
        draw.text((left + tile / 2, top + tile + 15), name, "#374151", font, anchor="mm")
    sheet.save("contact-sheet.png", optimize=True)


def page(run: Run, size: int) -> None:
    """Write index.html: each thumbnail, linked to its image."""
    title = f"{len(run.made)} thumbnail{'s' if len(run.made) != 1 else ''}"
    bad = "".join(f"<li>{escape(_text(file))}: {escape(why)}</li>\n" for file, why in run.broken.items())
    body = (
        f'<p class="about">at most {size} × {size} pixels</p>\n{look.notes(run.notes)}'
        f'<div class="grid">\n{"".join(_figure(one) for one in run.made)}</div>\n'
    )
    body += f"<h2>Not readable</h2>\n<ul>{bad}</ul>\n" if bad else ""
    Path("index.html").write_text(look.page(title, "en", body, STYLE), "utf-8")


def _text(path: Path) -> str:
    return path.as_posix().encode("utf-8", "replace").decode()


def _figure(one: Made) -> str:
    return (
        f'<figure><a href="{quote(one.source.as_posix())}"><img alt="" src="{quote(one.thumb.as_posix())}"></a>'
        f"<figcaption>{escape(_text(one.source))}<small>{escape(one.about)}</small></figcaption></figure>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=256)
    given = parser.parse_args()
    Image.init()  # knows all formats from here on
    pillow_heif.register_heif_opener()
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = PIXELS
    run, folder, number = Run(), Path("thumbs"), 1
    while folder.exists():
        number += 1
        folder = Path(f"thumbs-{number}")
    for file in list(images(given.paths, run)):
        try:
            run.made.append(thumbnail(file, given.size, folder, run))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            run.broken[file] = f"is too large: more than {PIXELS:,} pixels"
        except Refused as error:
            run.others += not str(error)
            if str(error):
                run.broken[file] = str(error)
        except Exception as error:  # a decoder can raise almost anything for a broken file
            run.broken[file] = f"is broken or cut off: {error or type(error).__name__}"
    for file, why in run.broken.items():
        print(f"{_text(file)}: {why}")
    if not run.made:
        sys.exit("No image could be read, so there is no thumbnail.")
    if run.others:
        run.notes.append(f"{run.others} other files are no images")
    for note in run.notes:
        print(note)
    contact_sheet(run.made)
    page(run, given.size)
    left = f", of {len(run.made)} the first {SHEET} on the sheet" if len(run.made) > SHEET else ""
    print(f"{len(run.made)} thumbnails, {len(run.broken)} files could not be read{left}")
    print(f"wrote {folder}/, contact-sheet.png and index.html")


if __name__ == "__main__":
    main()
