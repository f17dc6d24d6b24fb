"""A file has its own name after a download, whatever the name and whichever the client."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from orchestrator.api.file_response import attachment
from tests.support.system import System

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: Names of files. curl cannot save a double quote; it gets ``_``.
NAMES = [
    "plain.txt", "with space.csv", "a#b.csv", "100%.txt", "über.html", "naïve café.txt", "报告 v2.pdf", "報告書.xlsx",
    "отчёт.csv", "दस्तावेज़.txt", "emoji 😀.txt", "semi;colon, comma.txt", "it's.txt", "a+b.txt", "a=b&c?.txt", ".hidden",
    "two.dots.tar.gz", "=?utf-8?B?eA==?=.txt", "(1) [2] {3}.txt", "字" * 24 + ".txt", 'quo"te.txt', "100%25.txt",
    "%E6%8A%A5.txt",
]  # fmt: skip

#: wget decodes these names, whatever the header says.
NOT_BY_WGET = ("100%25.txt", "%E6%8A%A5.txt")


@pytest.fixture(scope="module")
def jobs(engine: None) -> Iterator[tuple[System, dict[str, str]]]:
    """Two jobs with files of these names: one runs, one has ended. One name is that of an uploaded file."""
    code = f"for name in {NAMES[1:]!r}:\n    open(name, 'w').write('content')\nprint('ready', flush=True)"
    one = System(MAX_CONCURRENT_JOBS="2")
    try:
        one.start()
        found = {}
        for state, rest in {"running": "\nimport time; time.sleep(600)", "ended": ""}.items():
            steps = (None, f'[{{"kind": "python", "code": {json.dumps(code + rest)}}}]')
            answer = one.http.post("/schedule", files=[("steps", steps), ("files", (NAMES[0], b"content"))])
            found[state] = answer.json()["job_id"]
        one.says(found["running"], "ready")
        one.completed(found["ended"])
        yield one, found
    finally:
        one.close()


def saved(folder: Path, *command: str) -> list[str]:
    """Run a command that saves files in a folder, and return their names."""
    folder.mkdir()
    run = subprocess.run(command, cwd=folder, env={**os.environ, "LC_ALL": "C.UTF-8"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for path in folder.iterdir():
        assert path.read_bytes()
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("state", ["running", "ended"])
def test_curl_and_wget_save_a_file_under_its_own_name(
    jobs: tuple[System, dict[str, str]], tmp_path: Path, state: str
) -> None:
    system, found = jobs
    for number, name in enumerate(NAMES):
        url = f"{system.http.base_url}/jobs/{found[state]}/files/{quote(name)}"
        assert saved(tmp_path / f"curl{number}", "curl", "-sSfOJ", url) == [name.replace('"', "_")], name
        if name not in NOT_BY_WGET:
            assert saved(tmp_path / f"wget{number}", "wget", "-q", "--content-disposition", url) == [name], name


@pytest.mark.parametrize("state", ["running", "ended"])
def test_a_browser_saves_a_file_under_its_own_name(
    jobs: tuple[System, dict[str, str]], browser: Browser, state: str
) -> None:
    system, found = jobs
    forbidden = str.maketrans('"?', "__")  # in the names of a browser's downloads
    with browser.new_context(accept_downloads=True) as context:
        page = context.new_page()
        page.goto(f"{system.http.base_url}/docs")
        for name in NAMES:
            if name.startswith("."):
                continue  # a browser takes the dot away
            url = f"/jobs/{found[state]}/files/{quote(name)}"
            with page.expect_download() as download:
                page.evaluate("url => { location.href = url }", url)
            assert download.value.suggested_filename == name.translate(forbidden), name


def test_zip_log_and_notebook_are_saved_under_the_name_of_the_job(
    jobs: tuple[System, dict[str, str]], tmp_path: Path
) -> None:
    system, found = jobs
    job = found["ended"]
    for path, name in {f"download/{job}": f"{job}.zip", f"jobs/{job}/notebook": f"{job}.ipynb"}.items():
        url = f"{system.http.base_url}/{path}"
        for client in (("curl", "-sSfOJ"), ("wget", "-q", "--content-disposition")):
            assert saved(tmp_path / f"{client[0]}{name[-4:]}", *client, url) == [name]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.b", "a.b"),
        ('a"b', "a_b"),
        ("a\\b", "a_b"),
        ("a\nb\t\x7f", "a_b__"),
        ("é", "é"),
        ("a%41", "a%41"),
        ("\x85", "\x85"),
    ],
)
def test_the_header_has_the_name_in_both_forms(name: str, plain: str) -> None:
    header = attachment(name).encode("latin-1").decode()
    both = "" if name == "a.b" else f"; filename*=UTF-8''{quote(name, safe='')}"
    assert header == f'attachment; filename="{plain}"{both}'
