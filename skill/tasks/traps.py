"""Tasks whose result looks finished early. A check of names or sizes would accept a placeholder."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

from skill.looking import fail, from_json, need, same, text
from skill.making import chance
from skill.task import Content, Script, Task

TOOL = '''"""Resize pictures."""

import argparse

parser = argparse.ArgumentParser(description="Resize all pictures of a folder.")
parser.add_argument("folder", help="folder with the pictures")
parser.add_argument("--width", type=int, default=800, help="new width in pixels")
parser.add_argument("--quality", type=int, default=85, help="JPEG quality, 1 to 95")
parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
parser.add_argument("--suffix", default="-small", help="added to the names of the new files")
given = parser.parse_args()
'''

README = """# Resize

Resize all pictures of a folder.

## Usage

```bash
python resize.py photos --width 640
```

## Options

| option | default | meaning |
|---|---|---|
| `--width` | 800 | the new width in pixels |
| `--quality` | 85 | the JPEG quality, from 1 to 95 |
| `--dry-run` | | only say what would be done |
| `--suffix` | `-small` | added to the names of the new files |
"""

PLACEHOLDER = re.compile(r"\b(todo|tbd|lorem ipsum|placeholder|coming soon|your \w+ here)", re.IGNORECASE)


def judge_readme(here: Path, given: Path) -> None:
    found = text(here, "README.md")
    trap = PLACEHOLDER.search(found)
    need(not trap, f"README.md has a placeholder: {trap and trap[0]!r}")
    for heading in ("Usage", "Options"):
        need(re.search(rf"^#+\s*{heading}", found, re.MULTILINE | re.IGNORECASE), f"README.md has no heading {heading}")
    for option, default in (("--width", "800"), ("--quality", "85"), ("--dry-run", ""), ("--suffix", "-small")):
        need(option in found, f"README.md does not explain {option}")
        need(default in found, f"README.md does not give the default of {option}")
    need(re.search(r"resize\.py\s+\S", found), "README.md shows no command with a folder")


def customers_reference() -> str:
    return json.dumps(
        [
            {
                "id": n,
                "name": f"Name {n}",
                "email": f"n{n}@example.org",
                "age": 18 + n % 60,
                "country": ("DE", "FR", "IT")[n % 3],
            }
            for n in range(1, 121)
        ]
    )


def judge_fake(here: Path, given: Path) -> None:
    found = from_json(here, "customers.json")
    need(isinstance(found, list), "customers.json is no list")
    same(len(found), 120, "the number of customers")
    same([one["id"] for one in found], list(range(1, 121)), "the ids")
    need(len({one["email"] for one in found}) == 120, "addresses occur twice")
    for one in found:
        need(re.fullmatch(r"[^@\s]+@example\.org", one["email"]), f"{one['email']!r} is no address at example.org")
        need(isinstance(one["age"], int) and 18 <= one["age"] <= 90, f"the age {one['age']!r}")
        need(one["country"] in ("DE", "FR", "IT"), f"the country {one['country']!r}")
        need(str(one["name"]).strip(), "a name is empty")
    need(len({one["country"] for one in found}) == 3, "not all three countries occur")


def mails() -> str:
    dice = chance("mails")
    lines = []
    for n in range(60):
        name = dice.choice(("eva.krug", "bo_chen", "ann+shop", "d.katz", "info", "EVA.KRUG"))
        host = dice.choice(("example.org", "mail.example.com", "example.co.uk"))
        lines.append(
            dice.choice(
                (
                    f"Please write to {name}@{host}.",
                    f"From: <{name}@{host}>, at noon",
                    f"I met {name} at {host} yesterday",
                    f"(cc: {name}@{host}; {n} copies)",
                    "The price is 5 EUR @ 3 pieces",
                )
            )
        )
    return "\n".join(lines) + "\n"


def judge_addresses(here: Path, given: Path) -> None:
    pattern = r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
    expected = sorted({one.lower() for one in re.findall(pattern, (given / "mails.txt").read_text())})
    found = [line.strip() for line in text(here, "addresses.txt").splitlines() if line.strip()]
    same(found, expected, "addresses.txt")


NOTES: dict[str, Content] = {
    "monday.txt": "Call the bank.\n",
    "tuesday.txt": "Buy paper, pens and tea.\n" * 4,
    "empty.txt": "",
    "plan.md": "# Plan\n",
    "picture.bin": bytes(range(256)),
}


def judge_zip(here: Path, given: Path) -> None:
    need((here / "notes.zip").is_file(), "notes.zip is missing")
    try:
        with zipfile.ZipFile(here / "notes.zip") as archive:
            found = {
                info.filename.removeprefix("./"): archive.read(info) for info in archive.infolist() if not info.is_dir()
            }
    except zipfile.BadZipFile:
        fail("notes.zip is no ZIP")
    expected = {name: (given / name).read_bytes() for name in NOTES if name.endswith(".txt")}
    same(sorted(found), sorted(expected), "the names in notes.zip")
    for name, content in expected.items():
        same(found[name], content, f"the content of {name}")


TASKS = [
    Task(
        "readme",
        "Write a README.md for resize.py, with the sections Usage (with an example) and Options. Explain each option and give "
        "its default where it has one.",
        judge_readme,
        {"resize.py": TOOL},
        "README.md",
        reference={"README.md": README},
        wrong=(
            {
                "README.md": "# Resize\n\n## Usage\n\nTODO\n\n## Options\n\n--width 800 --quality 85 --dry-run --suffix -small\n"
            },
            {"README.md": "# Resize\n\n## Usage\n\npython resize.py photos\n\n## Options\n\nSee --help.\n"},
        ),
    ),
    Task(
        "test-customers",
        "I need test data: write customers.json with 120 invented customers. Each has id (1 to 120), name, email (all "
        "different, at example.org), age (18 to 90) and country (DE, FR or IT, each of them at least once).",
        judge_fake,
        alone="run python",
        reference={"customers.json": customers_reference},
        wrong=(
            {"customers.json": '[{"id": 1, "name": "Ann", "email": "ann@example.org", "age": 30, "country": "DE"}]'},
            {"customers.json": "[]"},
        ),
    ),
    Task(
        "mail-addresses",
        "Extract all e-mail addresses from mails.txt into addresses.txt: in lower case, each once, sorted, one on each line.",
        judge_addresses,
        {"mails.txt": mails},
        "run python",
        reference=Script(
            "bash",
            "grep -oE '[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)+' mails.txt | tr A-Z a-z | LC_ALL=C sort -u > addresses.txt\n",
        ),
        wrong=(
            {"addresses.txt": "\n"},
            Script("bash", "grep -oE '[^ ]+@[^ ]+' mails.txt | sort -u > addresses.txt\n"),
        ),
    ),
    Task(
        "zip-notes",
        "Pack all .txt files into notes.zip, also the empty one, without folders. Nothing else belongs in it.",
        judge_zip,
        NOTES,
        "run bash",
        reference=Script("bash", "zip -q notes.zip *.txt\n"),
        wrong=(Script("bash", "zip -q notes.zip *\n"), {"notes.zip": b"PK\x05\x06" + bytes(18)}),
    ),
]
