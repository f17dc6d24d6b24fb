"""The templates of the house, each run as a real job: what comes out is looked into, not only whether it is there."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openpyxl
import pytest

from orchestrator.planning.templates import Templates
from tests.support.attack import bridge_address
from tests.support.system import ROOT, Artifact, System

SAMPLES = ROOT / "templates"
PNG = b"\x89PNG\r\n\x1a\n"

# ── what the jobs are ────────────────────────────────────────────────────────────────────────────────────────────────

#: The prompts that must work, word for word → the template.
PROMPTS = {
    "Create a Python script that prints hello world": "hello-world",
    "Implement quicksort in Python": "quicksort",
    "Create a Python script that processes CSV files": "csv-report",
    "Clean and validate a dataset": "clean-data",
    "Convert all images in a folder to thumbnails": "thumbnails",
    "Sort files by type and create folders": "sort-files",
    "Generate a summary report from log files": "log-report",
    "Create a script to test a REST API": "json-api-test",
    "Scrape a website and save the data to JSON": "web-scrape",
    "Create a simple web scraper in Python": "web-scrape",
    "Show me how to use pandas for data analysis": "pandas-tour",
    "Download stock data and create a simple chart": "stock-chart",
}

HOSTILE_CSV = (
    "Datum;<script>alert(1)</script>;Betrag;Betrag\n"
    + "".join(f"{day:02d}.03.2025;<b>Müller & Söhne</b>;1.{day:03d},50 €;{day}\n" for day in range(1, 29))
    + "29.03.2025;Meier;keine;1\n"
).encode("cp1252")

DIRTY = b"""id;name;mail
1; Ann ;ann@example.com
2;Ben;ben@
2;Ben;ben@
1;Ann;ann@example.com
3;;carl@example.com
4;x
"""

#: A report of an office, in the code page of its country, with titles, a total and a footer.
OFFICE = (
    "Umsatzbericht 2024;;;\nFiliale Köln;;;\n;;;\nDatum;Kunde;Notiz;Betrag\n"
    + "01.01.2024;Müller;;1.001,50 €\n"
    + "".join(f'2024-01-{day:02};Müller;"eins, zwei\ndrei";1.{day:03},50 €\n' for day in range(2, 31))
    + "31.01.2024;Müller;;1.031,50 €\n"
    + "Summe;;;31.511,50 €\n\nErstellt am 01.02.2024\n"
).encode("cp1252")
UNCLOSED = "a,b,c\n" + "".join(f"{n},{chr(34) * (n == 1002)}z{n},{n}\n" for n in range(2000))


def workbook() -> bytes:
    """A workbook with a table in the middle of a sheet, a total, and a second sheet."""
    book = openpyxl.Workbook()
    book.active.title = "Umsatz"
    for line in [
        ["Bericht"],
        [],
        [None, "Monat", "Umsatz"],
        [None, "Januar", 1.5],
        [None, "Februar", 2.5],
        [None, "Summe", 4],
    ]:
        book.active.append(line)
    other = book.create_sheet("Lager")
    for line in [["Artikel", "Menge"], ["A", 1], ["B", 2]]:
        other.append(line)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


PRICES = "Date,Open,High,Low,Close,Volume\n" + "".join(
    f"2025-01-{day:02d},10,12,9,{day},1000\n" for day in range(1, 32)
)


class Site(BaseHTTPRequestHandler):
    """A site for the jobs: pages, one of them shaky, an API, one that is none, and prices."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        shaky = self.path == "/shaky" and self.server.asked.count("/shaky") < 2  # type: ignore[attr-defined]
        page = "text/html; charset=utf-8"
        pages = {
            "/robots.txt": ("text/plain", "User-agent: *\nDisallow: /secret\n"),
            "/": (page, '<title>Überschrift</title><a href="/shaky">a</a><a href="/secret">b</a>'
                        '<a href="http://elsewhere.invalid/">c</a><a href="pic.png">d</a><a href="?x=1#y">e</a>'),
            "/shaky": (page, "<title>Second</title><p>text &amp; more</p><script>no text</script>"),
            "/?x=1": (page, "<title>Third</title>"),
            "/pic.png": ("image/png", "no page"),
            "/secret": (page, "<title>Secret</title>"),
            "/api": ("application/json", '{"name": "x", "items": [{"id": 1}]}'),
            "/prices.csv?s=ABC": ("text/csv", PRICES),
        }  # fmt: skip
        kind, text = pages.get(self.path, (page, "<title>none</title>"))
        self.send_response(503 if shaky else 200 if self.path in pages else 404)
        body = text.encode()
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


