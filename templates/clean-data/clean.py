"""Clean a CSV file: python clean.py [--invalid reject|blank] [--required NAMES] [--keep-duplicates] FILE

Writes cleaned.csv, rejected.csv (each row that is not in it, with its line and why), changes.csv (each cell that was
changed, with its line, before and after) and report.md. Every row of the input is in cleaned.csv or in rejected.csv.
"""

import argparse
import csv
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

MISSING = {"na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?"}
EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
TRUTHS = {"yes": "true", "y": "true", "true": "true", "no": "false", "n": "false", "false": "false"}
DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d", "%d.%m.%Y", "%d %b %Y",
         "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y"]  # fmt: skip
SLASHED = ["%d/%m/%Y", "%m/%d/%Y"]
CURRENCY = re.compile(r"[$€£¥%]|\b(?:USD|EUR|GBP|CHF)\b")

csv.field_size_limit(10_000_000)


@dataclass
class Job:
    """A file, the rules for cleaning it, and the results."""

    file: Path
    encoding: str
    delimiter: str
    header: list[str]
    kinds: list[tuple[str, Callable[[str], str] | None]]
    required: list[str]
    invalid: str
    keep_duplicates: bool
    read: int = 0
    rejected: int = 0
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


class Invalid(Exception):
    """A cell has the wrong kind for its column. The message says why."""


def email(text: str) -> str:
    if not EMAIL.fullmatch(text) or ".." in text or text.startswith(".") or ".@" in text:
        raise Invalid("no e-mail address")
    name, _, domain = text.rpartition("@")
    return f"{name}@{domain.lower()}"


