"""Imports that a model forgets are added without asking it."""

from __future__ import annotations

import ast

import pytest

from orchestrator.db.models import Step
from orchestrator.reasoning.missing_imports import IMPORTS, with_imports
from protocol import messages


def problem(number: int, *names: str) -> messages.SourceProblem:
    return messages.SourceProblem(number, 1, f"NameError: not defined: {', '.join(names)}. Import or define it.", "")


def step(number: int, source: str, path: str = "a.py", status: str = "waiting") -> Step:
    kind = "file" if path else "python"
    return Step(job_id="j", number=number, kind=kind, title="", source=source, path=path, status=status)


def mended(source: str, *names: str) -> str:
    (row,), _ = with_imports([step(1, source)], [problem(1, *names)])
    return row.source


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("print(json)\n", "import json\nprint(json)\n"),
        (
            "#!/usr/bin/env python3\n# why\n\nprint(json)\n",
            "#!/usr/bin/env python3\n# why\n\nimport json\nprint(json)\n",
        ),
        ('"""One."""\nprint(json)\n', '"""One."""\nimport json\nprint(json)\n'),
        ('"""One.\n\nMore.\n"""\n\nprint(json)\n', '"""One.\n\nMore.\n"""\nimport json\n\nprint(json)\n'),
        (
            '"""One."""\nfrom __future__ import annotations\nprint(json)\n',
            '"""One."""\nfrom __future__ import annotations\nimport json\nprint(json)\n',
        ),
        ("'''open\nprint(json)\n", "import json\n'''open\nprint(json)\n"),
    ],
)
def test_an_import_stands_where_python_takes_it(source: str, expected: str) -> None:
    assert mended(source, "json") == expected


def test_all_that_a_source_lacks_is_added_and_said() -> None:
    rows, notes = with_imports(
        [step(1, "done", status="completed"), step(2, "x: List = np.array(1)\n"), step(3, "print(os)", path="")],
        [problem(2, "List", "np"), problem(3, "os")],
    )
    assert [row.source for row in rows] == [
        "from typing import List\nimport numpy as np\nx: List = np.array(1)\n",
        "import os\nprint(os)",
    ]
    assert notes == [
        "Added what a.py uses and did not import: from typing import List; import numpy as np",
        "Added what step 3 uses and did not import: import os",
    ]


def test_a_name_of_another_file_is_imported_from_there() -> None:
    rows = [
        step(1, "def total(items):\n    return sum(items)\n", "totals.py"),
        step(2, "print(total([1]))", "test_it.py"),
    ]
    mended, _ = with_imports(rows, [problem(2, "total")])
    assert [row.source for row in mended] == [rows[0].source, "from totals import total\nprint(total([1]))"]
    inside = [step(1, "    def total(items): ...", "totals.py"), step(2, "print(total([1]))", "test_it.py")]
    assert with_imports(inside, [problem(2, "total")]) == ([], [])


@pytest.mark.parametrize(
    "problems",
    [
        [problem(1, "json", "spam")],
        [problem(1, "json"), messages.SourceProblem(2, 1, "SyntaxError: invalid syntax", "")],
        [messages.SourceProblem(1, 1, "NameError: not defined: json; import os. Import or define it.", "")],
        [],
    ],
)
def test_nothing_is_added_if_that_does_not_mend_all(problems: list[messages.SourceProblem]) -> None:
    assert with_imports([step(1, "print(json)"), step(2, "print(")], problems) == ([], [])


def test_each_import_defines_its_name_and_nothing_else() -> None:
    for name, line in IMPORTS.items():
        (node,) = ast.parse(line).body
        assert isinstance(node, ast.Import | ast.ImportFrom)
        assert [alias.asname or alias.name for alias in node.names] == [name]
