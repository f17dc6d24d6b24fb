"""Questions about data. Each has one correct answer, written to a file."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import date, timedelta
from pathlib import Path
from statistics import median

from skill.looking import from_json, near, need, numbers, read_csv, rows, same, text
from skill.making import chance, table
from skill.task import Script, Task

CUSTOMERS = ("Alder Ltd", "Birch & Sons", "Cedar GmbH", "Dogwood Inc", "Elm SA", "Fir AB")


def orders() -> str:
    dice = chance("orders")
    return table(
        ("order_id", "customer", "date", "status", "amount"),
        (
            (
                1000 + n,
                dice.choice(CUSTOMERS),
                date(2026, 1, 1) + timedelta(days=dice.randint(0, 180)),
                dice.choices(("paid", "open", "cancelled"), (7, 2, 2))[0],
                f"{dice.randint(1000, 250000) / 100:.2f}",
            )
            for n in range(300)
        ),
    )


def paid(given: Path) -> Counter[str]:
    """Return the cents that each customer paid."""
    found: Counter[str] = Counter()
    for row in read_csv(given, "orders.csv"):
        if row["status"] == "paid":
            found[row["customer"]] += round(float(row["amount"]) * 100)
    return found


def judge_best_customer(here: Path, given: Path) -> None:
    [(name, cents)] = paid(given).most_common(1)
    found = text(here, "answer.txt")
    need(name in found, f"answer.txt does not name {name}: {found[:80]!r}")
    need(not any(other in found for other in CUSTOMERS if other != name), "answer.txt names several customers")
    need(
        any(abs(value - cents / 100) < 0.011 for value in numbers(found)), f"answer.txt does not have {cents / 100:.2f}"
    )


def judge_best_month(here: Path, given: Path) -> None:
    months: Counter[str] = Counter()
    for row in read_csv(given, "orders.csv"):
        if row["status"] != "cancelled":
            months[row["date"][:7]] += round(float(row["amount"]) * 100)
    found = {row["month"]: row["revenue"] for row in rows(here, "months.csv", "month", "revenue")}
    same(list(found), sorted(months), "the months of months.csv")
    for month, cents in months.items():
        near(found[month], cents / 100, f"the revenue of {month}")


def weather() -> str:
    dice = chance("weather")
    days = []
    for n in range(200):
        low = round(dice.uniform(-4, 14), 1)
        rain = "" if n % 23 == 5 else f"{dice.choice((0, 0, 0, 1.5, 4.0, 12.5)):.1f}"
        days.append((date(2025, 3, 1) + timedelta(days=n), low, round(low + dice.uniform(3, 12), 1), rain))
    return table(("date", "low", "high", "rain_mm"), days)


def judge_weather(here: Path, given: Path) -> None:
    days = read_csv(given, "weather.csv")
    dry = longest = 0
    for day in days:
        dry = dry + 1 if day["rain_mm"] and float(day["rain_mm"]) == 0 else 0
        longest = max(longest, dry)
    warmest = max(days, key=lambda day: float(day["high"]))
    found = from_json(here, "weather.json")
    need(isinstance(found, dict), "weather.json is no JSON object")
    same(str(found.get("warmest_day"))[:10], warmest["date"], "warmest_day")
    near(found.get("longest_dry_spell"), longest, "longest_dry_spell", 0)
    near(found.get("days_without_rain_data"), sum(not day["rain_mm"] for day in days), "days_without_rain_data", 0)


def people() -> str:
    dice = chance("people")
    teams = ("design", "backend", "support", "sales")
    return json.dumps(
        [
            {
                "name": f"Person {n}",
                "team": dice.choice(teams),
                "salary": dice.randint(30, 95) * 1000,
                "skills": dice.sample(("sql", "python", "excel", "figma", "go"), dice.randint(0, 3)),
            }
            for n in range(80)
        ],
        indent=1,
    )


def judge_salaries(here: Path, given: Path) -> None:
    teams = defaultdict(list)
    for person in json.loads((given / "people.json").read_text()):
        teams[person["team"]].append(person["salary"])
    found = from_json(here, "salaries.json")
    same(set(found), set(teams), "the teams of salaries.json")
    for team, salaries in teams.items():
        near(found[team], median(salaries), f"the median of {team}", 0.5)


def judge_skills(here: Path, given: Path) -> None:
    counts = Counter(skill for one in json.loads((given / "people.json").read_text()) for skill in one["skills"])
    found = [line.strip() for line in text(here, "skills.txt").splitlines() if line.strip()]
    expected = [f"{skill}: {count}" for skill, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    same(found, expected, "skills.txt")


def stock_old() -> str:
    return table(("sku", "price"), ((f"A{n:03}", f"{chance(f'p{n}').randint(100, 9000) / 100:.2f}") for n in range(70)))


def stock_new() -> str:
    dice = chance("new prices")
    found = [
        (f"A{n:03}", f"{(chance(f'p{n}').randint(100, 9000) + (dice.randint(-60, 90) if n % 6 == 2 else 0)) / 100:.2f}")
        for n in range(4, 78)
    ]
    dice.shuffle(found)
    return table(("sku", "price"), found)


def judge_prices(here: Path, given: Path) -> None:
    old = {row["sku"]: row["price"] for row in read_csv(given, "prices_old.csv")}
    new = {row["sku"]: row["price"] for row in read_csv(given, "prices_new.csv")}
    found = from_json(here, "diff.json")
    same(sorted(found["added"]), sorted(set(new) - set(old)), "added")
    same(sorted(found["removed"]), sorted(set(old) - set(new)), "removed")
    changed = sorted(sku for sku in set(old) & set(new) if old[sku] != new[sku])
    same(sorted(found["changed"]), changed, "changed")


def employees() -> str:
    return table(
        ("id", "name", "department_id"),
        ((n, f"Employee {n}", "" if n % 11 == 3 else chance(f"e{n}").choice((10, 20, 30, 40))) for n in range(1, 61)),
    )


def departments() -> str:
    return table(("id", "name"), ((10, "Finance"), (20, "Research"), (30, "Legal"), (50, "Kitchen")), ";")


def judge_headcount(here: Path, given: Path) -> None:
    names = {"10": "Finance", "20": "Research", "30": "Legal", "50": "Kitchen"}
    counts = dict.fromkeys(names.values(), 0)
    for row in read_csv(given, "employees.csv"):
        if row["department_id"] in names:
            counts[names[row["department_id"]]] += 1
    found = {row["department"]: row["employees"] for row in rows(here, "headcount.csv", "department", "employees")}
    same(set(found), set(counts), "the departments of headcount.csv")
    for name, count in counts.items():
        near(found[name], count, f"the employees of {name}", 0)


def measurements() -> str:
    dice = chance("sensor")
    values = [f"{dice.gauss(20, 2):.2f}" for _ in range(150)]
    for place, odd in ((12, "n/a"), (40, "-999"), (77, ""), (78, "-999"), (120, "n/a")):
        values[place] = odd
    return table(("minute", "celsius"), enumerate(values))


def judge_sensor(here: Path, given: Path) -> None:
    good = []
    for row in read_csv(given, "sensor.csv"):
        try:
            value = float(row["celsius"])
        except ValueError:
            continue
        if value > -100:
            good.append(value)
    found = text(here, "mean.txt").strip()
    need(len(found.split()) == 1, "mean.txt has more than one number")
    near(found, sum(good) / len(good), "the mean in mean.txt", 0.0051)


TASKS = [
    Task(
        "best-customer",
        "Which customer in orders.csv paid the most in total? Only orders with the status paid count. Write the name and the "
        "amount into answer.txt.",
        judge_best_customer,
        {"orders.csv": orders},
        "run python",
        reference=Script(
            "python",
            "import csv\nt = {}\nfor r in csv.DictReader(open('orders.csv')):\n"
            "    t[r['customer']] = t.get(r['customer'], 0) + float(r['amount']) * (r['status'] == 'paid')\n"
            "best = max(t, key=t.get)\nopen('answer.txt', 'w').write(f'{best} {t[best]:.2f}')\n",
        ),
        wrong=(
            Script(
                "python",
                "import csv\nt = {}\nfor r in csv.DictReader(open('orders.csv')):\n"
                "    t[r['customer']] = t.get(r['customer'], 0) + float(r['amount'])\n"
                "best = max(t, key=t.get)\nopen('answer.txt', 'w').write(f'{best} {t[best]:.2f}')\n",
            ),
        ),
    ),
    Task(
        "monthly-revenue",
        "Calculate the revenue of each month from orders.csv, without the cancelled orders. Write months.csv with the columns "
        "month (like 2026-01) and revenue, earliest month first.",
        judge_best_month,
        {"orders.csv": orders},
        "run python",
        reference=Script(
            "python",
            """
