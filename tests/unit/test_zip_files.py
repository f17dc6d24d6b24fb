"""The names in ZIP archives whose programs did not write how they are encoded."""

from __future__ import annotations

import importlib.util
import io
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.system import ROOT

spec = importlib.util.spec_from_file_location("zip_files", ROOT / "templates/shared/zip_files.py")
assert spec
assert spec.loader
zip_files = importlib.util.module_from_spec(spec)
sys.modules["zip_files"] = zip_files  # dataclasses look it up
spec.loader.exec_module(zip_files)


class Unmarked(zipfile.ZipInfo):
    """An entry whose name is written as it is, without the flag for UTF-8."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw.decode("cp437"))
        self.raw = raw

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.raw, 0


def archive(*names: bytes | str) -> zipfile.ZipFile:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name in names:
            packed.writestr(Unmarked(name) if isinstance(name, bytes) else name, b"x")
    return zipfile.ZipFile(content)


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("cp437", ["Müller Straße.jpg"]),
        ("cp437", ["Café.png"]),
        ("cp850", ["São João.jpg"]),
        ("cp1252", ["Müller.jpg"]),
        ("cp1252", ["Café.png", "Übung größe.jpg"]),
        ("cp932", ["旅行の写真/東京タワー.jpg"]),
        ("cp932", ["カメラ.jpg"]),
        ("gbk", ["新建文件夹/风景.jpg"]),
        ("gbk", ["图片.png"]),  # valid UTF-8 by chance
        ("gbk", ["北京.png"]),
        ("big5", ["新資料夾/風景.jpg"]),
        ("cp949", ["새 폴더/풍경.jpg"]),
        ("cp866", ["Новая папка/фото.jpg"]),
        ("cp1251", ["Новая папка/Изображение.jpg"]),
        ("cp852", ["Łódź.jpg"]),
        ("cp737", ["Φωτογραφία.jpg"]),
        ("cp862", ["תמונה.jpg"]),
        ("utf-8", ["Müller.jpg"]),
        ("utf-8", ["写真.jpg", "😀.jpg"]),
        ("utf-8", ["صورة.jpg"]),
    ],
)
def test_names_without_the_flag_are_read_in_the_code_page_that_makes_words_of_them(page: str, names: list[str]) -> None:
    found, assumed = zip_files.decoded(archive(*(name.encode(page) for name in names)))
    assert list(found.values()) == names
    assert assumed.split()[0] == page


@pytest.mark.parametrize("names", [["plain.jpg"], ["Müller.jpg", "写真.jpg"], []])
def test_names_that_say_their_encoding_are_taken_as_they_are(names: list[str]) -> None:
    found, assumed = zip_files.decoded(archive(*names))
    assert (list(found.values()), assumed) == (names, "")


def test_an_entry_that_cannot_be_unpacked_is_named_and_the_others_are_unpacked(tmp_path: Path) -> None:
    place = tmp_path / "a.zip"
    with zipfile.ZipFile(place, "w") as packed:
        for name in ("good.txt", "bad.txt", "a/b.txt", "a", f"{'x' * 300}.txt", "../up.txt", "a\\c.txt", "._good.txt"):
            packed.writestr(name, f"content of {name}")
    content = place.read_bytes()
    place.write_bytes(content.replace(b"content of bad", b"content of BAD"))
    found = zip_files.unpack(place, tmp_path / "a")
    assert sorted(path.relative_to(tmp_path / "a").as_posix() for path in (tmp_path / "a").rglob("*.txt")) == [
        "a/b.txt", "a/c.txt", "good.txt", "up.txt",
    ]  # fmt: skip
    assert (tmp_path / "a" / "a-2").read_text() == "content of a"
    assert [(path.name[:7], why[:19]) for path, why in found.broken.items()] == [
        ("bad.txt", "cannot be unpacked:"),
        ("xxxxxxx", "cannot be unpacked:"),
    ]


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_a_file_that_is_no_archive_raises_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises((OSError, zipfile.BadZipFile)):
        zip_files.unpack(tmp_path / "a.zip", tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_names_with_and_without_the_flag_stand_in_one_archive() -> None:
    found, assumed = zip_files.decoded(archive("写真.jpg", "Müller.jpg".encode("cp437")))
    assert (list(found.values()), assumed) == (["写真.jpg", "Müller.jpg"], "cp437 (DOS, English)")