def date(forms: list[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        for form in forms:
            try:
                found = datetime.strptime(text, form)
            except ValueError:
                continue
            return found.isoformat(sep=" ") if "%H" in form else found.date().isoformat()
        raise Invalid("no date")

    return read


def number(comma: bool) -> Callable[[str], str]:
    group, point = (r"[.'  ]", ",") if comma else (r"[,'  ]", r"\.")
    pattern = re.compile(rf"[+-]?(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)?(?:{point}\d+)?")

    def read(text: str) -> str:
        plain = CURRENCY.sub("", text).strip().replace("−", "-")
        if re.fullmatch(r"\(.+\)", plain):
            plain = f"-{plain[1:-1]}"
        if re.fullmatch(r"[+-]?\d+(?:\.\d+)?[eE][+-]?\d{1,3}", plain):
            return plain
        if not pattern.fullmatch(plain) or not any(character.isdigit() for character in plain):
            raise Invalid("no number")
        plain = re.sub(group, "", plain).replace(",", ".").removeprefix("+")
        return f"0{plain}" if plain.startswith(".") else plain

    return read


def truth(text: str) -> str:
    if text.lower() not in TRUTHS:
        raise Invalid("neither true nor false")
    return TRUTHS[text.lower()]


def kind_of(name: str, cells: list[str]) -> tuple[str, Callable[[str], str] | None]:
    """Return the kind of a column: the kind of most filled cells, or of all but a few if its name suggests it."""
    cells = [text for cell in cells if (text := tidy(cell))]
    if not cells:
        return "text", None
    comma = sum(bool(re.search(r"\d,\d{1,2}\b(?!,)", cell)) for cell in cells)
    point = sum(bool(re.search(r"\d\.\d{1,2}\b(?!\.)", cell)) for cell in cells)
    slashed = max(SLASHED, key=lambda form: share(date([form]), cells))
    kinds: list[tuple[str, Callable[[str], str], str]] = [
        ("e-mail", email, r"mail"),
        ("truth", truth, r"^(is|has)_|active|subscribed"),
        ("number", number(comma > point), r"amount|price|age|count|total|quantity|score|salary"),
        ("date", date([*DATES, slashed]), r"date|day|birth|born|joined|since|created|updated"),
    ]
    zeros = share(lambda text: text if re.fullmatch(r"0\d+", text) else email(""), cells)
    for kind, read, named in kinds:
        if kind == "number" and zeros > 0.1:
            continue  # 00123 is a code and would lose its zeros as a number
        if share(read, cells) >= (0.4 if re.search(named, name.lower()) else 0.8):
            return kind, read
    return "text", None


def share(read: Callable[[str], str], cells: list[str]) -> float:
    good = 0
    for cell in cells:
        try:
            read(cell)
            good += 1
        except Invalid:
            pass
    return good / len(cells)


def tidy(cell: str) -> str:
    """Remove outer and repeated white space from a cell. Placeholders for missing values become empty."""
    text = " ".join(cell.replace("\ufeff", "").split())
    return "" if text.lower() in MISSING else text


def rows_of(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the number of its first line."""
    with open(path, encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        line = 1
        for row in reader:
            yield line, row
            line = reader.line_num + 1


def how(path: Path) -> tuple[str, str]:
    """Return the encoding and the delimiter of a file."""
    with open(path, "rb") as file:
        start = file.read(4)
    encodings = ["utf-16"] if start[:2] in (b"\xff\xfe", b"\xfe\xff") else ["utf-8-sig", "cp1252", "latin-1"]
    for encoding in encodings:
        try:
            with open(path, encoding=encoding, newline="") as file:
                head = file.read(100_000)
                while file.read(1 << 20):
                    pass
            break
        except UnicodeDecodeError:
            continue
    else:
        sys.exit(f"{path}: cannot be read as text")
    lines = [line for line in head.splitlines() if line.strip()][:50]
    if not lines:
        sys.exit(f"{path} is empty: there is nothing to clean")
    return encoding, max(",;\t|", key=lambda sign: min(line.count(sign) for line in lines[:1] + lines[1:][:3]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--invalid", choices=["reject", "blank"], default="reject")
    parser.add_argument("--required", default="", help="names of columns, divided by commas")
    parser.add_argument("--keep-duplicates", action="store_true")
    given = parser.parse_args()
    encoding, delimiter = how(given.file)
    rows = rows_of(given.file, encoding, delimiter)
    header = [tidy(name) or f"column {n}" for n, name in enumerate(next(row for _, row in rows if any(row)), 1)]
    required = [name.strip() for name in given.required.split(",") if name.strip()]
    if unknown := [name for name in required if name not in header]:
        sys.exit(f"There is no column {unknown[0]!r} in {given.file}; it has: {', '.join(header)}")
    first = [row for (_, row), _ in zip(rows, range(2000), strict=False) if len(row) == len(header)]
    kinds = [kind_of(name, [row[place] for row in first]) for place, name in enumerate(header)]
    job = Job(given.file, encoding, delimiter, header, kinds, required, given.invalid, given.keep_duplicates)
    clean(job)
    report(job)


def clean(job: Job) -> None:
    """Write cleaned.csv, rejected.csv and changes.csv."""
    seen: dict[bytes, int] = {}
    with (
        open("cleaned.csv", "w", encoding="utf-8", newline="") as cleaned_file,
        open("rejected.csv", "w", encoding="utf-8", newline="") as rejected_file,
        open("changes.csv", "w", encoding="utf-8", newline="") as changes_file,
    ):
        cleaned, rejected, changed = csv.writer(cleaned_file), csv.writer(rejected_file), csv.writer(changes_file)
        cleaned.writerow(job.header)
        rejected.writerow(["line", "reason", *job.header])
        changed.writerow(["line", "column", "change", "before", "after"])
        rows = (item for item in rows_of(job.file, job.encoding, job.delimiter) if any(item[1]))
        next(rows)
        for line, row in rows:
            job.read += 1
            new, done, why = clean_row(job, row)
            if not why and not job.keep_duplicates:
                key = hashlib.blake2b("\0".join(new).encode(), digest_size=16).digest()
                first = seen.setdefault(key, line)
                if first != line:
                    why = [("", "duplicate", f"of line {first}")]
            if why:
                texts = [
                    " ".join(part for part in (name and f"{name}:", what, more) if part) for name, what, more in why
                ]
                rejected.writerow([line, "; ".join(texts), *row])
                job.rejected += 1
                job.reasons.update(f"{name}: {what}" if name else what for name, what, _ in why)
                continue
            cleaned.writerow(new)
            for name, change, before, after in done:
                changed.writerow([line, name, change, before, after])
                job.changes[name, change] += 1


def clean_row(
    job: Job, row: list[str]
) -> tuple[list[str], list[tuple[str, str, str, str]], list[tuple[str, str, str]]]:
    """Return the new row, its changes, and the reason to reject it: column, fault, and details."""
    if len(row) != len(job.header):
        return row, [], [("", "another number of cells", f"than the header: {len(row)}, not {len(job.header)}")]
    new, done, why = [], [], []
    for name, cell, (kind, read) in zip(job.header, row, job.kinds, strict=True):
        text = tidy(cell)
        change = "white space" if text else "missing mark"
        if text and read:
            try:
                text, plain = read(text), text
                change = f"{kind} written anew" if text != plain else change
            except Invalid as error:
                if job.invalid == "reject":
                    why.append((name, str(error), f"({text[:80]!r})"))
                else:
                    text, change = "", f"blanked: {error}"
        if text != cell:
            done.append((name, change, cell, text))
        if not text and name in job.required:
            why.append((name, "missing", ""))
        new.append(text)
    return new, done, why


def report(job: Job) -> None:
    """Write report.md and print it."""
    sign = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}[job.delimiter]
    encoding = job.encoding.removesuffix("-sig")
    lines = [
        f"# {job.file.name}, cleaned",
        "",
        f"{job.read:,} rows were read ({encoding}, {sign}): {job.read - job.rejected:,} are in cleaned.csv, "
        f"{job.rejected:,} in rejected.csv.",
        "",
        "| column | taken for |",
        "|---|---|",
        *(f"| {_cell(name)} | {kind} |" for name, (kind, _) in zip(job.header, job.kinds, strict=True)),
        "",
        "## Rejected rows",
        "",
    ]
    if job.reasons:
        lines += ["| reason | rows |", "|---|---|"]
        lines += [f"| {_cell(reason)} | {count:,} |" for reason, count in job.reasons.most_common()]
    else:
        lines.append("None.")
    lines += ["", "## Changed cells", ""]
    if job.changes:
        lines += ["| column | change | cells |", "|---|---|---|"]
        lines += [f"| {_cell(name)} | {change} | {count:,} |" for (name, change), count in sorted(job.changes.items())]
    else:
        lines.append("None.")
    lines += ["", "Each rejected row is in rejected.csv, and each changed cell in changes.csv, with its line.", ""]
    Path("report.md").write_text("\n".join(lines), "utf-8")
    print("\n".join(lines))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    main()
