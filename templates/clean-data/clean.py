"""Clean a table: python scripts/clean.py [--invalid reject|blank] [--required NAMES] [--keep-duplicates] FILE

Writes cleaned.csv, rejected.csv (each row that is not in it, with its line and why) and changes.csv (each cell that was
changed, with its line, before and after). Every row of the table is in cleaned.csv or in rejected.csv. The report is in
report.html, report.md and summary.json. It is German if the data are.
"""

import argparse
import csv
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from pathlib import Path

import look
from dialect import DELIMITERS
from language import Language
from tables import NoTable, Table, open_tables
from values import CODE, DATE_FORMS, MISSING, english_months, has_decimal_comma, plain_number
from words import GERMAN

EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
TRUTHS = dict.fromkeys(("yes", "y", "true", "ja", "wahr"), "true") | dict.fromkeys(
    ("no", "n", "false", "nein", "falsch"), "false"
)
DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ"]
DATES += [form for form in DATE_FORMS if form.startswith(("%d.", "%Y/", "%Y.", "%d-", "%d %", "%b %d", "%B %d"))]
SLASHED = ["%d/%m/%Y", "%m/%d/%Y"]
#: Rows that show the kinds of the columns.
TRIAL = 2000


@dataclass
class Job:
    """A table, the rules for cleaning it, and the results."""

    table: Table
    say: Language
    kinds: list[tuple[str, Callable[[str], str] | None]]
    required: list[str]
    invalid: str
    keep_duplicates: bool
    others: list[str]
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
    likely = list(forms)

    def read(text: str) -> str:
        for form in likely:
            try:
                found = datetime.strptime(english_months(text), form)
            except ValueError:
                continue
            if form != likely[0]:  # most dates of a column have one form
                likely.remove(form)
                likely.insert(0, form)
            return found.isoformat(sep=" ") if "%H" in form else found.date().isoformat()
        raise Invalid("no date")

    return read


def number(comma: bool) -> Callable[[str], str]:
    def read(text: str) -> str:
        plain = plain_number(text, comma)
        if plain is None:
            raise Invalid("no number")
        return plain

    return read


def truth(text: str) -> str:
    if text.lower() not in TRUTHS:
        raise Invalid("neither true nor false")
    return TRUTHS[text.lower()]


def kind_of(name: str, cells: list[str], comma: bool) -> tuple[str, Callable[[str], str] | None]:
    """Return the kind of a column: the kind of most filled cells, or of all but a few if its name suggests it."""
    cells = [text for cell in cells if (text := tidy(cell))]
    if not cells:
        return "text", None
    found = has_decimal_comma(cells)
    slashed = max(SLASHED, key=lambda form: share(date([form]), cells))
    kinds: list[tuple[str, Callable[[str], str], str]] = [
        ("e-mail", email, r"mail"),
        ("truth", truth, r"^(is|has)_|active|subscribed"),
        (
            "number",
            number(comma if found is None else found),
            r"amount|price|age|count|total|quantity|score|salary|betrag|preis|menge|anzahl",
        ),
        ("date", date([*DATES, slashed]), r"date|day|birth|born|joined|since|created|updated|datum|geburtstag"),
    ]
    zeros = share(lambda text: text if CODE.fullmatch(text) else email(""), cells)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--invalid", choices=["reject", "blank"], default="reject")
    parser.add_argument("--required", default="", help="names of columns, divided by commas")
    parser.add_argument("--sheet", default="", help="the sheet of a workbook; the first one if this is empty")
    parser.add_argument("--keep-duplicates", action="store_true")
    parser.add_argument("--language", default="auto", choices=["auto", "en", "de"])
    given = parser.parse_args()
    try:
        tables = open_tables(given.file, language=given.language)
    except NoTable as error:
        sys.exit(f"{given.file}: {error} There is nothing to clean.")
    sheets = [table.source.sheet for table in tables]
    if given.sheet and given.sheet not in sheets:
        sys.exit(
            f"There is no sheet {given.sheet!r} in {given.file}; it has: {', '.join(filter(None, sheets)) or 'none'}"
        )
    table = tables[sheets.index(given.sheet)] if given.sheet else tables[0]
    required = [name.strip() for name in given.required.split(",") if name.strip()]
    if unknown := [name for name in required if name not in table.names]:
        sys.exit(f"There is no column {unknown[0]!r} in {given.file}; it has: {', '.join(table.names)}")
    first = [row for (_, row), _ in zip(table.records(), range(TRIAL), strict=False)]
    columns = [list(cells) for cells in zip(*first, strict=True)] or [[] for _ in table.names]
    kinds = [kind_of(name, cells, table.decimal_comma) for name, cells in zip(table.names, columns, strict=True)]
    say = Language(table.language, GERMAN)
    others = [other.source.sheet for other in tables if other is not table]
    job = Job(table, say, kinds, required, given.invalid, given.keep_duplicates, others)
    clean(job)
    report(job)


