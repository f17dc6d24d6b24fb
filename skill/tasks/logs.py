"""Logs to summarise."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from skill.looking import from_json, near, need, rows, same, text
from skill.making import chance
from skill.task import Script, Task


def access() -> str:
    dice = chance("access log")
    addresses = [f"10.0.{n}.{n * 3 + 1}" for n in range(9)]
    lines = []
    for n in range(500):
        path = dice.choice(("/", "/login", "/api/orders", "/api/users", "/static/app.js", "/admin"))
        status = dice.choices((200, 304, 404, 500), (14, 3, 2, 1))[0] if path != "/admin" else 403
        address = dice.choices(addresses, range(2, 11))[0]
        lines.append(
            f"{address} - - [04/May/2026:{n // 60:02}:{n % 60:02}:07 +0000] "
            f'"{dice.choice(("GET", "GET", "POST"))} {path} HTTP/1.1" {status} {dice.randint(90, 9000)}'
        )
    return "\n".join(lines) + "\n"


def judge_access(here: Path, given: Path) -> None:
    lines = (given / "access.log").read_text().splitlines()
    codes = Counter(line.split('" ')[1].split()[0] for line in lines)
    addresses = Counter(line.split()[0] for line in lines)
    sent = sum(int(line.split()[-1]) for line in lines)
    found = from_json(here, "access.json")
    near(found["requests"], len(lines), "requests", 0)
    same({str(code): count for code, count in found["status"].items()}, dict(codes), "status")
    same(found["top_address"], addresses.most_common(1)[0][0], "top_address")
    near(found["bytes"], sent, "bytes", 0)


def failures() -> str:
    dice = chance("auth log")
    users = ("root", "admin", "eva", "git", "postgres")
    lines = []
    for n in range(260):
        user, address = dice.choices(users, (8, 5, 1, 2, 2))[0], f"203.0.113.{dice.choice((4, 9, 77))}"
        told = dice.choices(
            (
                f"Failed password for {user} from {address} port {dice.randint(3000, 9000)} ssh2",
                f"Failed password for invalid user {user} from {address} port {dice.randint(3000, 9000)} ssh2",
                f"Accepted password for {user} from 192.0.2.10 port {dice.randint(3000, 9000)} ssh2",
                "Connection closed by 198.51.100.3 port 22",
            ),
            (5, 2, 2, 3),
        )[0]
        lines.append(f"May  4 {n // 60:02}:{n % 60:02}:11 gate sshd[{dice.randint(100, 999)}]: {told}")
    return "\n".join(lines) + "\n"


def judge_failures(here: Path, given: Path) -> None:
    expected: Counter[str] = Counter()
    for user in re.findall(r"Failed password for (?:invalid user )?(\S+) from", (given / "auth.log").read_text()):
        expected[user] += 1
    found = [(row["user"], row["failures"]) for row in rows(here, "failures.csv", "user", "failures")]
    same(found, [(user, str(count)) for user, count in expected.most_common()], "failures.csv")


def slow() -> str:
    dice = chance("slow")
    lines = []
    for n in range(300):
        record = {
            "time": f"2026-05-04T{n // 60:02}:{n % 60:02}:00Z",
            "service": dice.choice(("cart", "search", "mail")),
            "ms": dice.randint(3, 400) if dice.random() < 0.9 else dice.randint(1000, 5000),
            "level": dice.choices(("info", "warn", "error"), (8, 1, 1))[0],
        }
        lines.append(json.dumps(record) if n % 50 != 17 else '{"time": "2026-05-04T')
    return "\n".join(lines) + "\n"


def judge_slow(here: Path, given: Path) -> None:
    services: dict[str, list[int]] = {}
    errors: Counter[str] = Counter()
    broken = 0
    for line in (given / "requests.jsonl").read_text().splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            broken += 1
            continue
        services.setdefault(one["service"], []).append(one["ms"])
        errors[one["service"]] += one["level"] == "error"
    found = from_json(here, "services.json")
    near(found["broken_lines"], broken, "broken_lines", 0)
    for name, times in services.items():
        near(found[name]["requests"], len(times), f"requests of {name}", 0)
        near(found[name]["errors"], errors[name], f"errors of {name}", 0)
        near(found[name]["slowest_ms"], max(times), f"slowest_ms of {name}", 0)


TRACE = """2026-05-04 10:00:01 INFO worker started
2026-05-04 10:00:09 ERROR job 17 failed
Traceback (most recent call last):
  File "/srv/app/worker.py", line 88, in run
    self.handle(job)
  File "/srv/app/handlers.py", line 41, in handle
    total = job["amount"] / job["people"]
ZeroDivisionError: division by zero
2026-05-04 10:02:40 INFO job 18 done
2026-05-04 10:03:11 ERROR job 19 failed
Traceback (most recent call last):
  File "/srv/app/worker.py", line 88, in run
    self.handle(job)
  File "/srv/app/handlers.py", line 39, in handle
    name = job["name"]
