"""What is written is what is: tables, names and versions of the documents and the images are those of the code."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT, System
from test_settings import COMPOSE_ALONE

from orchestrator.db import models
from orchestrator.planning.templates import Templates
from orchestrator.settings import Settings
from protocol import messages

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
