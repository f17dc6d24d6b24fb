"""The thumbnails template with the images that people have: every format, broken ones, and old archives."""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

import pytest

from tests.support.system import Artifact, System

#: Makes the images, in a job, because only the image of jobs has Pillow.
MAKE = r"""
import io, os, struct, subprocess, zlib
from PIL import Image, ImageCms
import pillow_heif

pillow_heif.register_heif_opener()
for folder in ("p/sub", "p/thumbs", "p/__MACOSX/p"):
    os.makedirs(folder)
base = Image.linear_gradient("L").resize((300, 200)).convert("RGB")
base.paste((255, 0, 0), (0, 0, 60, 40))
turned = Image.Exif()
turned[0x0112] = 6
for suffix in ("jpg", "png", "webp", "tif", "avif"):
    base.save(f"p/up.{suffix}", exif=turned)
base.save("p/photo.heic")
base.save("p/second.avif")
base.convert("CMYK").save("p/cmyk.jpg")
profile = ImageCms.createProfile
ImageCms.profileToProfile(base, profile("sRGB"), profile("LAB"), outputMode="LAB").save("p/lab.tif")
deep = Image.linear_gradient("L").convert("I").point(lambda value: value * 200)
deep.convert("I;16").resize((600, 600)).save("p/deep.png")
base.convert("P").save("p/clear.png", transparency=3)
frames = [Image.new("RGB", (50, 40), colour) for colour in ("red", "lime", "blue")]
for name in ("p/anim.gif", "p/anim2.webp"):
    frames[0].save(name, save_all=True, append_images=frames[1:])

def packed(kind):
    content = io.BytesIO()
    base.save(content, kind)
    return content.getvalue()

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

def bomb(side):
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")

jpeg, png, heif = packed("JPEG"), packed("PNG"), packed("HEIF")
svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="300" height="100"><rect width="300" height="100" fill="red"/>'
files = {
    "cut.jpg": jpeg[: len(jpeg) // 2], "cut.png": png[:60], "cut.heic": heif[: len(heif) // 2],
    "flipped.png": png[:80] + bytes([png[80] ^ 255]) + png[81:], "empty.gif": b"", "page.jpg": b"<!DOCTYPE html><p>",
    "bomb.png": bomb(40_000), "large.png": bomb(12_000), "notes.txt": b"no image", "._up.jpg": b"\0\5\x16\7",
    "phone.jpg": heif, "drawing.png": jpeg, "no-suffix": png, "logo.svg": svg + b"</svg>", "cut.svg": svg,
    "movie.heic": b"\0\0\0\x20ftypisom" + bytes(99), "shot.cr2": b"II*\0", "__MACOSX/p/up.jpg": b"x",
    "exif.jpg": jpeg[:2] + b"\xff\xe1\x00\x10Exif\0\0MM\0*\xff\xff\xff\xff" + jpeg[2:],
}
for name, content in files.items():
    with open(f"p/{name}", "wb") as file:
        file.write(content)
for name in ("sub/up.jpg", "UP.JPG", "thumbs/mine.jpg"):
    base.save(f"p/{name}")
subprocess.run(["zip", "-qr", "pictures.zip", "p"], check=True)
subprocess.run(["zip", "-qP", "secret", "locked.zip", "p/up.jpg"], check=True)
with open("one.png", "wb") as file:
    file.write(png)
"""


