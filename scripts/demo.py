"""Run one job over the public API, from a prompt to its ZIP, and show its progress. Uses only Python's standard
library.

With DEMO_MODEL=1 the prompt is free text, which the configured model turns into steps.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

#: A template's phrase. The request also names the template, so it runs without a model even if one is configured.
BY_TEMPLATE = {"prompt": "Create a Python script that calculates fibonacci numbers", "template": "fibonacci"}
BY_MODEL = {
    "prompt": "Write primes.py that prints the first 25 primes, run it and save the output as primes.txt",
}
FINAL = {"completed", "failed", "cancelled"}
#: The server sends a heartbeat every 15 s. A stream that is silent for this many seconds is broken.
SILENCE = 60


def setting(name: str, default: str) -> str:
    """Return a setting as compose sees it: from the shell, else from .env, else the default (also if empty)."""
    value = os.environ.get(name)
    dotenv = Path(__file__).parent.parent / ".env"
    if value is None and dotenv.exists():
        lines = re.findall(rf"^{name}=(.*)$", dotenv.read_text(encoding="utf-8"), re.MULTILINE)
        value = lines[-1].strip().strip("'\"") if lines else None
    return value or default


def base_url() -> str:
    host = setting("HOST", "127.0.0.1")
    if host in ("0.0.0.0", "::"):  # noqa: S104 - nothing is bound here
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{setting('PORT', '8000')}"


class Api:
    """A client of the users' API, with the key if there is one."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        # a local address needs no proxy from the environment
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def open(self, path: str, body: object = None) -> HTTPResponse:
        data = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers)  # noqa: S310 - http, made above
        response: HTTPResponse = self._opener.open(request, timeout=SILENCE)
        return response

    def ask(self, path: str, body: object = None) -> Any:
        with self.open(path, body) as response:
            return json.load(response)

    def events(self, job_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield kind and data of each event, up to the final one."""
        with self.open(f"/jobs/{job_id}/events") as response:
            kind, data = "", ""
            for raw in response:
                field, _, value = raw.decode("utf-8").rstrip("\r\n").partition(": ")
                if field == "event":
                    kind = value
                elif field == "data":
                    data += value
                elif not field and kind:  # an empty line ends an event
                    yield kind, json.loads(data)
                    kind, data = "", ""


def printable(text: str) -> str:
    """Return a job's text without control characters for the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def titles_of(api: Api, job_id: str) -> dict[int, str]:
    return {step["number"]: step["title"] for step in api.ask(f"/status/{job_id}")["steps"]}


def follow(api: Api, job_id: str) -> str:
    """Show the job's events. Returns the kind of the final one."""
    titles = titles_of(api, job_id)
    line = ""  # the incomplete last line of the output
    thinks = False  # a line with the model's text is open
    for kind, data in api.events(job_id):
        step = data.get("step")
        if kind == "step_started" and step and step not in titles:
            titles = titles_of(api, job_id)  # the model added this step meanwhile
        name = titles.get(step, "") if step else "acceptance command"
        if thinks and kind != "thought":
            print()
            thinks = False
        if kind == "thought":
            indent = "" if thinks else "    ~ "
            print(indent + printable(data.get("text", "")).replace("\n", "\n    ~ "), end="")
            thinks = True
        elif kind == "waiting":
            print(f"  waiting for: {data.get('waiting_for', '')}")
        elif kind == "phase":
            print(f"  {data['phase']}")
        elif kind == "step_started":
            print(f"    step {step}: {printable(name)}")
        elif kind == "output":
            *lines, line = (line + data["text"]).split("\n")
            print("".join(f"      | {printable(whole)}\n" for whole in lines), end="")
        elif kind == "result":
            shown = data.get("data", {}).get("text/plain") or data.get("file", "")
            print("".join(f"      = {printable(whole)}\n" for whole in shown.splitlines()), end="")
        elif kind == "step_ended":
            print(f"      | {printable(line)}\n" if line else "", end="")
            line = ""
            print(f"    step {step}: {data['status']}, exit code {data['exit_code']}")
        else:
            print(f"  {kind}")
        sys.stdout.flush()
        if kind in FINAL:
            return kind
    raise SystemExit("The event stream ended before the job. See: scripts/compose.sh logs orchestrator")


def download(api: Api, status: dict[str, Any], target: Path) -> None:
    """Save the ZIP to a file. Exits if its SHA-256 differs from the status."""
    digest = hashlib.sha256()
    with api.open(status["links"]["download"]) as response, target.open("wb") as file:
        while chunk := response.read(1 << 20):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != status["artifact"]["sha256"]:
        raise SystemExit(
            f"{target} has sha256 {digest.hexdigest()}, but the status says {status['artifact']['sha256']}"
        )


def main() -> int:
    api = Api(base_url(), setting("API_KEY", ""))
    body = BY_MODEL if os.environ.get("DEMO_MODEL", "0") not in ("", "0") else BY_TEMPLATE
    print(f"POST {api.url}/schedule  {json.dumps(body)}")
    job_id = api.ask("/schedule", body)["job_id"]
    print(f"job {job_id}")
    ending = follow(api, job_id)
    status = api.ask(f"/status/{job_id}")
    if status["artifact"] is None:
        print(f"{ending}, and there is no ZIP: {status['detail']}")
        return 1
    target = Path(f"demo-{job_id}.zip")
    download(api, status, target)
    print(f"\n{target}  ({status['artifact']['bytes']:,} bytes, sha256 as the status says)")
    with zipfile.ZipFile(target) as archive:
        for entry in archive.infolist():
            print(f"  {entry.file_size:>9,}  {printable(entry.filename)}")
    print(f"\n{ending} {status['detail']}".rstrip() + f" after {status['timings']['total']:.1f} s. Where to go next:")
    print(f"  the ZIP            {target.resolve()}")
    url, watch = setting("PUBLIC_URL", api.url).rstrip("/"), api.ask("/")["watch"]
    print(f"  API documentation  {url}/docs")
    print(f"  status of the job  {url}/status/{job_id}")
    print(f"  running jobs, live {watch['desktops']}  (their desktops; one to try: docs/live-view.md)")
    print(f"  their notebooks    {watch['notebooks']}")
    print("  stop the system    make down")
    return 0 if ending == "completed" else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except urllib.error.HTTPError as problem:
        sys.exit(f"{problem.url} answered {problem.code}: {problem.read().decode(errors='replace')}")
    except OSError as problem:
        sys.exit(f"{base_url()} does not answer ({problem}). Start the system: make up")
