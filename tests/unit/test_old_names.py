"""Old names of libraries are replaced exactly, and other code stays as it is."""

from __future__ import annotations

import pytest

from orchestrator.planning.kinds import FileStep, PythonStep, ShellStep
from orchestrator.reasoning.old_names import renew


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("df.applymap(f)", "df.map(f)"),
        ("s.str.lower().strip()", "s.str.lower().str.strip()"),
        ("for k, v in d.iteritems(): pass", "for k, v in d.items(): pass"),
        ("im.resize(s, Image.ANTIALIAS)", "im.resize(s, Image.LANCZOS)"),
        ("x.astype(np.float)", "x.astype(float)"),
        ("np.float_(1)", "np.float64(1)"),
        ("np.complex_(1)", "np.complex128(1)"),
        ("pd.read_csv(f, delim_whitespace=True)", 'pd.read_csv(f, sep=r"\\s+")'),
        ("pd.to_datetime(s, infer_datetime_format=True)", "pd.to_datetime(s)"),
        ("s.fillna(method='ffill')", "s.ffill()"),
        ("plt.style.use('seaborn')", "plt.style.use('seaborn-v0_8')"),
        ("plt.style.use('seaborn-darkgrid')", "plt.style.use('seaborn-v0_8-darkgrid')"),
    ],
)
def test_an_old_name_becomes_the_current_one(old: str, new: str) -> None:
    (step, file), notes = renew([PythonStep(kind="python", code=old), FileStep(kind="file", path="a.py", content=old)])
    assert isinstance(step, PythonStep) and isinstance(file, FileStep)
    assert (step.code, file.content) == (new, new)
    assert [note.split(":")[0] for note in notes] == [
        "Replaced old names in the code", "Replaced old names in a.py",
    ]  # fmt: skip
    assert renew([step])[1] == []


@pytest.mark.parametrize("code", ["np.float64(1)", "np.int_(1)", "df.map(f)", "plt.style.use('ggplot')", "x.boolean"])
def test_current_code_stays(code: str) -> None:
    assert renew([PythonStep(kind="python", code=code)]) == ([PythonStep(kind="python", code=code)], [])


def test_only_python_is_changed() -> None:
    steps = [
        ShellStep(kind="shell", script="echo .applymap("),
        FileStep(kind="file", path="a.md", content=".applymap("),
    ]
    assert renew(steps) == (steps, [])
