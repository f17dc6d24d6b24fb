"""The direction of imports that import-linter does not hold: production code, the tests, and their support."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.system import ROOT

#: Folders of production code, of which none may import a test.
PRODUCTION = ("orchestrator", "agent", "protocol", "skill", "bench", "scripts", "templates")

#: Folders of test modules. They share code through tests/support only.
TESTS = sorted(path.name for path in (ROOT / "tests").iterdir() if any(path.glob("test_*.py")))


def imported(path: Path) -> Iterator[str]:
    """Yield the full names of the modules and objects that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imports_of(folder: Path, *forbidden: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted(folder.rglob("*.py"))
        for name in imported(path)
        if any(name == one or name.startswith(f"{one}.") for one in forbidden)
    ]


@pytest.mark.parametrize("folder", PRODUCTION)
def test_production_code_imports_no_test(folder: str) -> None:
    assert any((ROOT / folder).rglob("*.py"))
    assert imports_of(ROOT / folder, "tests") == []


def test_the_support_of_tests_imports_no_test_module() -> None:
    assert TESTS == ["docs", "providers", "security", "system", "unit"]
    assert imports_of(ROOT / "tests/support", *(f"tests.{name}" for name in TESTS)) == []


@pytest.mark.parametrize("folder", TESTS)
def test_no_test_module_imports_another(folder: str) -> None:
    assert imports_of(ROOT / "tests" / folder, *(f"tests.{name}" for name in TESTS)) == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import tests.unit.test_x", "tests.unit.test_x"),
        ("from tests.unit import test_x", "tests.unit.test_x"),
        ("from tests import unit", "tests.unit"),
        ("def f():\n    from ..unit import test_x", "tests.unit.test_x"),
    ],
)
def test_every_form_of_an_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, name: str) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    file = tmp_path / "tests/support/one.py"
    file.parent.mkdir(parents=True)
    file.write_text(line)
    assert list(imported(file)) == [name]