class Unmarked(zipfile.ZipInfo):
    """An entry whose name is in code page 437, without the flag for UTF-8."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode("cp437"), 0


def archive(*names: str | zipfile.ZipInfo, content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        for name in names:
            packed.writestr(name, content)
    return made.getvalue()


@pytest.fixture(scope="module")
def album(system: System) -> tuple[dict[str, Any], Artifact]:
    """The job that made thumbnails of all that, and its ZIP."""
    make = [{"kind": "file", "path": "make.py", "content": MAKE}, {"kind": "shell", "script": "python make.py"}]
    made = system.zip(system.completed(system.submit(steps=make))["job_id"])
    one = made.read("workspace/one.png")
    files = {
        "pictures.zip": made.read("workspace/pictures.zip"),
        "locked.zip": made.read("workspace/locked.zip"),
        "thumbs.zip": archive("a.png", content=one),
        "old.zip": archive(Unmarked("Müller.png"), Unmarked("Ordner\\Straße.png"), content=one),
        "double.zip": archive("写真.png", "../写真.png", content=one),
        "broken.zip": b"PK\x03\x04 and no more",
    }
    form = [("template", (None, "thumbnails")), ("inputs", (None, json.dumps({"size": 128})))]
    answer = system.http.post("/schedule", files=[*form, *(("files", file) for file in files.items())])
    assert answer.status_code == 202, answer.text
    ended = system.completed(answer.json()["job_id"])
    return ended, system.zip(ended["job_id"])


def shape(content: bytes) -> tuple[int, int]:
    """Return the width and height of a PNG or a JPEG."""
    if content.startswith(b"\x89PNG"):
        return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    at = 2
    while content[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return int.from_bytes(content[at + 7 : at + 9], "big"), int.from_bytes(content[at + 5 : at + 7], "big")


def about(archive: Artifact) -> dict[str, str]:
    """Return what the page says of each image."""
    return dict(re.findall(r"<figcaption>(.*?)<small>(.*?)</small>", archive.text("index.html")))


@pytest.mark.parametrize(
    ("source", "thumb", "size", "said"),
    [
        ("p/photo.heic", "p/photo.jpg", (128, 85), "300 × 200"),
        ("p/second.avif", "p/second.jpg", (128, 85), "300 × 200"),
        ("p/phone.jpg", "p/phone.jpg", (128, 85), "300 × 200, is HEIF"),
        ("p/drawing.png", "p/drawing.jpg", (128, 85), "300 × 200, is JPEG"),
        ("p/no-suffix", "p/no-suffix.jpg", (128, 85), "300 × 200, is PNG"),
        ("p/logo.svg", "p/logo.png", (128, 43), "drawing"),
        ("p/cmyk.jpg", "p/cmyk.jpg", (128, 85), "300 × 200"),
        ("p/lab.tif", "p/lab.jpg", (128, 85), "300 × 200"),
        ("p/deep.png", "p/deep.jpg", (128, 128), "600 × 600"),
        ("p/clear.png", "p/clear.png", (128, 85), "300 × 200"),
        ("p/anim.gif", "p/anim.jpg", (50, 40), "50 × 40, 3 pictures"),
        ("p/anim2.webp", "p/anim2.jpg", (50, 40), "50 × 40, 3 pictures"),
        ("p/exif.jpg", "p/exif.jpg", (128, 85), "300 × 200"),
        ("p/sub/up.jpg", "p/sub/up.jpg", (128, 85), "300 × 200"),
        ("p/thumbs/mine.jpg", "p/thumbs/mine.jpg", (128, 85), "300 × 200"),
    ],
)
def test_an_image_of_any_format_has_a_thumbnail(
    album: tuple[dict[str, Any], Artifact], source: str, thumb: str, size: tuple[int, int], said: str
) -> None:
    source, thumb = f"pictures/{source}", f"thumbs/pictures/{thumb}"
    assert shape(album[1].read(f"workspace/{thumb}")) == size
    assert about(album[1])[source] == said


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_an_image_is_turned_upright_as_its_exif_says(album: tuple[dict[str, Any], Artifact], suffix: str) -> None:
    assert shape(album[1].read(f"workspace/thumbs/pictures/p/up.{suffix}.jpg")) == (85, 128)
    assert about(album[1])[f"pictures/p/up.{suffix}"] == "200 × 300"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("pictures/p/cut.jpg", "is broken or cut off: image file is truncated"),
        ("pictures/p/cut.png", "is broken or cut off"),
        ("pictures/p/cut.heic", "is broken or cut off"),
        ("pictures/p/flipped.png", "is broken or cut off: broken PNG file"),
        ("pictures/p/empty.gif", "is empty"),
        ("pictures/p/page.jpg", "is not an image but an HTML page"),
        ("pictures/p/movie.heic", "is not an image but a video"),
        ("pictures/p/bomb.png", "is too large: more than 400,000,000 pixels"),
        ("pictures/p/large.png", "is too large: 12,000 × 12,000 pixels; the maximum is 100,000,000 pixels"),
        ("pictures/p/cut.svg", "cannot be drawn: "),
        ("pictures/p/shot.cr2", "is a raw photo (CR2); export it as JPEG"),
        ("locked/p/up.jpg", "is encrypted with a password"),
        ("broken.zip", "File is not a zip file"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_reason(
    album: tuple[dict[str, Any], Artifact], name: str, why: str
) -> None:
    assert f"<li>{name}: {why}" in album[1].text("index.html")
    assert f"{name}: {why}" in album[1].output_log


def test_the_folder_and_the_archive_named_thumbs_are_the_users(album: tuple[dict[str, Any], Artifact]) -> None:
    paths = album[1].paths
    assert {"pictures/p/thumbs/mine.jpg", "thumbs-2/a.png", "thumbs/thumbs-2/a.jpg"} <= paths
    assert "thumbs/a.png" not in paths


def test_files_that_a_mac_adds_are_no_images_and_other_files_are_counted(
    album: tuple[dict[str, Any], Artifact],
) -> None:
    assert not [path for path in album[1].paths if "__MACOSX" in path or "/._" in path]
    assert "1 other files are no images" in album[1].output_log


def test_old_names_are_readable_and_the_assumed_code_page_is_said(album: tuple[dict[str, Any], Artifact]) -> None:
    assert {"thumbs/old/Müller.jpg", "thumbs/old/Ordner/Straße.jpg"} <= album[1].paths
    said = "old.zip: its names do not say how they are encoded; cp437 (DOS, English) was assumed"
    assert said in album[1].output_log
    assert f"<li>{said}</li>" in album[1].text("index.html")


def test_two_entries_of_one_name_are_both_kept(album: tuple[dict[str, Any], Artifact]) -> None:
    assert {"thumbs/double/写真.jpg", "thumbs/double/写真-2.jpg"} <= album[1].paths


def test_the_page_is_light_or_dark_and_the_scripts_have_a_folder(album: tuple[dict[str, Any], Artifact]) -> None:
    assert "prefers-color-scheme: dark" in album[1].text("index.html")
    assert {path for path in album[1].paths if path.endswith(".py")} == {
        "scripts/thumbnails.py", "scripts/zip_files.py", "scripts/look.py",
    }  # fmt: skip