def album() -> bytes:
    """A ZIP with images in folders, a broken one, and a name that would leave its folder."""
    content = io.BytesIO()
    flower = (SAMPLES / "thumbnails/sample/flower.png").read_bytes()
    with zipfile.ZipFile(content, "w") as packed:
        for name in ("a/flower.png", "a/b/flower.png", "../../outside.png"):
            packed.writestr(name, flower)
        packed.writestr("a/cut.png", flower[:200])
        packed.writestr("a/notes.txt", "no image")
    return content.getvalue()


def things() -> bytes:
    """A ZIP with files of one name."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name in ("one/a.txt", "two/a.txt", "three/A.TXT", "four/-rf"):
            packed.writestr(name, name)
    return content.getvalue()


class Jobs:
    """All jobs of this module, run two at a time before its first test, and what came of them."""

    def __init__(self, system: System, base: str) -> None:
        self.system, self.base = system, base
        self.ids: dict[str, str] = {}
        for prompt in PROMPTS:
            # what has no network of its own must do without; prices would come from the internet
            more = {"network": "none"} if "stock" in prompt else {}
            self.ids[prompt] = system.submit(prompt=prompt, **more)
        self.add("fibonacci", prompt="Calculate the first 50 fibonacci numbers")
        self.add("npm-app", template="npm-app")
        self.upload("csv", "csv-report", ("-rf & <x>.csv", HOSTILE_CSV), title="<i>'Q1' $(id)</i>")
        self.upload("office", "csv-report", ("umsatz.csv", OFFICE))
        self.upload("office-clean", "clean-data", ("umsatz.csv", OFFICE))
        page = ("page.csv", b"<html><p>502</p></html>")
        far = b"Datum;Wert\n01.01.0001;1\n14.03.2024;2\n15.03.2024;3\n31.12.9999;4\n"
        only_far = b"Datum;Wert\n30.12.9999;1\n31.12.9999;2\n"
        files = [("Zahlen 2024.xlsx", workbook()), page, ("unclosed.csv", UNCLOSED.encode())]
        files += [("far.csv", far), ("only-far.csv", only_far)]
        self.upload("several", "csv-report", *files)
        self.upload("no-table", "csv-report", page, ("a.csv", b";;;\n;;;\n"))
        self.upload("clean", "clean-data", ("dirty.csv", DIRTY), required="name")
        self.upload("album", "thumbnails", ("album.zip", album()), ("-flower.JPG", b"no image"), size=64)
        self.upload("things", "sort-files", ("things.zip", things()), unpack=True)
        self.upload("dry", "sort-files", ("a b.txt", b"x"), dry_run=True)
        self.add("scraped", prompt=f"Scrape {base}/ and save the data to JSON")
        self.add("api", prompt=f"Test the API at {base}/api", inputs={"keys": "name,items"})
        self.add("no-api", prompt=f"Test the API at {base}/", inputs={"requests": 1})
        self.add("prices", template="stock-chart", inputs={"symbol": "ABC", "url": f"{base}/prices.csv?s={{symbol}}"})
        self.ended = {name: system.ended(job_id, 120) for name, job_id in self.ids.items()}

    def add(self, name: str, **body: Any) -> None:
        self.ids[name] = self.system.submit(**body)

    def upload(self, name: str, template: str, *files: tuple[str, bytes], **inputs: Any) -> None:
        texts = [("template", (None, template)), ("inputs", (None, json.dumps(inputs)))]
        answer = self.system.http.post("/schedule", files=[*texts, *(("files", file) for file in files)])
        assert answer.status_code == 202, answer.text
        self.ids[name] = answer.json()["job_id"]

    def completed(self, name: str) -> Artifact:
        """The ZIP of a job that did its work."""
        found = self.ended[name]
        archive = self.system.zip(self.ids[name])
        assert found["status"] == "completed", f"{found['detail']}\n{archive.output_log}"
        return archive


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, list[str]]]:
    """A site that a job with network reaches, and what was asked of it."""
    server = ThreadingHTTPServer((bridge_address(), 0), Site)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{server.server_address[0]!s}:{server.server_address[1]}", server.asked  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def jobs(system: System, site: tuple[str, list[str]]) -> Jobs:
    return Jobs(system, site[0])


def rows(archive: Artifact, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(archive.text(name).removeprefix("\ufeff"))))


def table(path: str) -> list[dict[str, str]]:
    """A table that comes with a template."""
    return list(csv.DictReader(io.StringIO((SAMPLES / path).read_text())))


def png_size(content: bytes) -> tuple[int, int]:
    assert content.startswith(PNG)
    return struct.unpack(">II", content[16:24])


def jpeg_size(content: bytes) -> tuple[int, int]:
    """Width and height, from the frame header (ITU-T T.81, B.2.2)."""
    at = 2
    while content[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    height, width = struct.unpack(">HH", content[at + 5 : at + 9])
    return width, height


# ── the prompts ──────────────────────────────────────────────────────────────────────────────────────────────────────


def hello_world(archive: Artifact) -> None:
    assert archive.output_log.endswith("Hello, world!\n")


def quicksort(archive: Artifact) -> None:
    assert re.search(r"Ran 4 tests in .*\n\nOK", archive.output_log)


def csv_report(archive: Artifact) -> None:
    sales = table("csv-report/sample/sales.csv")
    found = json.loads(archive.text("summary.json"))["files"][0]
    columns = {column["name"]: column for column in found["columns"]}
    assert found["rows"] == len(sales)
    assert columns["revenue"]["sum"] == pytest.approx(sum(float(row["revenue"]) for row in sales))
    assert columns["rating"]["missing"] == sum(not row["rating"] for row in sales)
    assert (columns["date"]["type"], columns["date"]["earliest"]) == ("date", "2025-01-01")
    charts = {path for path in archive.paths if path.startswith("charts/")}
    assert charts == set(found["charts"])
    assert all(png_size(archive.read(f"workspace/{path}"))[0] > 600 for path in charts)
    page = archive.text("report.html")
    assert page.count('src="data:image/png;base64,') == len(charts) >= 4
    assert not re.search(r'(src|href)="(?!data:)', page)


def clean_data(archive: Artifact) -> None:
    good = rows(archive, "cleaned.csv")
    assert [row["id"] for row in good] == ["1", "2", "4", "7", "8", "10", "12", "14"]
    grace = {"name": "Grace Hopper", "email": "GRACE@example.com", "joined": "2023-02-15", "balance": "980.50"}
    assert good[1].items() >= grace.items()
    rejected = {row["line"]: row["reason"] for row in rows(archive, "rejected.csv")}
    assert rejected["6"] == "joined: no date ('2023-02-30')"
    assert rejected["8"] == "duplicate of line 3"
    assert len(rejected) == 7
    changed = {(row["line"], row["column"]): (row["before"], row["after"]) for row in rows(archive, "changes.csv")}
    assert changed["5", "balance"] == ("(45.20)", "-45.20")
    assert "All 15 rows are in cleaned.csv or in rejected.csv." in archive.output_log


def thumbnails(archive: Artifact) -> None:
    assert max(png_size(archive.read("workspace/thumbs/flower.png"))) == 256
    width, height = jpeg_size(archive.read("workspace/thumbs/mountain.jpg"))
    assert (width, height) == (171, 256), "it was turned upright, as its EXIF says"
    assert {path for path in archive.paths if path.startswith("thumbs/")} == {
        f"thumbs/{name}" for name in ("flower.png", "mountain.jpg", "night.jpg", "orbit.jpg", "sunset.jpg", "waves.jpg")
    }
    assert min(png_size(archive.read("workspace/contact-sheet.png"))) > 300
    assert archive.text("index.html").count("<figure>") == 6


def sort_files(archive: Artifact) -> None:
    wanted = {
        "Archives/old.zip", "Code/backup", "Code/script.py", "Data/settings.json", "Documents/notes.md",
        "Spreadsheets/prices.csv", "Web/page.html",
    }  # fmt: skip
    assert {path.removeprefix("sorted/") for path in archive.paths if path.startswith("sorted/")} == wanted
    moves = rows(archive, "moves.csv")
    assert {row["to"].removeprefix("sorted/") for row in moves} == wanted
    for row in moves:
        content = (SAMPLES / "sort-files/sample" / row["from"]).read_bytes()
        assert archive.read(f"workspace/{row['to']}") == content


def log_report(archive: Artifact) -> None:
    found = json.loads(archive.text("summary.json"))
    access = (SAMPLES / "log-report/sample/access.log").read_text().splitlines()
    statuses = [line.split('" ')[1].split()[0] for line in access]
    assert found["statuses"] == {status: statuses.count(status) for status in sorted(set(statuses))}
    assert found["top_errors"][0]["message"] == "db: connection to <address> timed out after <n> ms"
    assert found["unknown_lines"] == 0
    assert found["continued_lines"] > 0
    assert sum(found["levels"].values()) + found["continued_lines"] == found["lines"] == sum(found["files"].values())
    assert archive.read("workspace/timeline.png").startswith(PNG)
    assert not re.search(r'(src|href)="(?!data:)', archive.text("report.html"))


def json_api_test(archive: Artifact) -> None:
    found = json.loads(archive.text("results.json"))
    assert (found["failed"], found["example"]) == (0, True)
    assert found["passed"] == len(found["checks"]) >= 15
    assert found["shape"] == [{"id": "number", "name": "string", "price": "number", "tags": ["string"]}]


def web_scrape(archive: Artifact) -> None:
    found = json.loads(archive.text("data.json"))
    titles = [page["title"] for page in found["pages"]]
    assert titles == ["The Coffee Corner", "Prices", "Kettle", "Grinder", "Beans"]
    assert found["pages"][1]["tables"] == [
        [["Product", "Price"], ["Kettle", "59.90"], ["Grinder", "129.00"], ["Beans", "24.00"]]
    ]
    assert [url.partition("/private")[1] for url in found["forbidden_by_robots_txt"]] == ["/private"]
    assert [row["title"] for row in rows(archive, "data.csv")] == titles


def pandas_tour(archive: Artifact) -> None:
    tour = archive.text("tour.md")
    assert re.findall(r"^## \d+\. (.+)$", tour, re.MULTILINE) == re.findall(
        r"^# %% (.+)$", archive.text("tour.py"), re.MULTILINE
    )
    orders = rows(archive, "orders.csv")
    kettles = sum(int(row["units"]) for row in orders if row["product"] == "Kettle")
    assert re.search(rf"^Kettle +\d+ +{kettles} +{kettles * 59.9:.1f}", tour, re.MULTILINE)
    assert "![Plot a line](weekly.png)" in tour
    assert png_size(archive.read("workspace/weekly.png"))[0] > 800


def stock_chart(archive: Artifact) -> None:
    found = json.loads(archive.text("summary.json"))
    assert (found["sample"], found["symbol"], found["days"]) == (True, None, 250)
    assert "SAMPLE DATA is drawn instead: these are invented prices" in archive.output_log
    closes = [row["Close"] for row in table("stock-chart/sample_prices.csv")][-250:]
    assert [float(row["Close"]) for row in rows(archive, "prices.csv")] == [float(close) for close in closes]
    assert png_size(archive.read("workspace/chart.png"))[0] > 1000


CHECKS: dict[str, Callable[[Artifact], None]] = {
    "hello-world": hello_world, "quicksort": quicksort, "csv-report": csv_report, "clean-data": clean_data,
    "thumbnails": thumbnails, "sort-files": sort_files, "log-report": log_report, "json-api-test": json_api_test,
    "web-scrape": web_scrape, "pandas-tour": pandas_tour, "stock-chart": stock_chart,
}  # fmt: skip


@pytest.mark.parametrize(("prompt", "template"), PROMPTS.items())
def test_a_prompt_makes_what_it_asks_for(jobs: Jobs, prompt: str, template: str) -> None:
    archive = jobs.completed(prompt)
    assert jobs.ended[prompt]["planned_by"] == f"template:{template}"
    assert jobs.ended[prompt]["network"] == "none"
    CHECKS[template](archive)
    samples = SAMPLES / template / "sample"
    assert ("No file was uploaded" in archive.report) == samples.exists()
    if samples.exists():
        assert {upload["name"] for upload in jobs.ended[prompt]["uploads"]} == {path.name for path in samples.iterdir()}


# ── with inputs, files, and a site ───────────────────────────────────────────────────────────────────────────────────


def test_a_slot_says_how_many_fibonacci_numbers(jobs: Jobs) -> None:
    assert jobs.completed("fibonacci").text("fibonacci.txt").splitlines()[-1] == "F(49) = 7778742049"
    assert jobs.ended["fibonacci"]["inputs"] == {"count": 50}


def test_the_node_app_passes_its_own_tests_without_network(jobs: Jobs) -> None:
    archive = jobs.completed("npm-app")
    assert "pass 4" in archive.text("test-results.txt")
    assert "fail 0" in archive.text("test-results.txt")
    assert {"package.json", "src/app.js", "test/app.test.js"} <= archive.paths
    assert [step["title"] for step in jobs.ended["npm-app"]["steps"]][-1] == "Run the tests"
    assert "Install the packages" not in archive.report


def test_a_csv_file_of_another_country_is_read_and_its_markup_is_text(jobs: Jobs) -> None:
    archive = jobs.completed("csv")
    assert "No file was uploaded" not in archive.report
    found = json.loads(archive.text("summary.json"))["files"][0]
    assert (found["file"], found["encoding"], found["delimiter"]) == ("-rf & <x>.csv", "cp1252", "semicolon")
    columns = {column["name"]: column for column in found["columns"]}
    assert list(columns) == ["Datum", "<script>alert(1)</script>", "Betrag", "Betrag (2)"]
    assert columns["Datum"]["earliest"] == "2025-03-01"
    assert columns["Betrag"]["sum"] == pytest.approx(sum(1000 + day + 0.5 for day in range(1, 29)))
    assert columns["Betrag"]["not_of_this_type"] == {"cells": 1, "example": "keine"}
    page = archive.text("report.html")
    assert "<title>&lt;i&gt;&#x27;Q1&#x27; $(id)&lt;/i&gt;</title>" in page
    assert "Müller &amp; Söhne" in page
    assert not re.search(r"<(script|b>Müller|i>)", page)


def test_an_office_report_is_read_without_its_titles_and_its_total_in_its_own_language(jobs: Jobs) -> None:
    archive = jobs.completed("office")
    found = json.loads(archive.text("summary.json"))
    file = found["files"][0]
    columns = {column["name"]: column for column in file["columns"]}
    assert (found["language"], file["rows"], list(columns)) == ("de", 31, ["Datum", "Kunde", "Notiz", "Betrag"])
    assert columns["Betrag"]["maximum"] == 1031.5
    assert columns["Betrag"]["sum"] == pytest.approx(sum(1000 + day + 0.5 for day in range(1, 32)))
    assert (columns["Datum"]["earliest"], columns["Datum"]["latest"]) == ("2024-01-01", "2024-01-31")
    page = archive.text("report.html")
    assert '<html lang="de">' in page
    assert "@media (prefers-color-scheme: dark)" in page
    assert page.count('srcset="data:image/png;base64,') == page.count('src="data:image/png;base64,') >= 2
    for words in (
        "sie wurde als Windows-1252 (cp1252) gelesen",
        "Summenzeilen: 1",
        "1.031,50",
        "01.01.2024",
        "31.01.2024",
    ):
        assert words in page
    assert {path.partition("/")[0] for path in archive.paths} == {
        "charts",
        "report.html",
        "scripts",
        "summary.json",
        "umsatz.csv",
    }


def test_the_total_of_an_office_report_is_rejected_as_no_data(jobs: Jobs) -> None:
    archive = jobs.completed("office-clean")
    cleaned = rows(archive, "cleaned.csv")
    assert (len(cleaned), cleaned[0]["Datum"], cleaned[0]["Betrag"]) == (31, "2024-01-01", "1001.50")
    assert [row["reason"] for row in rows(archive, "rejected.csv")] == [
        "Summenzeile, keine Daten",
        "Fußzeile, keine Daten",
    ]
    assert "33 Zeilen wurden gelesen (cp1252, Semikolon)" in archive.text("report.md")
    assert '<html lang="de">' in archive.text("report.html")


def test_sheets_and_files_are_reported_and_a_page_beside_them_is_named(jobs: Jobs) -> None:
    archive = jobs.completed("several")
    found = json.loads(archive.text("summary.json"))
    first, second, third, far, only_far = found["files"]
    assert [(file["sheet"], file["rows"]) for file in (first, second)] == [("Umsatz", 2), ("Lager", 2)]
    assert first["columns"][1]["maximum"] == 2.5, "the total is no data"
    assert (third["rows"], third["columns"][0]["sum"]) == (2000, 1999000), "an open quotation mark costs no row"
    assert "Anführungszeichen, die nie schließen: 1 (Zeile 1004)." in " ".join(third["notes"])
    edges = [(file["columns"][0]["earliest"], file["columns"][0]["latest"]) for file in (far, only_far)]
    assert edges == [("2024-03-14", "2024-03-15"), ("9999-12-30", "9999-12-31")]
    assert "Sie wurden als Platzhalter weggelassen" in " ".join(far["notes"])
    assert found["refused"] == {"page.csv": "It is an HTML page (text/html)."}
    assert "page.csv: It is an HTML page (text/html)." in archive.text("report.html")


def test_files_without_a_table_fail_the_job_and_are_named(jobs: Jobs) -> None:
    assert jobs.ended["no-table"]["reason"] == "step_failed"
    printed = jobs.system.zip(jobs.ids["no-table"]).output_log
    assert "page.csv: It is an HTML page (text/html).\na.csv: It has no filled cell.\n" in printed
    assert "Traceback" not in printed


def test_no_row_of_a_dirty_file_is_lost(jobs: Jobs) -> None:
    archive = jobs.completed("clean")
    assert archive.text("cleaned.csv") == "id,name,mail\n1,Ann,ann@example.com\n".replace("\n", "\r\n")
    assert [(row["line"], row["reason"]) for row in rows(archive, "rejected.csv")] == [
        ("3", "mail: no e-mail address ('ben@')"),
        ("4", "mail: no e-mail address ('ben@')"),
        ("5", "duplicate of line 2"),
        ("6", "name: missing"),
        ("7", "another number of cells than the header: 2, not 3"),
    ]
    assert "6 rows were read (utf-8, semicolon): 1 are in cleaned.csv, 5 in rejected.csv." in archive.text("report.md")


def test_images_in_folders_become_thumbnails_and_broken_ones_are_named(jobs: Jobs) -> None:
    archive = jobs.completed("album")
    thumbs = {path for path in archive.paths if path.startswith("thumbs/")}
    assert thumbs == {f"thumbs/album/{name}" for name in ("a/flower.png", "a/b/flower.png", "outside.png")}
    assert all(max(png_size(archive.read(f"workspace/{path}"))) == 64 for path in thumbs)
    page = archive.text("index.html")
    assert "album/a/cut.png: is broken" in page
    assert "-flower.JPG: is not an image but text" in page


def test_files_of_one_name_are_all_kept_and_can_be_put_back(jobs: Jobs, tmp_path: Any) -> None:
    archive = jobs.completed("things")
    moves = {row["from"]: row["to"] for row in rows(archive, "moves.csv")}
    assert len(set(moves.values())) == len({place.lower() for place in moves.values()}) == 4
    for before, place in moves.items():
        assert archive.text(place) == before.partition("/")[2]
    archive.extractall(tmp_path)
    undo = [sys.executable, "scripts/sort_files.py", "--undo", "moves.csv"]
    subprocess.run(undo, cwd=tmp_path / "workspace", check=True, capture_output=True)
    for before in moves:
        assert (tmp_path / "workspace" / before).read_text() == before.partition("/")[2]


def test_a_dry_run_moves_nothing(jobs: Jobs) -> None:
    archive = jobs.completed("dry")
    assert archive.paths == {"a b.txt", "moves.csv", "scripts/sort_files.py", "scripts/zip_files.py"}
    assert rows(archive, "moves.csv") == [{"from": "a b.txt", "to": "sorted/Documents/a b.txt", "done": "no"}]


def test_a_site_is_scraped_as_its_robots_txt_allows(jobs: Jobs, site: tuple[str, list[str]]) -> None:
    archive = jobs.completed("scraped")
    assert jobs.ended["scraped"]["network"] == "internet"
    found = json.loads(archive.text("data.json"))
    pages = {page["url"].removeprefix(site[0]): page for page in found["pages"]}
    assert {path: page["title"] for path, page in pages.items()} == {
        "/": "Überschrift", "/shaky": "Second", "/?x=1": "Third",
    }  # fmt: skip
    assert pages["/shaky"]["text"] == "text & more"
    assert found["forbidden_by_robots_txt"] == [f"{site[0]}/secret"]
    assert "/secret" not in site[1]
    assert site[1].count("/shaky") == 2
    assert "sample_site.py" not in archive.paths


def test_an_api_is_tested_and_what_is_none_fails_with_a_report(jobs: Jobs) -> None:
    found = json.loads(jobs.completed("api").text("results.json"))
    assert found["shape"] == {"name": "string", "items": [{"id": "number"}]}
    assert (found["failed"], found["example"]) == (0, False)
    assert jobs.ended["no-api"]["reason"] == "step_failed"
    archive = jobs.system.zip(jobs.ids["no-api"])
    failed = [check["name"] for check in json.loads(archive.text("results.json"))["checks"] if not check["passed"]]
    assert failed == ["content type is JSON", "body parses as JSON"]
    assert "**failed** | content type is JSON" in archive.text("report.md")


def test_prices_that_can_be_downloaded_are_no_sample(jobs: Jobs, site: tuple[str, list[str]]) -> None:
    archive = jobs.completed("prices")
    found = json.loads(archive.text("summary.json"))
    assert (found["symbol"], found["sample"], found["days"], found["close"]) == ("ABC", False, 31, 31.0)
    assert "SAMPLE" not in archive.output_log
    assert "/prices.csv?s=ABC" in site[1]


# ── all of them ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_template_declares_what_comes_out_and_has_some_phrases() -> None:
    for name, template in Templates().all.items():
        assert template.outputs, name
        assert len(template.phrases) >= 4, name
        assert template.about.endswith("."), name
    assert set(PROMPTS.values()) | {"fibonacci", "npm-app"} == set(Templates().all)


@pytest.mark.parametrize(
    ("prompt", "template"),
    [
        ("Create a chart from this CSV", "csv-report"),
        ("Create a chart from this Excel file", "csv-report"),
        ("Erstelle einen Bericht aus dieser CSV-Datei", "csv-report"),
        ("clean this dataset", "clean-data"),
        ("Make thumbnails of 128 pixels", "thumbnails"),
        ("Organize these files into folders.", "sort-files"),
        ("Summarize this log file", "log-report"),
        ("Test the API at https://example.com/items", "json-api-test"),
        ("Scrape example.com", "web-scrape"),
        ("Teach me pandas!", "pandas-tour"),
        ("Create a stock chart for MSFT", "stock-chart"),
        ("Create a Node.js app with express zod@3", "npm-app"),
    ],
)
def test_what_people_type_is_a_phrase_too(prompt: str, template: str) -> None:
    found = Templates().match(prompt)
    assert found is not None
    assert found[0] == template
