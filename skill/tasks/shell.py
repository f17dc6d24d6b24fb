"""File operations as in a shell."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

from skill.looking import need, same, text
from skill.making import chance, tar
from skill.task import Content, Script, Task

TREE = {
    "site/index.html": "<h1>Hello</h1>\n" * 40,
    "site/css/main.css": "body { color: black }\n" * 130,
    "site/css/old/print.css": "p { margin: 0 }\n" * 700,
    "site/js/app.js": "console.log('on');\n" * 333,
    "site/js/lib/big lib.js": "var x = 1;\n" * 2100,
    "site/notes.txt": "To do: nothing.\n",
    "site/data/table.csv": "a,b,c\n" * 900,
}


def judge_largest(here: Path, given: Path) -> None:
    sizes = sorted(((len(content), name) for name, content in TREE.items()), reverse=True)[:3]
    found = [line.split(maxsplit=1) for line in text(here, "largest.txt").splitlines() if line.strip()]
    expected = [[str(size), name] for size, name in sizes]
    same([[size, name.removeprefix("./")] for size, name in found], expected, "largest.txt")


REPORTS = {f"report-{n}.txt": f"Report {n}\n" + f"value {n * 37}\n" * (n + 3) for n in range(1, 9)}
DAMAGED = ("report-3.txt", "report-6.txt")


def sums() -> str:
    return "".join(f"{hashlib.sha256(content.encode()).hexdigest()}  {name}\n" for name, content in REPORTS.items())


def damaged() -> dict[str, Content]:
    return {name: content + "!" if name in DAMAGED else content for name, content in REPORTS.items()}


def judge_sums(here: Path, given: Path) -> None:
    found = [line.strip() for line in text(here, "damaged.txt").splitlines() if line.strip()]
    same(sorted(found), list(DAMAGED), "damaged.txt")


def scans() -> dict[str, Content]:
    dice = chance("scans")
    contents = [f"page {n}\n" * (20 + n % 2) for n in range(6)]
    return {f"scan {n:02}.txt": contents[n % 6 if n < 8 else dice.choice((0, 3))] for n in range(12)}


def judge_duplicates(here: Path, given: Path) -> None:
    kinds = defaultdict(list)
    for path in sorted(given.iterdir()):
        kinds[path.read_bytes()].append(path.name)
    kept = sorted(names[0] for names in kinds.values())
    same(sorted(path.name for path in here.glob("scan *.txt")), kept, "the files that are left")
    for name in kept:
        same((here / name).read_bytes(), (given / name).read_bytes(), f"the content of {name}")
    removed = sorted(name for names in kinds.values() for name in names[1:])
    found = sorted(line.strip().removeprefix("./") for line in text(here, "removed.txt").splitlines() if line.strip())
    same(found, removed, "removed.txt")


def addresses() -> str:
    dice = chance("addresses")
    return "".join(f"{n:04};Street {dice.randint(1, 300)};Town {dice.randint(1, 40)}\n" for n in range(1, 1038))


def judge_split(here: Path, given: Path) -> None:
    lines = (given / "addresses.txt").read_text().splitlines(keepends=True)
    parts = [lines[n : n + 250] for n in range(0, len(lines), 250)]
    for number, part in enumerate(parts, 1):
        same(text(here, f"part-{number}.txt"), "".join(part), f"part-{number}.txt")
    need(not (here / f"part-{len(parts) + 1}.txt").exists(), "there is a part too many")
    need(not (here / "part-0.txt").exists(), "there is a part-0.txt")


PHOTOS = ("IMG_20260504_101112.jpg", "IMG_20251231_235959.jpg", "IMG_20240229_000001.jpg", "holiday.jpg")


def judge_photos(here: Path, given: Path) -> None:
    for old, new in zip(
        PHOTOS,
        (
            "2026/2026-05-04 10.11.12.jpg",
            "2025/2025-12-31 23.59.59.jpg",
            "2024/2024-02-29 00.00.01.jpg",
            "other/holiday.jpg",
        ),
        strict=True,
    ):
        need((here / new).is_file(), f"{new} is missing")
        same((here / new).read_bytes(), (given / old).read_bytes(), f"the content of {new}")
        need(not (here / old).exists(), f"{old} is still there")


TASKS = [
    Task(
        "largest-files",
        "Unpack site.tar.gz and write the three largest files in it into largest.txt, one on each line: the size in bytes, a "
        "blank and the path as it is in the archive. The largest comes first.",
        judge_largest,
        {"site.tar.gz": lambda: tar(TREE)},
        "run bash",
        reference=Script(
            "bash", "tar xzf site.tar.gz\nfind site -type f -printf '%s %p\\n' | sort -rn | head -3 > largest.txt\n"
        ),
        wrong=(
            Script(
                "bash", "tar xzf site.tar.gz\nfind site -type f -printf '%s %p\\n' | sort -r | head -3 > largest.txt\n"
            ),
        ),
    ),
    Task(
        "checksums",
        "Check the reports against SHA256SUMS and write the names of the damaged ones into damaged.txt, one on each line.",
        judge_sums,
        {**damaged(), "SHA256SUMS": sums},
        "run bash",
        reference=Script(
            "bash", "sha256sum -c SHA256SUMS 2>/dev/null | sed -n 's/: FAILED.*//p' > damaged.txt\ntrue\n"
        ),
        wrong=({"damaged.txt": "none\n"}, {"damaged.txt": "\n".join(REPORTS)}),
    ),
    Task(
        "duplicates",
        "Some of these scans have exactly the same content. Delete the duplicates, of each group keep the file whose name "
        "comes first in the alphabet, and list the deleted names in removed.txt, one on each line.",
        judge_duplicates,
        scans(),
        "run bash",
        reference=Script(
            "python",
            """
import os, pathlib
seen, removed = set(), []
for file in sorted(pathlib.Path().glob("scan *.txt")):
    content = file.read_bytes()
    if content in seen:
        file.unlink()
        removed.append(file.name)
    seen.add(content)
open("removed.txt", "w").write("\\n".join(removed) + "\\n")
""",
        ),
        wrong=({"removed.txt": "scan 06.txt\n"},),
    ),
    Task(
        "split-file",
        "Split addresses.txt into files of 250 lines each, called part-1.txt, part-2.txt and so on; the last one has the rest.",
        judge_split,
        {"addresses.txt": addresses},
        "run bash",
        reference=Script(
            "bash", "split -l 250 --numeric-suffixes=1 -a 1 --additional-suffix=.txt addresses.txt part-\n"
        ),
        wrong=(Script("bash", "split -l 250 -d -a 1 --additional-suffix=.txt addresses.txt part-\n"),),
    ),
    Task(
        "photo-names",
        "Move each photo with a name like IMG_20230102_030405.jpg into a folder of its year and name it by date and time, so "
        "that this one would become 2023/2023-01-02 03.04.05.jpg. Photos with other names go into the folder other.",
        judge_photos,
        {name: b"\xff\xd8\xff\xe0" + name.encode() for name in PHOTOS},
        "run bash",
        reference=Script(
            "bash",
            r"""mkdir other
for f in *.jpg; do
  if [[ $f =~ ^IMG_(....)(..)(..)_(..)(..)(..)\.jpg$ ]]; then
    r=("${BASH_REMATCH[@]}")
    mkdir -p "${r[1]}"
    mv "$f" "${r[1]}/${r[1]}-${r[2]}-${r[3]} ${r[4]}.${r[5]}.${r[6]}.jpg"
  else
    mv "$f" other/
  fi
done
""",
        ),
        wrong=(Script("bash", "mkdir other\nmv *.jpg other\n"),),
    ),
]
