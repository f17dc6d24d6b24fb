"""Unpacks ZIP archives: also archives with broken entries, and with names that do not say how they are encoded.

The format knows UTF-8, marked by a flag, and code page 437. Most old programs wrote the names in the code page of the
computer instead, without a mark. All names of an archive together tell which code page gives words.
"""

import shutil
import unicodedata
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

#: Maximum files of an archive, and their size in bytes.
UNPACKED_BYTES, UNPACKED_FILES = 4_000_000_000, 20_000

#: Code pages, the most common first. The first one wins a tie.
PAGES = {
    "cp437": "DOS, English", "cp850": "DOS, Western Europe", "cp1252": "Windows, Western Europe",
    "cp932": "Japanese", "gbk": "Chinese, simplified", "big5": "Chinese, traditional", "cp949": "Korean",
    "cp866": "DOS, Cyrillic", "cp1251": "Windows, Cyrillic", "cp852": "DOS, Central Europe",
    "cp1250": "Windows, Central Europe", "cp737": "DOS, Greek", "cp1253": "Windows, Greek", "cp862": "DOS, Hebrew",
    "cp1255": "Windows, Hebrew",
}  # fmt: skip

#: Bytes that begin the common characters of an encoding with two bytes each.
COMMON = {"cp932": (0x88, 0x97), "gbk": (0xB0, 0xD7), "big5": (0xA4, 0xC6), "cp949": (0xB0, 0xC8)}

LATIN = set("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ"
            "ĄąĆćČčĎďĘęĚěŁłŃńŇňŐőŘřŚśŠšŤťŮůŰűŹźŻżŽž")  # fmt: skip


@dataclass
class Unpacked:
    """A folder with the files of an archive, a note about their names, and the entries that could not be unpacked."""

    folder: Path
    note: str = ""
    broken: dict[Path, str] = field(default_factory=dict)


def free(path: Path, reserved: tuple[str, ...] = ()) -> Path:
    """Return a path that does not exist yet: the path itself, or with a number."""
    number, found = 1, path
    while found.exists() or found.name.casefold() in reserved:
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def is_macs(path: Path) -> bool:
    """Tell whether a Mac has added this file to a folder or an archive."""
    return any(part.startswith("._") or part in ("__MACOSX", ".DS_Store") for part in path.parts)


def unpack(archive: Path, folder: Path) -> Unpacked:
    """Unpack an archive into a new folder. Raises OSError or BadZipFile if nothing of it can be read.

    Files that a Mac has added are left out.
    """
    found = Unpacked(folder)
    with zipfile.ZipFile(archive) as packed:
        infos = packed.infolist()
        if len(infos) > UNPACKED_FILES or sum(info.file_size for info in infos) > UNPACKED_BYTES:
            raise OSError(f"unpacks to more than {UNPACKED_FILES:,} files or {UNPACKED_BYTES / 1e9:g} GB")
        names, page = decoded(packed)
        if page:
            found.note = f"{archive}: its names do not say how they are encoded; {page} was assumed"
        folder.mkdir(parents=True)
        for info, name in names.items():
            parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..")]
            place = Path(folder, *(unicodedata.normalize("NFC", part) for part in parts))
            if info.is_dir() or not parts or is_macs(place):
                continue
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                place = free(place) if place.exists() else place
                with packed.open(info) as source, open(place, "xb") as target:
                    shutil.copyfileobj(source, target)
            except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError) as error:
                with suppress(OSError):
                    place.unlink()  # a part of a file is not the file
                locked = info.flag_bits & 1
                found.broken[place] = "is encrypted with a password" if locked else f"cannot be unpacked: {error}"
    return found


def decoded(archive: zipfile.ZipFile) -> tuple[dict[zipfile.ZipInfo, str], str]:
    """Return the name of each entry, and the encoding that was assumed, or "" if all names say theirs."""
    entries = archive.infolist()
    unmarked = [entry for entry in entries if not entry.flag_bits & 0x800 and not _has_unicode_name(entry)]
    raw = {entry: entry.filename.encode("cp437") for entry in unmarked}
    names = {entry: entry.filename for entry in entries}
    if all(name.isascii() for name in raw.values()):
        return names, ""
    page = guess(list(raw.values()))
    names |= {entry: name.decode(page) for entry, name in raw.items()}
    return names, page if page == "utf-8" else f"{page} ({PAGES[page]})"


