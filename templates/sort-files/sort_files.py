"""Sort files by type into folders: python scripts/sort_files.py [--dry-run] [--unpack] [--target FOLDER] PATH...

A PATH is a file, or a folder (all files in it). Nothing is ever overwritten. moves.csv says what went where;
python scripts/sort_files.py --undo moves.csv puts everything back.
"""

import argparse
import csv
import os
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import zip_files

TYPES = {
    "Images": "jpg jpeg jfif png gif webp bmp tif tiff avif heic heif svg ico psd raw cr2 nef",
    "Documents": "pdf doc docx odt rtf txt md rst tex epub pages",
    "Spreadsheets": "xls xlsx xlsm ods csv tsv numbers",
    "Presentations": "ppt pptx odp key",
    "Audio": "mp3 wav flac ogg oga opus m4a aac wma aiff mid midi",
    "Video": "mp4 m4v mov avi mkv webm wmv flv mpg mpeg 3gp",
    "Archives": "zip tar gz tgz bz2 xz 7z rar zst jar iso dmg deb rpm",
    "Code": "py ipynb js mjs ts tsx jsx java kt scala c h cc cpp hpp cs go rs swift rb php pl lua r sh bash bat sql",
    "Web": "html htm css scss xhtml",
    "Data": "json jsonl xml yaml yml toml ini cfg conf parquet sqlite db log env",
    "Fonts": "ttf otf woff woff2",
    "Mail": "eml msg mbox ics vcf",
}
BY_SUFFIX = {f".{suffix}": folder for folder, suffixes in TYPES.items() for suffix in suffixes.split()}

#: First bytes of files without a known suffix.
BEGINNINGS = [
    (b"\x89PNG", "Images"), (b"\xff\xd8\xff", "Images"), (b"GIF8", "Images"), (b"%PDF", "Documents"),
    (b"PK\x03\x04", "Archives"), (b"\x1f\x8b", "Archives"), (b"7z\xbc\xaf", "Archives"), (b"ID3", "Audio"),
    (b"OggS", "Audio"), (b"fLaC", "Audio"), (b"#!", "Code"), (b"SQLite format 3", "Data"), (b"<!DOCTYPE html", "Web"),
]  # fmt: skip


def folder_of(file: Path) -> str:
    """Return the folder for a file, by its suffix or else by its first bytes."""
    if known := BY_SUFFIX.get(file.suffix.lower()):
        return known
    with open(file, "rb") as opened:
        begin = opened.read(16)
    return next((folder for mark, folder in BEGINNINGS if begin.startswith(mark)), "Other")


def files(paths: list[Path], target: Path) -> Iterator[Path]:
    """Return all files in order. Links stay in place."""
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and not file.is_symlink() and target not in file.parents:
                yield file


def free_place(wanted: Path, taken: set[str]) -> Path:
    """Return the path, with a number in its name if the file exists. Case does not distinguish two files."""
    place, number = wanted, 2
    while os.path.lexists(place) or str(place).lower() in taken:
        place = wanted.with_name(f"{wanted.stem} ({number}){wanted.suffix}")
        number += 1
    taken.add(str(place).lower())
    return place


def unpack(archive: Path) -> Path:
    """Unpack a ZIP archive into a folder beside it, and return the folder, or the archive if it cannot be unpacked."""
    try:
        found = zip_files.unpack(archive, zip_files.free(archive.with_name(f"{archive.stem} unpacked")))
    except (OSError, zipfile.BadZipFile) as error:
        print(f"{archive} stays as it is: {error}")
        return archive
    for entry, why in found.broken.items():
        print(f"{entry}: {why}")
    print(found.note, end="\n" if found.note else "")
    return found.folder


def undo(record: Path) -> None:
    """Move every file in a record back, last first."""
    with open(record, encoding="utf-8", newline="") as file:
        moves = [(Path(row["to"]), Path(row["from"])) for row in csv.DictReader(file) if row["done"] == "yes"]
    for now, before in reversed(moves):
        if os.path.lexists(before):
            sys.exit(f"{before} is there again: it is not overwritten, and {now} stays where it is")
        before.parent.mkdir(parents=True, exist_ok=True)
        now.rename(before)
    print(f"{len(moves)} files are back where they were")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--target", type=Path, default=Path("sorted"))
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--unpack", action="store_true", help="unpack ZIP archives first")
    parser.add_argument("--undo", type=Path, metavar="MOVES.CSV")
    given = parser.parse_args()
    if given.undo:
        undo(given.undo)
        return
    paths = []
    for path in given.paths:
        is_archive = given.unpack and path.suffix.lower() == ".zip"
        paths += [unpack(path)] if is_archive else [path]
    taken: set[str] = set()
    counts: Counter[str] = Counter()
    with open("moves.csv", "w", encoding="utf-8", newline="") as record:
        moves = csv.writer(record)
        moves.writerow(["from", "to", "done"])
        for file in list(files(paths, given.target)):
            folder = folder_of(file)
            place = free_place(given.target / folder / file.name, taken)
            if not given.dry_run:
                place.parent.mkdir(parents=True, exist_ok=True)
                file.rename(place)
            moves.writerow([file, place, "no" if given.dry_run else "yes"])
            record.flush()
            counts[folder] += 1
            print(f"{file} → {place}")
    if not counts:
        sys.exit("There is no file to sort.")
    told = ", ".join(f"{count} {folder}" for folder, count in counts.most_common())
    print(f"\n{counts.total()} files {'would be' if given.dry_run else 'were'} sorted: {told}")
    print("Nothing was moved." if given.dry_run else "Undo: python scripts/sort_files.py --undo moves.csv")


if __name__ == "__main__":
    main()
