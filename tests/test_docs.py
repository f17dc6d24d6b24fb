"""What is written is what is: tables, names and versions of the documents and the images are those of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from conftest import ROOT, System
from test_settings import COMPOSE_ALONE

from agent import wire
from orchestrator import models
from orchestrator.settings import Settings
from orchestrator.templates import Templates

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


def modules(of: set[str], package: str) -> set[str]:
    """The modules of a package that are among imported names."""
    return {
        name for name in of if name.startswith(f"{package}.") and (ROOT / (name.replace(".", "/") + ".py")).exists()
    }


def test_the_two_planes_share_the_wire_and_what_makes_a_zip_alone() -> None:
    for file in (ROOT / "agent").rglob("*.py"):
        assert not any(name.startswith("orchestrator") for name in imports(file)), file
    shared = set()
    for file in (ROOT / "orchestrator").rglob("*.py"):
        shared |= modules(imports(file), "agent")
    assert shared == {"agent.wire", "agent.artifact", "agent.names", "agent.redaction"}
    image = (ROOT / "orchestrator/Dockerfile").read_text()
    for name in shared:
        assert f"{name.replace('.', '/')}.py" in image, f"{name} is not in the orchestrator's image"
        assert not modules(imports(ROOT / (name.replace(".", "/") + ".py")), "agent") - shared


@pytest.mark.parametrize(
    ("lower", "uppers"),
    [
        ("engines", ["api", "link", "scheduler", "closing", "store", "models", "plan", "app"]),
        ("llm", ["api", "link", "scheduler", "closing", "store", "models", "engines", "app"]),
        ("store.py", ["api", "link", "scheduler", "closing", "engines", "app"]),
        ("models.py", ["api", "link", "scheduler", "closing", "store", "engines", "app"]),
        ("closing.py", ["api", "link", "scheduler", "app"]),
        ("starting.py", ["api", "link", "scheduler", "watching", "app"]),
        ("watching.py", ["api", "link", "scheduler", "app"]),
        ("scheduler.py", ["api", "link", "app"]),
        ("creation.py", ["api", "link", "app"]),
        ("link", ["api", "app", "engines"]),
        ("gateway", ["api", "link", "app", "engines"]),
        ("views.py", ["api", "link", "gateway", "scheduler", "closing", "app"]),
        ("signing.py", ["api", "link", "gateway", "views", "scheduler", "store", "app"]),
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
    for name in re.findall(r"\b[a-z_]+\.py\b", house):
        assert list(ROOT.glob(f"orchestrator/**/{name}")) or list(ROOT.glob(f"agent/**/{name}")), name
    written = set(re.findall(r"\b[a-z_]+\.py\b", house))
    for file in [*(ROOT / "orchestrator").glob("*.py"), *(ROOT / "agent").glob("*.py")]:
        if not file.name.startswith("__init__"):
            assert file.name.strip("_") in {name.strip("_") for name in written} or file.name in (
                "job.py", "sizes.py", "__main__.py",
            ), f"{file} is not in docs/design.md"  # fmt: skip