def _has_unicode_name(entry: zipfile.ZipInfo) -> bool:
    """Tell whether zipfile has taken the name from the Unicode field that some programs add."""
    try:
        entry.filename.encode("cp437")
    except UnicodeEncodeError:
        return True
    return False


def guess(names: list[bytes]) -> str:
    """Return the encoding that makes the most of names."""
    scores = {page: score for page in ("utf-8", *PAGES) if (score := _score(names, page)) is not None}
    best = max(scores, key=lambda page: round(scores[page], 3))
    if "utf-8" not in scores:
        return best
    # a few short names of another encoding are valid UTF-8 by chance, with two bytes each, but then they are no words
    long = any(character > "\u07ff" for name in names for character in name.decode())
    return "utf-8" if long or scores["utf-8"] >= 0 or scores[best] < 0.9 else best


def _score(names: list[bytes], page: str) -> float | None:
    """Return how much names look like words, at most 1, or None if an encoding cannot be theirs."""
    try:
        texts = [name.decode(page) for name in names]
    except UnicodeDecodeError:
        return None
    values = [value for text in texts for word in _words(text) for value in _values(word, page)]
    return sum(values) / max(1, len(values))


def _words(text: str) -> list[str]:
    return "".join(c if ord(c) > 127 or c.isalpha() else " " for c in text).split()


def _values(word: str, page: str) -> list[float]:
    """Return a value for each character that is not ASCII, by the script that it belongs to."""
    scripts = {_script(c) for c in word}
    alone = len(scripts) == 1
    # a capital inside a word that is not all capitals is rare
    odd_case = any(c.isupper() for c in word[1:]) and any(c.islower() for c in word)
    accents = sum(not c.isascii() for c in word) > max(2, len(word) / 2)  # a word of accents only
    values = []
    for character in word:
        script = _script(character)
        if character.isascii():
            continue
        if script == "Latin":
            value = -1.0 if character not in LATIN else 0.3 if odd_case else 0.6 if accents else 1.0
        elif script in ("Han", "Hangul"):
            value = _common(character, page) if scripts <= {"Han", "Kana"} or alone else 0.0
        elif script == "Kana":
            value = 1.0 if page == "cp932" and "HALFWIDTH" not in unicodedata.name(character, "") else -0.5
        elif script in ("Cyrillic", "Greek", "Hebrew"):
            value = (0.3 if odd_case else 0.9 if word.isupper() else 1.0) if alone else -0.5
        elif page == "utf-8" and script != "Other":
            value = 0.5  # scripts that no code page here has
        else:
            value = -1.0
        values.append(value)
    return values


def _script(character: str) -> str:
    first = unicodedata.name(character, "?").split()[0]
    if not character.isalpha() and first != "KATAKANA-HIRAGANA":
        return "Other"
    return {"CJK": "Han", "HANGUL": "Hangul", "HIRAGANA": "Kana", "KATAKANA": "Kana", "KATAKANA-HIRAGANA": "Kana",
            "HALFWIDTH": "Kana"}.get(first, first.title())  # fmt: skip


def _common(character: str, page: str) -> float:
    if page == "cp949" and "가" <= character <= "힣":
        # syllables with doubled consonants or rare vowels, which Chinese bytes give by chance
        initial, rest = divmod(ord(character) - ord("가"), 588)
        vowel, final = divmod(rest, 28)
        if initial in (1, 4, 8, 10, 13) or vowel in (3, 10, 15) or final in (2, 3, 5, 6, *range(9, 16), 18):
            return 0.3
    first, last = COMMON.get(page, (1, 0))
    begin, end = (character.encode(page, "replace") + b"\0")[:2]
    common = first <= begin <= last and (end >= 0xA1 or page in ("cp932", "big5"))
    return (0.97 if page == "cp949" else 0.95) if common else 0.2