def clean(job: Job) -> None:
    """Write cleaned.csv, rejected.csv and changes.csv."""
    seen: dict[bytes, int] = {}
    names, say = job.table.names, job.say
    with (
        open("cleaned.csv", "w", encoding="utf-8", newline="") as cleaned_file,
        open("rejected.csv", "w", encoding="utf-8", newline="") as rejected_file,
        open("changes.csv", "w", encoding="utf-8", newline="") as changes_file,
    ):
        cleaned, rejected, changed = csv.writer(cleaned_file), csv.writer(rejected_file), csv.writer(changes_file)
        cleaned.writerow(names)
        rejected.writerow(["line", "reason", *names])
        changed.writerow(["line", "column", "change", "before", "after"])
        for line, row, no_data in job.table.all_records():
            job.read += 1
            new, done, why = clean_row(job, row, no_data)
            if not why and not job.keep_duplicates:
                key = hashlib.blake2b("\0".join(new).encode("utf-8", "replace"), digest_size=16).digest()
                first = seen.setdefault(key, line)
                if first != line:
                    why = [("", "duplicate", say("of line {line}", line=str(first)))]
            if why:
                texts = [" ".join(filter(None, (name and f"{name}:", say(what), more))) for name, what, more in why]
                rejected.writerow([line, "; ".join(texts), *row])
                job.rejected += 1
                job.reasons.update(f"{name}: {say(what)}" if name else say(what) for name, what, _ in why)
                continue
            cleaned.writerow(new)
            for name, change, before, after in done:
                changed.writerow([line, name, change, before, after])
                job.changes[name, change] += 1


def clean_row(
    job: Job, row: list[str], no_data: str
) -> tuple[list[str], list[tuple[str, str, str, str]], list[tuple[str, str, str]]]:
    """Return the new row, its changes, and the reason to reject it: column, fault, and details."""
    table, say = job.table, job.say
    if no_data:
        return row, [], [("", f"{no_data}, no data", "")]
    if any(row[table.width :]) or (len(row) < table.width and table.delimiter):
        size = say("than the header: {count}, not {width}", count=len(row), width=table.width)
        return row, [], [("", "another number of cells", size)]
    cells = [row[place] if place < len(row) else "" for place in table.keep]
    new, done, why = [], [], []
    for name, cell, (kind, read) in zip(table.names, cells, job.kinds, strict=True):
        text = tidy(cell)
        change = say("white space" if text else "missing mark")
        if text and read:
            try:
                text, plain = read(text), text
                change = say("{kind} in one form", kind=say(kind)) if text != plain else change
            except Invalid as error:
                if job.invalid == "reject":
                    why.append((name, str(error), f"({text[:80]!r})"))
                else:
                    text, change = "", say("blanked: {why}", why=say(str(error)))
        if text != cell:
            done.append((name, change, cell, text))
        if not text and name in job.required:
            why.append((name, "missing", ""))
        new.append(text)
    return new, done, why


def report(job: Job) -> None:
    """Write report.html, report.md and summary.json, and print the report."""
    table, say = job.table, job.say
    title = say("{name}, cleaned", name=table.name)
    how = [table.encoding.removesuffix("-sig"), say(DELIMITERS.get(table.delimiter, "")) if table.delimiter else ""]
    sentence = say(
        "{read} rows were read ({how}): {good} are in cleaned.csv, {bad} in rejected.csv.",
        read=job.read, how=", ".join(filter(None, how)), good=job.read - job.rejected, bad=job.rejected,
    )  # fmt: skip
    notes = [say(text, **values) for text, values in table.all_notes(of_rows=False)]
    if job.others:
        notes.append(say("Other sheets, which were not cleaned: {names}.", names=", ".join(job.others)))
    kinds = [[name, say(kind)] for name, (kind, _) in zip(table.names, job.kinds, strict=True)]
    reasons = [[reason, say.number(count)] for reason, count in job.reasons.most_common()]
    changes = [[name, change, say.number(count)] for (name, change), count in sorted(job.changes.items())]
    sections = [
        (say("Columns"), [say("column"), say("taken for")], kinds),
        (say("Rejected rows"), [say("reason"), say("rows")], reasons),
        (say("Changed cells"), [say("column"), say("change"), say("cells")], changes),
    ]
    end = say("Each rejected row is in rejected.csv, and each changed cell in changes.csv, with its line.")
    figures = [
        (say.number(job.read), say("rows read")),
        (say.number(job.read - job.rejected), say("clean rows")),
        (say.number(job.rejected), say("rejected rows")),
        (say.number(sum(job.changes.values())), say("changed cells")),
    ]
    body = [f'<p class="about">{escape(sentence)}</p>\n', look.figures(figures), look.notes(notes)]
    body += [f"<h3>{escape(name)}</h3>\n{look.table(heads, rows) or say('None.')}" for name, heads, rows in sections]
    Path("report.html").write_text(look.page(title, say.code, "".join([*body, f"<p>{escape(end)}</p>\n"])), "utf-8")
    lines = [f"# {title}", "", sentence, "", *(f"- {_cell(note)}" for note in notes), *([""] if notes else [])]
    for name, heads, rows in sections:
        marks = [f"| {' | '.join(map(_cell, row))} |" for row in [heads, *rows]]
        lines += [
            f"## {name}",
            "",
            *([marks[0], "|---" * len(heads) + "|", *marks[1:]] if rows else [say("None.")]),
            "",
        ]
    Path("report.md").write_text("\n".join([*lines, end, ""]), "utf-8")
    summary = {
        "file": table.path.name, "language": say.code, "encoding": table.encoding, "delimiter": table.delimiter,
        "rows_read": job.read, "rows_cleaned": job.read - job.rejected, "rows_rejected": job.rejected,
        "columns": dict(kinds), "rejected": dict(job.reasons), "notes": notes,
    }  # fmt: skip
    Path("summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print("\n".join([*lines, end]))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


if __name__ == "__main__":
    main()
