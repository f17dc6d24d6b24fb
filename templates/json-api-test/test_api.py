"""Test a JSON API: python test_api.py [--url URL] [--keys NAMES] [--status CODE] [--max-ms N] [--requests N]

Without a URL it starts a small API of its own (example_api.py) and tests that. Prints each check, writes results.json
and report.md, and ends with exit code 1 where a check failed.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests

TIMEOUT = 15


@dataclass
class Check:
    """A check and its result."""

    name: str
    passed: bool
    seen: str


class Tester:
    """Run checks one after the other. A check that raises an exception has failed."""

    def __init__(self) -> None:
        self.checks: list[Check] = []
        self.session = requests.Session()
        self.session.headers["Accept"] = "application/json"

    def check(self, name: str, look: Callable[[], tuple[bool, str]]) -> bool:
        try:
            passed, seen = look()
        except (requests.RequestException, ValueError, KeyError, TypeError, IndexError) as error:
            passed, seen = False, f"{type(error).__name__}: {str(error)[:200]}"
        self.checks.append(Check(name, passed, seen))
        print(f"{'ok    ' if passed else 'FAILED'}  {name}: {seen}")
        return passed

    def get(self, url: str) -> requests.Response:
        return self.session.get(url, timeout=TIMEOUT)


def shape(value: Any, depth: int = 0) -> Any:
    """Return the shape of a JSON value: names and types, and for a list the shape of its first item."""
    if isinstance(value, dict):
        if depth == 4:
            return "object"
        return {name: shape(item, depth + 1) for name, item in list(value.items())[:50]}
    if isinstance(value, list):
        return [shape(value[0], depth + 1)] if value else []
    names = {bool: "boolean", int: "number", float: "number", str: "string"}
    return names.get(type(value), "null")


def is_json(answer: requests.Response) -> tuple[bool, str]:
    kind = answer.headers.get("Content-Type", "none")
    plain = kind.partition(";")[0].strip().lower()
    return plain == "application/json" or plain.endswith("+json"), kind


def test_url(tester: Tester, given: argparse.Namespace) -> Any:
    """Check any JSON API that answers GET. Returns the shape of its answer."""
    answers: list[requests.Response] = []

    def reach() -> tuple[bool, str]:
        answers.append(tester.get(given.url))
        return True, f"answered in {answers[0].elapsed.total_seconds() * 1000:.0f} ms"

    if not tester.check(f"GET {given.url} is answered", reach):
        return None
    answer = answers[0]
    tester.check(f"status is {given.status}", lambda: (answer.status_code == given.status, str(answer.status_code)))
    tester.check("content type is JSON", lambda: is_json(answer))
    if not tester.check(
        "body parses as JSON", lambda: (True, f"{type(answer.json()).__name__}, {len(answer.content)} bytes")
    ):
        return None
    body = answer.json()
    first = body[0] if isinstance(body, list) and body else body
    for key in given.keys:
        known = list(first) if isinstance(first, dict) else []
        tester.check(
            f"has the key {key!r}", lambda key=key, known=known: (key in known, ", ".join(known[:20]) or "no keys")
        )
    tester.check(
        "a second answer has the same shape", lambda: (shape(tester.get(given.url).json()) == shape(body), "compared")
    )
    times: list[float] = []

    def latency() -> tuple[bool, str]:
        for _ in range(given.requests):
            begin = time.perf_counter()
            tester.get(given.url)
            times.append((time.perf_counter() - begin) * 1000)
        return statistics.median(
            times
        ) <= given.max_ms, f"{statistics.median(times):.1f} ms, slowest {max(times):.1f} ms"

    tester.check(f"median of {given.requests} requests is at most {given.max_ms} ms", latency)
    return shape(body)


def test_example(tester: Tester, base: str) -> None:
    """Check the example API further: create, read, change, delete, and clear errors."""
    made: dict[str, Any] = {}

    def create() -> tuple[bool, str]:
        answer = tester.session.post(f"{base}/items", json={"name": "Filter", "price": 4.5}, timeout=TIMEOUT)
        made.update(answer.json())
        return answer.status_code == 201 and "id" in made, f"{answer.status_code}, id {made.get('id')}"

    def status(method: str, path: str, wanted: int, **options: Any) -> Callable[[], tuple[bool, str]]:
        def look() -> tuple[bool, str]:
            answer = tester.session.request(method, f"{base}{path}", timeout=TIMEOUT, **options)
            return answer.status_code == wanted and (wanted == 204 or is_json(answer)[0]), str(answer.status_code)

        return look

    tester.check("POST /items creates one", create)
    item = f"/items/{made.get('id')}"
    tester.check(
        "GET of it gives what was sent", lambda: (tester.get(f"{base}{item}").json()["name"] == "Filter", "compared")
    )
    tester.check("PUT changes it", status("PUT", item, 200, json={"name": "Filter", "price": 5}))
    tester.check("DELETE removes it", status("DELETE", item, 204))
    tester.check("GET of it is 404 now", status("GET", item, 404))
    tester.check("a body that is no JSON is 400", status("POST", "/items", 400, data="{"))
    tester.check("an item without a name is 422", status("POST", "/items", 422, json={"price": 1}))


def report(tester: Tester, url: str, found: Any, example: bool) -> bool:
    """Write results.json and report.md. Returns whether all checks passed."""
    failed = [check for check in tester.checks if not check.passed]
    results = {"url": url, "example": example, "passed": len(tester.checks) - len(failed), "failed": len(failed),
               "checks": [asdict(check) for check in tester.checks], "shape": found}  # fmt: skip
    Path("results.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", "utf-8")
    lines = [f"# API test of {url}", ""]
    if example:
        lines += ["No URL was given, so the API of example_api.py was started and tested.", ""]
    lines += [f"{len(tester.checks)} checks, {len(failed)} failed.", "", "| | check | seen |", "|---|---|---|"]
    for check in tester.checks:
        seen = check.seen.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
        lines.append(f"| {'ok' if check.passed else '**failed**'} | {check.name} | {seen} |")
    if found is not None:
        lines += ["", "## Shape of the answer", "", "```json", json.dumps(found, indent=2, ensure_ascii=False), "```"]
    Path("report.md").write_text("\n".join(lines) + "\n", "utf-8")
    print(f"\n{len(tester.checks)} checks, {len(failed)} failed; wrote results.json and report.md")
    return not failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", default="")
    parser.add_argument("--keys", default="", type=lambda text: [key.strip() for key in text.split(",") if key.strip()])
    parser.add_argument("--status", type=int, default=200)
    parser.add_argument("--max-ms", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=5)
    given = parser.parse_args()
    tester, base = Tester(), ""
    given.keys = given.keys or []
    if not given.url:
        import example_api

        base = example_api.start()
        given.url, given.keys = f"{base}/items", given.keys or ["id", "name", "price"]
        print(f"No URL was given: testing the API of example_api.py at {base}\n")
    found = test_url(tester, given)
    if base:
        test_example(tester, base)
    sys.exit(0 if report(tester, given.url, found, bool(base)) else 1)


if __name__ == "__main__":
    main()