import csv
months = {}
for row in csv.DictReader(open("orders.csv")):
    if row["status"] != "cancelled":
        months[row["date"][:7]] = months.get(row["date"][:7], 0) + float(row["amount"])
with open("months.csv", "w") as out:
    print("month,revenue", file=out)
    for month in sorted(months):
        print(f"{month},{months[month]:.2f}", file=out)
""",
        ),
        wrong=({"months.csv": "month,revenue\n" + "".join(f"2026-0{n},100.00\n" for n in range(1, 7))},),
    ),
    Task(
        "weather-facts",
        "From weather.csv, find the date with the highest high, the longest run of days without rain (0.0 mm; a day without "
        "a value ends the run), and how many days have no value for rain. Write weather.json with the keys warmest_day, "
        "longest_dry_spell and days_without_rain_data.",
        judge_weather,
        {"weather.csv": weather},
        "run python",
        reference=Script(
            "python",
            """
import csv, json
days = list(csv.DictReader(open("weather.csv")))
run = best = 0
for day in days:
    run = run + 1 if day["rain_mm"] == "0.0" else 0
    best = max(best, run)
json.dump({
    "warmest_day": max(days, key=lambda d: float(d["high"]))["date"],
    "longest_dry_spell": best,
    "days_without_rain_data": sum(not d["rain_mm"] for d in days),
}, open("weather.json", "w"))
""",
        ),
        wrong=({"weather.json": '{"warmest_day": "2025-03-01", "longest_dry_spell": 0, "days_without_rain_data": 0}'},),
    ),
    Task(
        "median-salaries",
        "Calculate the median salary of each team in people.json and save it as salaries.json, an object from the name of the "
        "team to the median.",
        judge_salaries,
        {"people.json": people},
        "run python",
        reference=Script(
            "python",
            """
