"""Ten everyday tasks, in the words of users."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from pathlib import Path

from skill.looking import (
    bars,
    from_json,
    near,
    need,
    numbers,
    picture,
    proportional,
    read_csv,
    rows,
    same,
    svg,
    tested,
    tests_pass,
    text,
    well,
)  # fmt: skip
from skill.making import chance, png, table
from skill.task import Content, Script, Task


def expenses() -> str:
    dice = chance("expenses")
    kinds = ("travel", "office", "software", "meals", "training")
    return table(
        ("date", "category", "amount"),
        (
            (f"2026-{1 + n % 9:02}-{1 + n % 28:02}", dice.choice(kinds), f"{dice.randint(500, 90000) / 100:.2f}")
            for n in range(120)
        ),
    )


def judge_totals(here: Path, given: Path) -> None:
    expected: Counter[str] = Counter()
    for row in read_csv(given, "expenses.csv"):
        expected[row["category"]] += round(float(row["amount"]) * 100)
    found = {row["category"]: row["total"] for row in rows(here, "totals.csv", "category", "total")}
    same(set(found), {*expected, "ALL"}, "the categories of totals.csv")
    for name, cents in expected.items():
        near(found[name], cents / 100, f"the total of {name}")
    near(found["ALL"], sum(expected.values()) / 100, "the row ALL")


def judge_quicksort(here: Path, given: Path) -> None:
    tested(
        "quicksort.py",
        """
