"""What is written is what is: tables, names and versions of the documents and the images are those of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from conftest import ROOT, System
from test_settings import COMPOSE_ALONE

from orchestrator.db import models
from orchestrator.planning.templates import Templates
from orchestrator.settings import Settings
from protocol import messages as wire

README = (ROOT / "README.md").read_text()
DESIGN = (ROOT / "docs/design.md").read_text()


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


@pytest.mark.parametrize(
    ("heading", "known"),
    [("status", models.STATES), ("reason", models.REASONS), ("waiting for", models.WAITING_FOR)],
)
def test_the_readme_has_the_tables_of_the_code(heading: str, known: dict[str, str]) -> None:
    assert {name: cells[0] for name, cells in table(README, heading).items()} == known


def test_the_readme_has_every_setting() -> None:
    found = table(README, "setting")
    described = {name.upper(): field.description for name, field in Settings.model_fields.items()}
    not_for_compose = {"DOCKER_HOST"}
    assert found.keys() >= COMPOSE_ALONE
    assert {name: cells[1] for name, cells in found.items() if name not in COMPOSE_ALONE} == {
        name: text for name, text in described.items() if name not in not_for_compose
    }


def test_the_readme_shows_every_call(system: System) -> None:
    document = system.http.get("/openapi.json").json()
    for path in document["paths"]:
        plain = re.sub(r"\{(?:job_)?(\w+)\}", r"$\1", path)
        assert f"8000{plain}" in README, f"{path} is not in the README"


def test_the_readme_names_the_phrase_of_every_template() -> None:
    for name, template in Templates().all.items():
        assert template.phrases[0] in README, f"the template {name} is not in the README"


def test_the_wire_speaks_of_the_same_reasons_and_states() -> None:
    assert set(wire.Reason.__args__) <= set(models.REASONS)  # type: ignore[attr-defined]
    assert set(wire.OutcomeStatus.__args__) == set(models.FINAL)  # type: ignore[attr-defined]


def test_the_gateway_says_the_version_of_the_code() -> None:
    assert (ROOT / "novnc/static/version").read_text().strip() == wire.VERSION


@pytest.mark.parametrize(
    "file", ["Dockerfile.agent", "orchestrator/Dockerfile", "novnc/Dockerfile", "model/Dockerfile"]
)
def test_all_images_carry_the_version_of_the_code(file: str) -> None:
    assert f'LABEL containerized-agent.version="{wire.VERSION}"' in (ROOT / file).read_text()


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_the_two_planes_share_the_protocol_alone() -> None:
    for package, others in [
        ("agent", {"orchestrator"}),
        ("orchestrator", {"agent"}),
        ("protocol", {"agent", "orchestrator"}),
    ]:
        for file in (ROOT / package).rglob("*.py"):
            assert not {name.split(".")[0] for name in imports(file)} & others, file
    for image in ("Dockerfile.agent", "orchestrator/Dockerfile"):
        assert re.search(r"^COPY protocol/ ", (ROOT / image).read_text(), re.MULTILINE), image


@pytest.mark.parametrize(
    ("lower", "uppers"),
    [
        ("engines", ["api", "link", "jobs", "db", "planning", "app"]),
        ("llm", ["api", "link", "jobs", "db", "engines", "app"]),
        ("db/store.py", ["api", "link", "jobs", "engines", "app"]),
        ("db/models.py", ["api", "link", "jobs", "db.store", "engines", "app"]),
        ("jobs/finalizer.py", ["api", "link", "jobs.service", "app"]),
        ("jobs/dispatcher.py", ["api", "link", "jobs.service", "jobs.monitor", "app"]),
        ("jobs/monitor.py", ["api", "link", "jobs.service", "app"]),
        ("jobs/service.py", ["api", "link", "app"]),
        ("link", ["api", "app", "engines"]),
        ("gateway", ["api", "link", "app", "engines"]),
        ("live/viewers.py", ["api", "link", "gateway", "jobs.service", "jobs.finalizer", "app"]),
        ("live/grants.py", ["api", "link", "gateway", "live.viewers", "jobs.service", "db.store", "app"]),
    ],
)
def test_arrows_point_one_way(lower: str, uppers: list[str]) -> None:
    place = ROOT / "orchestrator" / lower
    for file in [place] if place.is_file() else place.rglob("*.py"):
        for name in imports(file):
            for upper in uppers:
                assert not re.fullmatch(rf"orchestrator\.{upper}(\..*)?", name), f"{file} imports {name}"


def test_only_the_store_and_the_database_speak_sql() -> None:
    for file in (ROOT / "orchestrator").rglob("*.py"):
        if file.name not in ("store.py", "database.py", "models.py") and "migrations" not in file.parts:
            assert not any(name.split(".")[0] in ("sqlalchemy", "sqlmodel", "sqlite3") for name in imports(file)), file


def test_the_files_that_the_design_names_are_there() -> None:
    house = DESIGN.split("```")[1]
    written = set(re.findall(r"\b[a-z_]+\.py\b", house))
    there = {
        file.name
        for package in ("orchestrator", "agent", "protocol")
        for file in (ROOT / package).rglob("*.py")
        if "migrations" not in file.parts and not file.name.startswith("__")
    }
    assert written == there
