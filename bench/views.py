"""Measures views: from opening a link to a desktop's first pixel, and to Jupyter Lab's page.

Each round has a new job that no client has viewed, so its services are cold. The browser already runs.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

IMAGE = os.environ.get("GATEWAY_IMAGE", "containerized-agent-novnc:latest")

#: Number of rounds. The first one does not count, because it reads the image from the disk.
MOST = 6

#: Processes of a job that exist only for viewers.
SERVICES = ("Xtigervnc", "openbox", "xterm", "agent.children.viewer_proxy", "lab_server.py")

#: True as soon as the desktop shows more than one colour.
PIXELS = """() => {
    const canvas = document.querySelector("#screen canvas");
    if (!canvas || !canvas.width) return false;
    const pixels = new Uint32Array(
        canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    return pixels.some(pixel => pixel !== pixels[0] && pixel !== 0);
}"""

#: The measured job: a python step that starts a kernel, and a step that continues.
STEPS = [{"kind": "python", "code": "x = 1\nx"}, {"kind": "shell", "script": "echo ready; sleep 600"}]

Call = Callable[..., Any]


@contextmanager
def gateway(run_dir: Path, desktop_port: int, notebook_port: int) -> Iterator[None]:
    """Start the live gateway for our system, as docker-compose.yml does."""
    name = f"containerized-agent-bench-{desktop_port}"
    subprocess.run(
        [
            "docker", "run", "--detach", "--name", name, "--network", "host", "--read-only", "--tmpfs=/tmp",
            "--cap-drop", "ALL", "--cap-add", "SETUID", "--cap-add", "SETGID", "--cap-add", "SETPCAP",
            "--security-opt", "no-new-privileges",
            "--volume", f"{run_dir}/live:{run_dir}/live:ro", "--volume", f"{run_dir}/gateway:{run_dir}/gateway:ro",
            "--env", f"RUN_DIR={run_dir}", "--env", f"DESKTOP_PORT={desktop_port}",
            "--env", f"NOTEBOOK_PORT={notebook_port}", IMAGE,
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    try:
        while subprocess.run(["docker", "exec", name, "health.sh"], capture_output=True).returncode:
            time.sleep(0.05)
        yield
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)


def in_lab(page: Any, selector: str) -> None:
    """Wait for an element in Jupyter Lab's frame."""
    page.frame_locator("iframe").locator(selector).first.wait_for()


#: The service, the awaited event, and its limit in milliseconds.
SEEN: dict[str, tuple[str, int | None, Callable[[Any], object]]] = {
    "desktop: link to first pixel": ("desktop", 1000, lambda page: page.wait_for_function(PIXELS, polling=10)),
    "notebook: link to Lab's page": ("notebook", 3000, lambda page: in_lab(page, ".jp-LabShell")),
    "notebook: link to its cells": ("notebook", None, lambda page: in_lab(page, ".jp-Notebook .jp-Cell")),
}


def measure(call: Call, base: str, rounds: int) -> None:
    """Print the figures of some rounds. Fail if an unviewed job runs any process for viewers."""
    took: dict[str, list[float]] = {name: [] for name in SEEN}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(min(rounds, MOST) + 1):
            for name, (service, _, seen) in SEEN.items():
                took[name].append(one(call, base, browser, seen, service))
        browser.close()
    print(f"\nviews, cold, {min(rounds, MOST)} rounds; milliseconds\n\n{'':32}{'median':>8}{'min':>8}{'max':>8}")
    for name, values in took.items():
        kept, most = values[1:], SEEN[name][1]  # in the first round the browser is cold too
        bound = f"   may be {most}" if most else ""
        print(f"{name:32}{statistics.median(kept):8.0f}{min(kept):8.0f}{max(kept):8.0f}{bound}")
    print("\nan unviewed job runs no process for viewers")


def one(call: Call, base: str, browser: Browser, seen: Callable[[Any], object], service: str) -> float:
    """Return the milliseconds from opening a link to a new job's service until it is visible."""
    job = call(base, "/schedule", {"steps": STEPS})["job_id"]
    while (status := call(base, f"/status/{job}"))["steps"][1]["status"] != "running":
        time.sleep(0.02)
    listed = subprocess.run(
        ["docker", "top", f"containerized-agent-{status['sandbox']}", "-o", "pid,args"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    if unwanted := [name for name in SERVICES if name in listed]:
        raise SystemExit(f"An unviewed job runs {unwanted}.")
    links = status["views"]
    context = browser.new_context()
    page = context.new_page()
    begin = time.perf_counter()
    page.goto(links["notebook"] if service == "notebook" else links["desktop"]["watch"], wait_until="commit")
    seen(page)
    took = (time.perf_counter() - begin) * 1000
    context.close()
    call(base, f"/cancel/{job}", {})
    while call(base, f"/status/{job}")["status"] == "running":
        time.sleep(0.02)
    return took
