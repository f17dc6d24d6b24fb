"""Files to convert from one format into another."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path

from skill.looking import fail, from_json, near, need, picture, read_csv, same, text
from skill.making import chance, png, table
from skill.task import Script, Task


def contacts() -> str:
    dice = chance("contacts")
    names = ('Ann "Annie" Lee', "Bo Chen", "Cléa Roux", "Dov, Jr. Katz", "Eli Odd")
    return table(
        ("name", "phone", "city"),
        (
            (name, f"0{dice.randint(100, 999)} {dice.randint(10000, 99999)}", dice.choice(("Köln", "Rome", "")))
            for name in names
        ),
    )


def judge_json(here: Path, given: Path) -> None:
    same(from_json(here, "contacts.json"), read_csv(given, "contacts.csv"), "contacts.json")


def bookings() -> str:
    dice = chance("bookings")
    found = [
        {
            "id": n,
            "guest": {"name": f"Guest {n}", "country": dice.choice(("DE", "FR", "NO"))},
            "nights": dice.randint(1, 9),
            "extras": dice.sample(["breakfast", "parking", "late checkout"], dice.randint(0, 2)),
        }
        for n in range(1, 26)
    ]
    return json.dumps({"bookings": found}, indent=2)


def judge_flat(here: Path, given: Path) -> None:
    expected = [["id", "name", "country", "nights", "extras"]]
    for one in json.loads((given / "bookings.json").read_text())["bookings"]:
        guest = one["guest"]
        expected.append([str(one["id"]), guest["name"], guest["country"], str(one["nights"]), ";".join(one["extras"])])
    found = [row for row in csv.reader(io.StringIO(text(here, "bookings.csv"))) if row]
    same(len(found), len(expected), "the number of lines in bookings.csv")
    for line, wanted in zip(found, expected, strict=True):
        same([cell.strip() for cell in line], wanted, "a line of bookings.csv")


MARKDOWN = """# Opening hours

We are open **every day** but Sunday.

| Day | From |
| --- | --- |
| Monday | 9:00 |
| Saturday | 10:30 |

- Ring the bell
- Wait for *Eva*