import json, statistics
teams = {}
for one in json.load(open("people.json")):
    teams.setdefault(one["team"], []).append(one["salary"])
json.dump({team: statistics.median(found) for team, found in teams.items()}, open("salaries.json", "w"))
""",
        ),
        wrong=(
            Script(
                "python",
                "import json\nt = {}\nfor p in json.load(open('people.json')):\n    t.setdefault(p['team'], []).append(p['salary'])\n"
                "json.dump({k: sum(v) / len(v) for k, v in t.items()}, open('salaries.json', 'w'))\n",
            ),
        ),
    ),
    Task(
        "skill-counts",
        "Count how many people in people.json have each skill. Write skills.txt with a line for each skill, such as "
        "`cooking: 5`, the most frequent first and alphabetically where two are equal.",
        judge_skills,
        {"people.json": people},
        "run python",
        reference=Script(
            "python",
            """
import collections, json
counts = collections.Counter(s for one in json.load(open("people.json")) for s in one["skills"])
with open("skills.txt", "w") as out:
    for skill, count in sorted(counts.items(), key=lambda i: (-i[1], i[0])):
        print(f"{skill}: {count}", file=out)
""",
        ),
        wrong=({"skills.txt": "sql: 1\npython: 1\nexcel: 1\nfigma: 1\ngo: 1\n"},),
    ),
    Task(
        "price-changes",
        "Compare prices_old.csv with prices_new.csv. Write diff.json with three sorted lists of SKUs: added (only in the new "
        "file), removed (only in the old file) and changed (in both, with another price).",
        judge_prices,
        {"prices_old.csv": stock_old, "prices_new.csv": stock_new},
        "run python",
        reference=Script(
            "python",
            """
import csv, json
old, new = ({r["sku"]: r["price"] for r in csv.DictReader(open(f"prices_{n}.csv"))} for n in ("old", "new"))
json.dump({
    "added": sorted(new.keys() - old.keys()),
    "removed": sorted(old.keys() - new.keys()),
    "changed": sorted(k for k in old.keys() & new.keys() if old[k] != new[k]),
}, open("diff.json", "w"))
""",
        ),
        wrong=({"diff.json": '{"added": [], "removed": [], "changed": []}'},),
    ),
    Task(
        "headcount",
        "How many employees does each department have? employees.csv refers to departments.csv by department_id; note that "
        "departments.csv uses semicolons. Write headcount.csv with the columns department and employees for every department "
        "of departments.csv, also where there are none.",
        judge_headcount,
        {"employees.csv": employees, "departments.csv": departments},
        "run python",
        reference=Script(
            "python",
            """
import csv
names = {r["id"]: r["name"] for r in csv.DictReader(open("departments.csv"), delimiter=";")}
staff = [r["department_id"] for r in csv.DictReader(open("employees.csv"))]
with open("headcount.csv", "w") as out:
    print("department,employees", file=out)
    for key, name in names.items():
        print(f"{name},{staff.count(key)}", file=out)
""",
        ),
        wrong=(
            Script(
                "python",
                "import pandas as pd\ne = pd.read_csv('employees.csv')\nd = pd.read_csv('departments.csv', sep=';')\n"
                "m = e.merge(d, left_on='department_id', right_on='id').groupby('name_y').size().reset_index()\n"
                "m.columns = ['department', 'employees']\nm.to_csv('headcount.csv', index=False)\n",
            ),
        ),
    ),
    Task(
        "sensor-mean",
        "sensor.csv has temperatures, but some are missing, some say n/a, and -999 means that the sensor failed. Write the "
        "mean of the real values, rounded to two decimals, into mean.txt and nothing else.",
        judge_sensor,
        {"sensor.csv": measurements},
        "run python",
        reference=Script(
            "python",
            "v = [r.split(',')[1].strip() for r in open('sensor.csv')][1:]\n"
            "v = [float(x) for x in v if x not in ('', 'n/a', '-999')]\n"
            "open('mean.txt', 'w').write(f'{sum(v) / len(v):.2f}\\n')\n",
        ),
        wrong=(
            Script(
                "python",
                "v = [r.split(',')[1].strip() for r in open('sensor.csv')][1:]\n"
                "v = [float(x) for x in v if x not in ('', 'n/a')]\n"
                "open('mean.txt', 'w').write(f'{sum(v) / len(v):.2f}\\n')\n",
            ),
        ),
    ),
]
