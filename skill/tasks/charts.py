"""Charts. The judge examines the picture, and reads an SVG or a file of values."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

from skill.looking import bars, from_json, near, need, numbers, picture, proportional, read_csv, same, svg, text
from skill.making import chance, table
from skill.task import Script, Task


def temperatures() -> str:
    dice = chance("may")
    return table(
        ("date", "celsius"), ((date(2026, 5, 1) + timedelta(days=n), round(dice.uniform(8, 26), 1)) for n in range(31))
    )


def judge_line(here: Path, given: Path) -> None:
    _, words = svg(here, "may.svg")
    for wanted in ("Temperatures in May", "Day", "Celsius"):
        need(wanted.lower() in words.lower(), f"may.svg does not say {wanted!r}")
    points = max((source.count(" L ") + source.count("\nL ") + source.count(",") for source in paths(here)), default=0)
    need(points >= 25, "may.svg has no line through the 31 days")


def paths(here: Path) -> list[str]:
    """Return the drawing commands of each path and polyline in may.svg."""
    root, _ = svg(here, "may.svg")
    found = [element.get("d") or element.get("points") or "" for element in root.iter()]
    return [one for one in found if one]


def visitors() -> str:
    dice = chance("ages")
    return table(("visitor", "age"), ((n + 1, min(79, max(3, round(dice.gauss(38, 16))))) for n in range(240)))


def judge_histogram(here: Path, given: Path) -> None:
    expected: Counter[str] = Counter()
    for row in read_csv(given, "visitors.csv"):
        begin = int(row["age"]) // 10 * 10
        expected[f"{begin}-{begin + 9}"] += 1
    found = from_json(here, "ages.json")
    same({key: count for key, count in found.items() if count}, dict(expected), "ages.json")
    picture(here, "ages.png")


def votes() -> str:
    dice = chance("votes")
    return "".join(f"{dice.choices(('Tea', 'Coffee', 'Water', 'Juice'), (4, 8, 3, 1))[0]}\n" for _ in range(160))


def judge_votes(here: Path, given: Path) -> None:
    counts = Counter((given / "votes.txt").read_text().split())
    root, words = svg(here, "votes.svg")
    for name in counts:
        need(name in words, f"votes.svg does not name {name}")
    need(proportional(bars(root), list(counts.values())), "no bars of votes.svg are as long as the votes")


def houses() -> str:
    dice = chance("houses")
    return table(
        ("area", "price"), ((area := dice.randint(40, 220), area * 3 + dice.randint(-90, 90) + 40) for _ in range(70))
    )


def judge_scatter(here: Path, given: Path) -> None:
    rows = [(float(row["area"]), float(row["price"])) for row in read_csv(given, "houses.csv")]
    xs, ys = [x for x, _ in rows], [y for _, y in rows]
    x0, y0 = sum(xs) / len(xs), sum(ys) / len(ys)
    up = sum((x - x0) * (y - y0) for x, y in rows)
    value = up / (sum((x - x0) ** 2 for x in xs) * sum((y - y0) ** 2 for y in ys)) ** 0.5
    found = numbers(text(here, "correlation.txt"))
    same(len(found), 1, "the number of values in correlation.txt")
    near(found[0], value, "the correlation", 0.0011)
    picture(here, "houses.png")


TASKS = [
    Task(
        "line-chart",
        "Draw a line chart of the temperatures in may.csv and save it as may.svg. The title is Temperatures in May, the axes "
        "are labelled Day and Celsius.",
        judge_line,
        {"may.csv": temperatures},
        "run python",
        reference=Script(
            "python",
            """
import csv
import matplotlib.pyplot as plt
rows = list(csv.DictReader(open("may.csv")))
plt.plot([int(r["date"][-2:]) for r in rows], [float(r["celsius"]) for r in rows])
plt.title("Temperatures in May")
plt.xlabel("Day")
plt.ylabel("Celsius")
plt.savefig("may.svg")
""",
        ),
        wrong=(
            {
                "may.svg": '<svg xmlns="http://www.w3.org/2000/svg"><text>Temperatures in May</text><text>Day</text>'
                "<text>Celsius</text></svg>",
            },
        ),
    ),
    Task(
        "age-histogram",
        "Make a histogram of the ages in visitors.csv in steps of ten years and save it as ages.png. Also write the number of "
        'visitors of each step to ages.json, with keys such as "100-109".',
        judge_histogram,
        {"visitors.csv": visitors},
        "run python",
        reference=Script(
            "python",
            """
import csv, json
import matplotlib.pyplot as plt
ages = [int(r["age"]) for r in csv.DictReader(open("visitors.csv"))]
json.dump({f"{b}-{b + 9}": sum(b <= a < b + 10 for a in ages) for b in range(0, 80, 10)}, open("ages.json", "w"))
plt.hist(ages, bins=range(0, 90, 10))
plt.savefig("ages.png")
""",
        ),
        wrong=(
            {"ages.json": '{"0-9": 1}', "ages.png": b""},
            Script(
                "python",
                "import csv, json\nfrom PIL import Image\n"
                "ages = [int(r['age']) for r in csv.DictReader(open('visitors.csv'))]\n"
                "json.dump({f'{b}-{b + 9}': sum(b <= a < b + 10 for a in ages) for b in range(0, 80, 10)}, open('ages.json', 'w'))\n"
                "Image.new('RGB', (640, 480), 'white').save('ages.png')\n",
            ),
        ),
    ),
    Task(
        "vote-bars",
        "votes.txt has one vote on each line. Count them and draw a bar chart, one bar for each drink with its name, as "
        "votes.svg.",
        judge_votes,
        {"votes.txt": votes},
        "run python",
        reference=Script(
            "python",
            """
import collections
counts = collections.Counter(open("votes.txt").read().split())
parts = []
for n, (name, count) in enumerate(counts.items()):
    parts.append(f'<rect x="{n * 50}" y="{200 - count}" width="40" height="{count}"/><text x="{n * 50}" y="215">{name}</text>')
open("votes.svg", "w").write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 220">{"".join(parts)}</svg>')
""",
        ),
        wrong=(
            {
                "votes.svg": '<svg xmlns="http://www.w3.org/2000/svg">'
                + "".join(f'<rect x="{n}" y="0" width="1" height="9"/><text>{name}</text>' for n, name in
                          enumerate(("Tea", "Coffee", "Water", "Juice")))
                + "</svg>",
            },
        ),
    ),
    Task(
        "scatter-plot",
        "Plot price against area from houses.csv as a scatter plot in houses.png, and write the correlation of the two, "
        "rounded to three decimals, into correlation.txt.",
        judge_scatter,
        {"houses.csv": houses},
        "run python",
        reference=Script(
            "python",
            """
import csv, statistics
import matplotlib.pyplot as plt
x, y = zip(*((float(r["area"]), float(r["price"])) for r in csv.DictReader(open("houses.csv"))))
plt.scatter(x, y)
plt.savefig("houses.png")
open("correlation.txt", "w").write(f"{statistics.correlation(x, y):.3f}\\n")
""",
        ),
        wrong=({"correlation.txt": "0.5\n"},),
    ),
]  # fmt: skip