See [our map](https://example.org/map).
"""


class Page(HTMLParser):
    """The elements of a page, with their text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.links: list[str] = []
        self._open: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append([tag, ""])
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element[1] += data

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            name, inside = self._open.pop()
            self.found.append((name, " ".join(inside.split())))
            if name == tag:
                break


def judge_html(here: Path, given: Path) -> None:
    page = Page()
    page.feed(text(here, "hours.html"))
    for tag, inside in (
        ("h1", "Opening hours"), ("td", "Monday"), ("td", "10:30"), ("th", "Day"), ("li", "Ring the bell"),
        ("li", "Wait for Eva"), ("a", "our map"),
    ):  # fmt: skip
        need((tag, inside) in page.found, f"hours.html has no <{tag}> with {inside!r}")
    strong = ("strong", "every day") in page.found or ("b", "every day") in page.found
    need(strong, "hours.html does not show 'every day' in bold")
    need("https://example.org/map" in page.links, "hours.html has no link to the map")


def judge_pictures(here: Path, given: Path) -> None:
    for name, size in (("red.jpg", (300, 200)), ("blue.jpg", (220, 260))):
        found = picture(here, name, 200, 150)
        need((here / name).read_bytes()[:2] == b"\xff\xd8", f"{name} is no JPEG")
        same(found.size, size, f"the size of {name}")
    pixel = picture(here, "red.jpg").getpixel((20, 20))
    need(pixel[0] > 180 and pixel[2] < 80, "red.jpg does not show its picture")


def budget() -> str:
    return table(
        ("item", "amount"), ((name, n * 125 + 50) for n, name in enumerate(("rent", "salaries", "power", "paper")))
    )


def judge_excel(here: Path, given: Path) -> None:
    from openpyxl import load_workbook

    need((here / "budget.xlsx").is_file(), "budget.xlsx is missing")
    try:
        sheet = load_workbook(here / "budget.xlsx")
    except Exception as error:
        fail(f"budget.xlsx cannot be opened: {error}")
    need("Budget" in sheet.sheetnames, f"budget.xlsx has the sheets {sheet.sheetnames}, and no Budget")
    found = [[cell for cell in row if cell is not None] for row in sheet["Budget"].iter_rows(values_only=True)]
    found = [row for row in found if row]
    expected = [(row["item"], float(row["amount"])) for row in read_csv(given, "budget.csv")]
    same(found[0], ["item", "amount"], "the first row")
    for (name, amount), line in zip(expected, found[1:], strict=False):
        same(line[0], name, "an item")
        need(isinstance(line[1], int | float), f"the amount of {name} is {line[1]!r}, not a number")
        near(line[1], amount, f"the amount of {name}")
    same(len(found), len(expected) + 2, "the number of rows")
    same(str(found[-1][0]).lower(), "total", "the last row begins with")
    total = found[-1][1]
    if str(total).startswith("="):
        same(str(total).upper().replace("$", "").replace(" ", ""), f"=SUM(B2:B{len(expected) + 1})", "the formula")
    else:
        near(total, sum(amount for _, amount in expected), "the total")


TASKS = [
    Task(
        "csv-to-json",
        "Convert contacts.csv to contacts.json, a list of objects with the names of the columns as keys. All values stay "
        "strings, and an empty cell is an empty string.",
        judge_json,
        {"contacts.csv": contacts},
        "run python",
        reference=Script(
            "python",
            "import csv, json\njson.dump(list(csv.DictReader(open('contacts.csv'))), open('contacts.json', 'w'))\n",
        ),
        wrong=(
            Script(
                "python",
                "import pandas as pd\npd.read_csv('contacts.csv').to_json('contacts.json', orient='records')\n",
            ),
        ),
    ),
    Task(
        "json-to-csv",
        "Turn bookings.json into bookings.csv with the columns id, name, country, nights and extras. Name and country are "
        "those of the guest, and several extras are joined by semicolons.",
        judge_flat,
        {"bookings.json": bookings},
        "run python",
        reference=Script(
            "python",
            """
import csv, json
with open("bookings.csv", "w", newline="") as out:
    w = csv.writer(out)
    w.writerow(["id", "name", "country", "nights", "extras"])
    for b in json.load(open("bookings.json"))["bookings"]:
        w.writerow([b["id"], b["guest"]["name"], b["guest"]["country"], b["nights"], ";".join(b["extras"])])
""",
        ),
        wrong=(
            Script(
                "python",
                "import json, pandas as pd\npd.DataFrame(json.load(open('bookings.json'))['bookings'])"
                ".to_csv('bookings.csv', index=False)\n",
            ),
        ),
    ),
    Task(
        "markdown-to-html",
        "Convert hours.md to a web page hours.html. Headings, the table, the list, bold text and the link must become the "
        "HTML elements that are made for them.",
        judge_html,
        {"hours.md": MARKDOWN},
        "run python",
        reference={
            "hours.html": "<!doctype html><h1>Opening hours</h1><p>We are open <strong>every day</strong> but Sunday.</p>"
            "<table><tr><th>Day</th><th>From</th></tr><tr><td>Monday</td><td>9:00</td></tr><tr><td>Saturday</td>"
            "<td>10:30</td></tr></table><ul><li>Ring the bell</li><li>Wait for <em>Eva</em></li></ul>"
            '<p>See <a href="https://example.org/map">our map</a>.</p>',
        },
        wrong=(Script("bash", "{ echo '<pre>'; cat hours.md; echo '</pre>'; } > hours.html"),),
    ),
    Task(
        "png-to-jpeg",
        "Convert red.png and blue.png to JPEG files with the same names and the ending .jpg. Keep their sizes.",
        judge_pictures,
        {
            "red.png": png(300, 200, (230, 20, 20), (250, 200, 200)),
            "blue.png": png(220, 260, (20, 20, 230), (200, 200, 250)),
        },
        "run python",
        reference=Script(
            "python",
            "from PIL import Image\nfor n in ('red', 'blue'):\n    Image.open(n + '.png').convert('RGB').save(n + '.jpg')\n",
        ),
        wrong=(Script("bash", "cp red.png red.jpg; cp blue.png blue.jpg"),),
    ),
    Task(
        "csv-to-excel",
        "Make an Excel file budget.xlsx of budget.csv. The sheet is called Budget, the amounts are numbers, and a last row "
        "Total has their sum.",
        judge_excel,
        {"budget.csv": budget},
        "run python",
        reference=Script(
            "python",
            """
import csv, openpyxl
book = openpyxl.Workbook()
sheet = book.active
sheet.title = "Budget"
rows = list(csv.reader(open("budget.csv")))
sheet.append(rows[0])
for name, amount in rows[1:]:
    sheet.append([name, int(amount)])
sheet.append(["Total", sum(int(a) for _, a in rows[1:])])
book.save("budget.xlsx")
""",
        ),
        wrong=(
            Script("bash", "cp budget.csv budget.xlsx"),
            Script(
                "python",
                "import csv, openpyxl\nb = openpyxl.Workbook()\nb.active.title = 'Budget'\n"
                "for r in csv.reader(open('budget.csv')):\n    b.active.append(r)\nb.save('budget.xlsx')\n",
            ),
        ),
    ),
]