KeyError: 'name'
2026-05-04 10:05:00 ERROR job 23 failed
Traceback (most recent call last):
  File "/srv/app/worker.py", line 88, in run
    self.handle(job)
  File "/srv/app/handlers.py", line 41, in handle
    total = job["amount"] / job["people"]
ZeroDivisionError: division by zero
2026-05-04 10:06:30 WARNING queue is long
"""


def judge_traces(here: Path, given: Path) -> None:
    found = text(here, "errors.md")
    lines = found.splitlines()

    def near_by(name: str, *wanted: str) -> bool:
        """Return whether a line with the error and the next six lines contain everything required."""
        places = [n for n, line in enumerate(lines) if name in line]
        return any(
            all(re.search(rf"(?<!\d){want}(?!\d)", " ".join(lines[n : n + 7])) for want in wanted) for n in places
        )

    need(
        near_by("ZeroDivisionError", "(2|[Tt]wo|[Tt]wice)", r"handlers\.py", "41"),
        "errors.md does not say ZeroDivisionError, 2, handlers.py:41",
    )
    need(
        near_by("KeyError", "(1|[Oo]ne|[Oo]nce)", r"handlers\.py", "39"),
        "errors.md does not say KeyError, 1, handlers.py:39",
    )
    for job in ("17", "19", "23"):
        need(re.search(rf"(?<!\d){job}(?!\d)", found), f"errors.md does not name job {job}")
    need(not re.search(r"(?<!\d)18(?!\d)", found), "errors.md names job 18, which did not fail")


TASKS = [
    Task(
        "access-log",
        "Summarise the web server log access.log in access.json: requests (how many), status (an object from each status code "
        "to its count), top_address (the address with the most requests) and bytes (the sum of the last column).",
        judge_access,
        {"access.log": access},
        "run python",
        reference=Script(
            "python",
            """
import collections, json
lines = open("access.log").read().splitlines()
json.dump({
    "requests": len(lines),
    "status": collections.Counter(l.split()[-2] for l in lines),
    "top_address": collections.Counter(l.split()[0] for l in lines).most_common(1)[0][0],
    "bytes": sum(int(l.split()[-1]) for l in lines),
}, open("access.json", "w"))
""",
        ),
        wrong=({"access.json": '{"requests": 500, "status": {"200": 500}, "top_address": "10.0.0.1", "bytes": 0}'},),
    ),
    Task(
        "failed-logins",
        "auth.log is the log of an SSH server. Count the failed passwords of each user, also those marked as invalid user, and "
        "write failures.csv with the columns user and failures, the most failures first.",
        judge_failures,
        {"auth.log": failures},
        "run python",
        reference=Script(
            "python",
            """
import collections, re
found = collections.Counter(re.findall(r"Failed password for (?:invalid user )?(\\S+) from", open("auth.log").read()))
with open("failures.csv", "w") as out:
    print("user,failures", file=out)
    for user, count in found.most_common():
        print(f"{user},{count}", file=out)
""",
        ),
        wrong=(
            Script(
                "bash",
                "{ echo user,failures; grep -oP 'Failed password for \\K\\S+' auth.log | sort | uniq -c | sort -rn |"
                " awk '{print $2 \",\" $1}'; } > failures.csv",
            ),
        ),
    ),
    Task(
        "json-lines-log",
        "requests.jsonl has one JSON record on each line, but some lines were cut off. Write services.json with broken_lines "
        "(how many cannot be read) and, for each service under its name, an object with requests, errors (records of the "
        "level error) and slowest_ms.",
        judge_slow,
        {"requests.jsonl": slow},
        "run python",
        reference=Script(
            "python",
            """
import json
found = {"broken_lines": 0}
for line in open("requests.jsonl"):
    try:
        one = json.loads(line)
    except ValueError:
        found["broken_lines"] += 1
        continue
    s = found.setdefault(one["service"], {"requests": 0, "errors": 0, "slowest_ms": 0})
    s["requests"] += 1
    s["errors"] += one["level"] == "error"
    s["slowest_ms"] = max(s["slowest_ms"], one["ms"])
json.dump(found, open("services.json", "w"))
""",
        ),
        wrong=({"services.json": '{"broken_lines": 0}'},),
    ),
    Task(
        "tracebacks",
        "Read worker.log and write a short report errors.md: for each kind of exception how often it happened, in which file "
        "and line it was raised, and which jobs failed.",
        judge_traces,
        {"worker.log": TRACE},
        "run python",
        reference={
            "errors.md": "- ZeroDivisionError: 2 times, handlers.py line 41, jobs 17 and 23\n"
            "- KeyError: 1 time, handlers.py line 39, job 19\n",
        },
        wrong=(
            {
                "errors.md": "- ZeroDivisionError: 1 time, worker.py line 88, job 17\n- KeyError: 1 time, worker.py, job 19\n"
            },
            Script("bash", "cp worker.log errors.md"),
        ),
    ),
]