from quicksort import quicksort
given = [3, -1, 2, 3, 0, 10, -7]
check("quicksort(given)", [-7, -1, 0, 2, 3, 3, 10])
check("given", [3, -1, 2, 3, 0, 10, -7])
check("quicksort([])", [])
check("quicksort([5])", [5])
check("quicksort([2] * 50)", [2] * 50)
check("quicksort(list('quick'))", ['c', 'i', 'k', 'q', 'u'])
check("quicksort([i * 7919 % 500 for i in range(500)])", sorted(i * 7919 % 500 for i in range(500)))
""",
    )(here, given)
    text(here, "test_quicksort.py")
    need(tests_pass(here, "test_quicksort.py"), "test_quicksort.py does not pass")
    (here / "quicksort.py").write_text("def quicksort(items, *rest):\n    return list(items)[::-1]\n")
    need(not tests_pass(here, "test_quicksort.py"), "test_quicksort.py passes with a quicksort that does not sort")


def customers() -> str:
    dice = chance("customers")
    names = ("Ada", "Bob", "Cora", "Dan", "Eva", "Finn", "Gina", "Hugo")
    found = []
    for n in range(60):
        name = dice.choice(names)
        mail = "" if n % 9 == 4 else f"{name}.{dice.randint(1, 12)}@Example.org"
        if dice.random() < 0.3:
            mail = mail.upper()
        found.append(
            (n + 1, f"  {name} " if n % 5 == 0 else name, f" {mail}" if n % 4 == 0 else mail, dice.randint(18, 80))
        )
    return table(("id", "name", "email", "age"), found)


def judge_clean(here: Path, given: Path) -> None:
    seen: dict[str, list[str]] = {}
    for row in read_csv(given, "customers.csv"):
        values = [value.strip() for value in row.values()]
        values[2] = values[2].lower()
        if values[2]:
            seen.setdefault(values[2], values)
    lines = [row for row in csv.reader(io.StringIO(text(here, "clean.csv"))) if row]
    same([cell.strip() for cell in lines[0]], ["id", "name", "email", "age"], "the columns of clean.csv")
    same(len(lines) - 1, len(seen), "the number of rows in clean.csv")
    for line, expected in zip(lines[1:], seen.values(), strict=True):
        same([cell.removesuffix(".0") for cell in line], expected, "a row of clean.csv")


PICTURES = {
    "beach.png": (640, 400, (240, 210, 140), (40, 120, 220)),
    "forest.png": (300, 900, (20, 110, 40), (90, 60, 20)),
    "city.png": (512, 512, (120, 120, 130), (220, 60, 50)),
}


def judge_thumbnails(here: Path, given: Path) -> None:
    for name, (width, height, left, right) in PICTURES.items():
        found = picture(here / "thumbs", name, 20, 20)
        need(max(found.size) <= 100, f"thumbs/{name} has {found.width} × {found.height} pixels")
        need(max(found.size) >= 90, f"thumbs/{name} is smaller than asked for: {found.width} × {found.height}")
        need(
            abs(found.width / found.height - width / height) < 0.06 * width / height,
            f"thumbs/{name} is distorted: {found.width} × {found.height}",
        )
        for colour, x in ((left, found.width // 4), (right, found.width * 3 // 4)):
            pixel = found.getpixel((x, found.height // 2))
            near_enough = all(abs(a - b) < 30 for a, b in zip(pixel, colour, strict=True))
            need(near_enough, f"thumbs/{name} does not show its picture")


FOLDERS: dict[str, dict[str, Content]] = {
    "documents": {"notes.txt": "Call Eva.\n", "letter.txt": "Dear Sir,\n", "offer.pdf": b"%PDF-1.4\n%offer\n"},
    "images": {"logo.png": png(8, 8, (1, 2, 3), (9, 8, 7)), "me.jpg": b"\xff\xd8\xff\xe0me"},
    "data": {"sales.csv": "a,b\n1,2\n", "config.json": '{"a": 1}\n', "prices.csv": "c\n5\n"},
}


def judge_folders(here: Path, given: Path) -> None:
    for folder, files in FOLDERS.items():
        for name in files:
            need((here / folder / name).is_file(), f"{folder}/{name} is missing")
            same((here / folder / name).read_bytes(), (given / name).read_bytes(), f"the content of {folder}/{name}")
            need(not (here / name).exists(), f"{name} is still outside of the folders")


ERRORS = ("Connection to db-2 lost", "Payment gateway timed out", "Cannot write /var/cache/report")


def app_log() -> str:
    dice = chance("app log")
    lines = []
    for n in range(400):
        level = dice.choices(("INFO", "DEBUG", "WARNING", "ERROR"), (60, 20, 12, 8))[0]
        told = dice.choices(ERRORS, (2, 5, 1))[0] if level == "ERROR" else f"request {dice.randint(1, 999)} handled"
        lines.append(f"2026-05-04 {n // 60:02}:{n % 60:02}:00 {level} {told}")
    return "\n".join(lines) + "\n"


def judge_log(here: Path, given: Path) -> None:
    lines = [line.split(" ", 3) for line in (given / "app.log").read_text().splitlines()]
    levels = Counter(line[2] for line in lines)
    [(worst, _)] = Counter(line[3] for line in lines if line[2] == "ERROR").most_common(1)
    found = text(here, "summary.txt")
    for level, count in levels.items():
        told = [line for line in found.splitlines() if level in line.upper() and count in numbers(line)]
        need(told or (level in found.upper() and count in numbers(found)), f"summary.txt does not say {count} {level}")
    need(worst in found, f"summary.txt does not name the most frequent error, {worst!r}")
    need(len(found) < 5000, "summary.txt is no summary: it is as long as a log")
    # If it lists several errors, it must name the most frequent error as such, or list it first.
    said = re.search(r"(?:most|top)\W+(?:frequent|common|often|error)[^\n]*(?:\n[^\n]*){0,2}", found, re.IGNORECASE)
    first = min((error for error in ERRORS if error in found), key=found.index)
    need(first == worst or (said and worst in said[0]), "summary.txt puts another error first")


SERVER = '''"""A small REST API on port 8099."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ITEMS = {1: {"id": 1, "name": "bolt"}, 2: {"id": 2, "name": "nut"}}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health":
            self.reply(200, {"status": "ok"})
        elif self.path == "/items":
            self.reply(200, list(ITEMS.values()))
        elif self.path.startswith("/items/"):
            item = ITEMS.get(int(self.path.rsplit("/", 1)[1]))
            self.reply(200, item) if item else self.reply(404, {"error": "no such item"})
        elif self.path == "/orders":
            self.reply(503, {"error": "orders are closed"})
        else:
            self.reply(404, {"error": "no such path"})

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 8099), Handler).serve_forever()
'''


def judge_api(here: Path, given: Path) -> None:
    found = from_json(here, "report.json")
    need(isinstance(found, dict), "report.json is no JSON object")
    for path, code in {"/health": 200, "/items": 200, "/items/2": 200, "/items/99": 404, "/orders": 503}.items():
        need(path in found, f"report.json has no {path}")
        near(found[path], code, f"the status of {path}", 0)


def judge_fibonacci(here: Path, given: Path) -> None:
    expected = [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377]
    same([int(value) for value in numbers(text(here, "fibonacci.txt"))], expected, "the numbers in fibonacci.txt")
    picture(here, "fibonacci.png")


def judge_node(here: Path, given: Path) -> None:
    text(here, "stats.js")
    for values in ([4, 8, 15, 16, 23, 42], [2.5], [-3, -9, 0]):
        (here / "some numbers.txt").write_text("".join(f"{value}\n" for value in values))
        found = dict(
            line.split(":", 1)
            for line in well(here, ["node", "stats.js", "some numbers.txt"]).splitlines()
            if ":" in line
        )
        for name, value in (("count", len(values)), ("mean", sum(values) / len(values)), ("max", max(values))):
            need(name in found, f"stats.js prints no {name}")
            near(found[name], value, f"{name} of {values}")


def sales() -> str:
    dice = chance("sales by region")
    regions = ("North", "South", "East", "West")
    return table(
        ("day", "region", "revenue"),
        ((n + 1, dice.choices(regions, (5, 2, 3, 1))[0], dice.randint(100, 900)) for n in range(90)),
    )


def judge_chart(here: Path, given: Path) -> None:
    totals: Counter[str] = Counter()
    for row in read_csv(given, "sales.csv"):
        totals[row["region"]] += int(row["revenue"])
    picture(here, "chart.png")
    root, words = svg(here, "chart.svg")
    for region in totals:
        need(region in words, f"chart.svg does not name {region}")
    need(
        proportional(bars(root), list(totals.values())), "no bars of chart.svg are as long as the totals of the regions"
    )


TASKS = [
    Task(
        "csv-totals",
        "Add up the amounts in expenses.csv by category and write the result to totals.csv with the columns category and "
        "total. The last row has the category ALL and the sum of everything.",
        judge_totals,
        {"expenses.csv": expenses},
        "run python",
        reference=Script(
            "python",
            """
import csv
totals = {}
for row in csv.DictReader(open("expenses.csv")):
    totals[row["category"]] = totals.get(row["category"], 0) + float(row["amount"])
with open("totals.csv", "w") as out:
    print("category,total", file=out)
    for name, value in totals.items():
        print(f"{name},{value:.2f}", file=out)
    print(f"ALL,{sum(totals.values()):.2f}", file=out)
""",
        ),
        wrong=({"totals.csv": "category,total\ntravel,1\noffice,2\nsoftware,3\nmeals,4\ntraining,5\nALL,15\n"},),
    ),
    Task(
        "quicksort",
        "Implement quicksort in Python. Put a function quicksort(items) that returns a new sorted list into quicksort.py, "
        "and tests for it into test_quicksort.py.",
        judge_quicksort,
        reference={
            "quicksort.py": "def quicksort(items):\n    if not items:\n        return []\n    first, *rest = items\n"
            "    return quicksort([i for i in rest if i < first]) + [first] + quicksort([i for i in rest if i >= first])\n",
            "test_quicksort.py": "import unittest\nfrom quicksort import quicksort\n\n\nclass T(unittest.TestCase):\n"
            "    def test_it(self):\n        self.assertEqual(quicksort([2, 1]), [1, 2])\n"
            "        self.assertEqual(quicksort([1, 2]), [1, 2])\n",
        },
        wrong=(
            {"quicksort.py": "def quicksort(items):\n    return sorted(items)\n", "test_quicksort.py": "# tests\n"},
            {
                "quicksort.py": "def quicksort(items):\n    return sorted(set(items))\n",
                "test_quicksort.py": "assert 1\n",
            },
        ),
    ),
    Task(
        "clean-data",
        "Clean customers.csv: strip blanks around all values, make the e-mail addresses lower case, drop rows without an "
        "e-mail address, and of several rows with the same address keep only the first. Save it as clean.csv with the same "
        "columns and order.",
        judge_clean,
        {"customers.csv": customers},
        "run python",
        reference=Script(
            "python",
            """
import csv
seen = set()
with open("clean.csv", "w", newline="") as out:
    writer = csv.writer(out)
    rows = csv.reader(open("customers.csv"))
    writer.writerow(next(rows))
    for row in rows:
        row = [value.strip() for value in row]
        row[2] = row[2].lower()
        if row[2] and row[2] not in seen:
            seen.add(row[2])
            writer.writerow(row)
""",
        ),
        wrong=(Script("bash", "cp customers.csv clean.csv"),),
    ),
    Task(
        "thumbnails",
        "Make a thumbnail of each of these pictures, 100 pixels on the longer side and not distorted. Save them under the "
        "same names in a folder called thumbs.",
        judge_thumbnails,
        {name: png(*about) for name, about in PICTURES.items()},
        "run python",
        reference=Script(
            "python",
            """
import pathlib
from PIL import Image
pathlib.Path("thumbs").mkdir()
for file in pathlib.Path().glob("*.png"):
    picture = Image.open(file)
    picture.thumbnail((100, 100))
    picture.save("thumbs/" + file.name)
""",
        ),
        wrong=(
            Script("bash", "mkdir thumbs; cp *.png thumbs"),
            Script(
                "python",
                "import pathlib\nfrom PIL import Image\npathlib.Path('thumbs').mkdir()\n"
                "for f in pathlib.Path().glob('*.png'):\n    Image.open(f).resize((100, 100)).save(f'thumbs/{f}')\n",
            ),
        ),
    ),
    Task(
        "sort-files",
        "Sort these files into folders: .txt and .pdf go into documents, .png and .jpg into images, .csv and .json into "
        "data. Move them, so that nothing is left outside.",
        judge_folders,
        {name: content for files in FOLDERS.values() for name, content in files.items()},
        "run bash",
        reference=Script(
            "bash",
            "mkdir documents images data\nmv *.txt *.pdf documents\nmv *.png *.jpg images\nmv *.csv *.json data\n",
        ),
        wrong=(Script("bash", "mkdir documents images data\ncp *.txt *.pdf documents\n"),),
    ),
    Task(
        "log-summary",
        "Summarise app.log for me in summary.txt: the number of lines of each level, and the most frequent error message.",
        judge_log,
        {"app.log": app_log},
        "run python",
        reference=Script(
            "bash",
            "{ cut -d' ' -f3 app.log | sort | uniq -c\necho -n 'Most frequent error: '\n"
            "grep ' ERROR ' app.log | cut -d' ' -f4- | sort | uniq -c | sort -rn | head -1; } > summary.txt\n",
        ),
        wrong=(
            Script("bash", "cp app.log summary.txt"),
            {"summary.txt": "The log has some errors, all is well.\n"},
            Script(
                "bash",
                "{ cut -d' ' -f3 app.log | sort | uniq -c; echo Most frequent error:; grep ' ERROR ' app.log |"
                " cut -d' ' -f4- | sort | uniq -c | sort -n; } > summary.txt",
            ),
        ),
    ),
    Task(
        "rest-api",
        "server.py is a small REST API that listens on port 8099. Start it, send a GET request to /health, /items, /items/2, "
        "/items/99 and /orders, and write report.json: an object with the status code of each path, such as "
        '{"/health": 123}.',
        judge_api,
        {"server.py": SERVER},
        "run python",
        reference=Script(
            "python",
            """
import json, subprocess, sys, time, urllib.error, urllib.request
subprocess.Popen([sys.executable, "server.py"])
found = {}
for path in ("/health", "/items", "/items/2", "/items/99", "/orders"):
    while path not in found:
        try:
            found[path] = urllib.request.urlopen("http://127.0.0.1:8099" + path).status
        except urllib.error.HTTPError as error:
            found[path] = error.code
        except OSError:
            time.sleep(0.05)
json.dump(found, open("report.json", "w"))
""",
        ),
        wrong=(
            {"report.json": '{"/health": 200, "/items": 200, "/items/2": 200, "/items/99": 200, "/orders": 200}'},
            {"report.json": '{"/health": null, "/items": null, "/items/2": null, "/items/99": null, "/orders": null}'},
        ),
    ),
    Task(
        "fibonacci-plot",
        "Plot the first 15 Fibonacci numbers, starting with 0 and 1, as a line chart in fibonacci.png. Also write them to "
        "fibonacci.txt, one on each line.",
        judge_fibonacci,
        alone="run python",
        reference=Script(
            "python",
            """
import matplotlib.pyplot as plt
found = [0, 1]
while len(found) < 15:
    found.append(sum(found[-2:]))
plt.plot(found)
plt.savefig("fibonacci.png")
open("fibonacci.txt", "w").write("".join(f"{n}\\n" for n in found))
""",
        ),
        wrong=({"fibonacci.txt": "\n".join(map(str, [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377]))},),
    ),
    Task(
        "node-script",
        "Write a Node.js script stats.js. It reads numbers, one on each line, from the file that is named on the command "
        "line, and prints three lines: count: …, mean: … and max: ….",
        judge_node,
        alone="stats.js",
        reference={
            "stats.js": "const found = require('fs').readFileSync(process.argv[2], 'utf8').trim().split('\\n').map(Number);\n"
            "console.log('count: ' + found.length);\n"
            "console.log('mean: ' + found.reduce((a, b) => a + b, 0) / found.length);\n"
            "console.log('max: ' + Math.max(...found));\n",
        },
        wrong=({"stats.js": "console.log('count: 6\\nmean: 18\\nmax: 42');\n"},),
    ),
    Task(
        "bar-chart",
        "Make a bar chart of the total revenue of each region from sales.csv, with the names of the regions below the bars. "
        "Save it as chart.png and as chart.svg.",
        judge_chart,
        {"sales.csv": sales},
        "run python",
        reference=Script(
            "python",
            """
import csv
import matplotlib.pyplot as plt
totals = {}
for row in csv.DictReader(open("sales.csv")):
    totals[row["region"]] = totals.get(row["region"], 0) + int(row["revenue"])
plt.bar(list(totals), list(totals.values()))
plt.savefig("chart.png")
plt.savefig("chart.svg")
""",
        ),
        wrong=(
            Script(
                "python",
                "import matplotlib.pyplot as plt\nplt.bar(['North', 'South', 'East', 'West'], [1, 2, 3, 4])\n"
                "plt.savefig('chart.png')\nplt.savefig('chart.svg')\n",
            ),
        ),
    ),
]
