"""What is written is what is: tables, names and versions of the documents and the images are those of the code."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from orchestrator.api.schemas import ScheduleForm
from orchestrator.db import models
from orchestrator.planning.templates import Templates
from orchestrator.settings import Settings
from protocol import messages
from tests.support.system import COMPOSE_ALONE, ROOT, System, env_example

README = (ROOT / "README.md").read_text()
API = (ROOT / "docs/api.md").read_text()
DESIGN = (ROOT / "docs/architecture.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])

#: Where the examples of the pages find the system.
EXAMPLE = "http://127.0.0.1:8000"


def table(text: str, heading: str) -> dict[str, list[str]]:
    """A Markdown table by its first heading: first cell → the others."""
    lines = text.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = {}
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            break
        first, *rest = (cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|")))
        rows[first.strip("`")] = rest
    return rows


def fences(text: str, language: str = "") -> list[str]:
    """The fenced blocks of one language; without a language, those that name none."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))


def links(page: Path) -> list[str]:
    """The targets of all links and pictures of a page."""
    return re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text()))


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M), re.M):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 0
        while (unique := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(unique)
    return found


# ── the pages ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_readme_fits_its_size() -> None:
    assert len(README.splitlines()) <= 220


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_checkout_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() and target.is_relative_to(ROOT), f"{link}: there is no such file"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        seen.add(page)
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if ":" not in link]
        left += [target for target in targets if target.suffix == ".md" and target not in seen]
    assert seen >= set(PAGES)


def test_every_page_of_the_docs_begins_with_what_its_reader_can_do() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        _, _, begin = page.read_text().partition("\n\n")
        assert begin.startswith("After reading this page you "), page.name


def test_the_pictures_are_small() -> None:
    pictures = list((ROOT / "docs/images").iterdir())
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < 150_000, picture.name
        assert any(link.endswith(f"images/{picture.name}") for page in PAGES for link in links(page)), picture.name


def test_the_session_of_the_readme_runs_and_prints_what_it_says(system: System, tmp_path: Path) -> None:
    (script,) = [block for block in fences(README, "bash") if "curl" in block]
    printed = README.partition(script)[2].partition("```\n\n```\n")[2].partition("```")[0]
    (tmp_path / "templates").symlink_to(ROOT / "templates")
    script = script.replace(EXAMPLE, str(system.http.base_url).rstrip("/"))
    assert str(system.port) in script
    run = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout == printed and printed, run.stderr
    (archive,) = tmp_path.glob("*.zip")
    told = {line.split()[0].strip("/") for block in fences(README) if "manifest.json" in block for line in
            block.splitlines() if re.match(r"[\w.]+/?  +\S", line)}  # fmt: skip
    assert {path.name for path in archive.with_suffix("").iterdir()} == told


def test_the_error_that_the_page_shows_is_the_systems(parked: System) -> None:
    (example,) = [json.loads(block) for block in fences(API, "json") if "errors" in block]
    answer = parked.http.post("/schedule", json={"promt": "Hello world"})
    assert answer.json() == example


def test_the_statuses_that_the_page_explains_are_those_of_the_document(system: System) -> None:
    document = system.http.get("/openapi.json").json()
    known = {status for path in document["paths"].values() for call in path.values() for status in call["responses"]}
    explained = set(re.findall(r"\d{3}", " ".join(table(API.partition("## Errors")[2], "status"))))
    assert explained == {status for status in known if status >= "400"}


# ── the pages and the code ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("heading", "known"),
    [("status", models.STATES), ("reason", models.REASONS), ("waiting for", models.WAITING_FOR)],
)
def test_the_pages_have_the_tables_of_the_code(heading: str, known: dict[str, str]) -> None:
    assert {name: cells[0] for name, cells in table(API, heading).items()} == known


def test_the_fields_of_a_request_are_those_of_the_code() -> None:
    assert table(API, "field").keys() == ScheduleForm.model_fields.keys()


def test_the_pages_have_every_setting_with_its_default() -> None:
    found = table((ROOT / "docs/settings.md").read_text(), "setting")
    described = {name.upper(): field.description for name, field in Settings.model_fields.items()}
    not_for_compose = {"DOCKER_HOST"}
    assert found.keys() >= COMPOSE_ALONE
    assert {name: cells[1] for name, cells in found.items() if name not in COMPOSE_ALONE} == {
        name: text for name, text in described.items() if name not in not_for_compose
    }
    computed = {"MAX_CONCURRENT_JOBS"}
    assert {name: cells[0].strip("`") for name, cells in found.items() if name not in computed} == {
        name: value for name, value in env_example().items() if name not in computed
    }


def test_the_pages_show_every_call(system: System) -> None:
    document = system.http.get("/openapi.json").json()
    for path in document["paths"]:
        plain = re.sub(r"\{(?:job_)?(\w+)\}", r"$\1", path)
        assert f"8000{plain}" in API, f"{path} is not in docs/api.md"


def test_the_pages_name_the_phrase_of_every_template() -> None:
    page = (ROOT / "docs/templates.md").read_text()
    for name, template in Templates().all.items():
        assert re.search(rf"^\| {re.escape(template.phrases[0])} \| `{name}` \|", page, re.MULTILINE), name


def test_the_wire_speaks_of_the_same_reasons_and_states() -> None:
    assert set(messages.Reason.__args__) <= set(models.REASONS)  # type: ignore[attr-defined]
    assert set(messages.OutcomeStatus.__args__) == set(models.FINAL)  # type: ignore[attr-defined]


def test_the_gateway_says_the_version_of_the_code() -> None:
    assert (ROOT / "novnc/static/version").read_text().strip() == messages.VERSION


@pytest.mark.parametrize(
    "file", ["Dockerfile.agent", "orchestrator/Dockerfile", "novnc/Dockerfile", "model/Dockerfile"]
)
def test_all_images_carry_the_version_of_the_code(file: str) -> None:
    assert f'LABEL containerized-agent.version="{messages.VERSION}"' in (ROOT / file).read_text()


@pytest.mark.parametrize("file", ["Dockerfile.agent", "orchestrator/Dockerfile"])
def test_the_images_of_both_sides_carry_the_protocol(file: str) -> None:
    assert re.search(r"^COPY protocol/ ", (ROOT / file).read_text(), re.MULTILINE)


def test_the_architecture_has_a_row_for_each_package_with_all_its_modules() -> None:
    rows = {
        name: set(re.findall(r"`(\w+\.py)`", row))
        for name, row in re.findall(r"^\| `((?:protocol|orchestrator|agent)[\w/]*)/` (.*)$", DESIGN, re.M)
    }
    there: dict[str, set[str]] = {}
    for package in ("protocol", "orchestrator", "agent"):
        for file in (ROOT / package).rglob("*.py"):
            folder = file.parent.relative_to(ROOT)
            if file.name != "__init__.py" and "migrations" not in folder.parts:
                there.setdefault(str(folder), set()).add(file.name)
    assert rows == there


def test_the_architecture_tells_the_layers_that_import_linter_holds() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    for container in ("orchestrator", "orchestrator.jobs", "agent"):
        (layers,) = [one["layers"] for one in contracts if one.get("containers") == [container]]
        (told,) = re.findall(rf"^{re.escape(container)}: (.*(?:\n  .*)*)$", DESIGN, re.MULTILINE)
        assert [re.split(r", ", part.strip()) for part in told.split("→")] == [one.split(" | ") for one in layers]
