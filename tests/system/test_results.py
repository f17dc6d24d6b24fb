"""What results need beside text: valid JSON, scripts of a browser, the state of widgets, and pages in the ZIP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.notebook import cells, ended
from tests.support.steps import file, python
from tests.support.system import System

DISPLAY = "from IPython.display import HTML, JSON, display\n"


def strict(text: bytes | str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def shown(system: System, *steps: dict[str, Any]) -> tuple[list[dict[str, Any]], Any]:
    """The outputs of the last step in the notebook, and the ZIP."""
    job, found = ended(system, *steps)
    assert found["status"] == "completed", f"{found}\n{system.output(job)}"
    artifact = system.zip(job)
    notebook = strict(artifact.read("session.ipynb"))
    assert strict(system.http.get(f"/jobs/{job}/notebook").text) == notebook
    return cells(notebook)[f"step-{len(steps)}"]["outputs"], artifact


def test_json_of_a_result_is_valid_whatever_its_numbers_are(system: System) -> None:
    code = (
        f"{DISPLAY}display({{'application/json': {{'a': float('nan'), 'b': [float('inf'), {{1}}]}}}}, raw=True)\n"
        "display(JSON({'c': float('-inf')}))\n"
        "class Own:\n    def _repr_json_(self): return {'d': float('nan')}\nOwn()"
    )
    outputs, _ = shown(system, python(code))
    found = [output["data"]["application/json"] for output in outputs]
    assert found == [{"a": None, "b": [None, "{1}"]}, {"c": None}, {"d": None}]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("application/vnd.plotly.v1+json", {"data": [{"y": [1, 2]}], "layout": {}}),
        ("application/vnd.vegalite.v5+json", {"mark": "bar", "data": {"values": [{"a": "</script>"}]}}),
        ("application/geo+json", {"type": "Point", "coordinates": [1, 2]}),
    ],
)
def test_a_chart_that_needs_a_browser_keeps_its_type_and_has_a_page(system: System, kind: str, value: Any) -> None:
    code = f"{DISPLAY}display({{{kind!r}: {value!r}, 'text/plain': 'a chart'}}, raw=True)"
    outputs, artifact = shown(system, python(code))
    assert outputs[0]["data"] == {kind: value, "text/plain": "a chart"}
    if kind == "application/geo+json":
        assert len(outputs) == 1 and not artifact.paths
        return
    page = "figures/figure-1.html"
    assert artifact.paths == {page}
    assert f'href="workspace/{page}"' in outputs[1]["data"]["text/html"]
    assert f"[{page}](workspace/{page})" in artifact.report and f"[{page}]" in artifact.output_log
    text = artifact.text(page)
    assert text.startswith("<!DOCTYPE html>") and '"values": [{"a": "</script>' not in text


def test_html_that_is_too_long_for_the_notebook_is_a_page(system: System) -> None:
    outputs, artifact = shown(system, python(f"{DISPLAY}display(HTML('<table>' + '<tr><td>ü</td></tr>' * 20_000))"))
    assert "text/html of 380,007 characters is in figures/figure-1.html alone" in outputs[0]["data"]["text/plain"]
    assert artifact.text("figures/figure-1.html").count("<td>ü</td>") == 20_000


def test_a_script_that_fills_the_result_before_is_in_a_page_with_it(system: System) -> None:
    code = (
        f"{DISPLAY}kind, load = 'application/javascript', 'application/vnd.bokehjs_load.v0+json'\n"
        "display({kind: 'load_library()', load: ''}, raw=True)\n"
        "display({'text/html': '<div id=\"chart\"></div>'}, raw=True)\n"
        "display({kind: 'fill(\"chart\")'}, raw=True)\n"
    )
    outputs, artifact = shown(system, python(code))
    assert outputs[2]["data"] == {"application/javascript": 'fill("chart")'}
    page = artifact.text("figures/figure-1.html")
    places = [page.index(part) for part in ("load_library()", '<div id="chart">', 'fill("chart")')]
    assert places == sorted(places) and artifact.paths == {"figures/figure-1.html"}


#: What the kernel uses of ipywidgets, which the image does not have.
WIDGETS = {
    "ipywidgets/__init__.py": """
from ipywidgets.widgets import widget
class Widget:
    widgets = widget._instances
    value = 3
    def __init__(self): self.widgets["slider"] = self
    def _repr_mimebundle_(self, **options):
        return {"application/vnd.jupyter.widget-view+json": {"model_id": "slider"}, "text/plain": "a slider"}
    @staticmethod
    def get_manager_state():
        return {"version_major": 2, "state": {name: {"v": one.value} for name, one in widget._instances.items()}}
""",
    "ipywidgets/widgets/__init__.py": "",
    "ipywidgets/widgets/widget.py": "_instances = {}\n",
    "ipywidgets/embed.py": "def embed_snippet(views, state): return f'<p>{state} of {len(views)}</p>'\n",
}


def test_the_last_state_of_widgets_is_in_the_notebook_and_in_a_page(system: System) -> None:
    files = [file(path, content) for path, content in WIDGETS.items()]
    first = python("import ipywidgets\nslider = ipywidgets.Widget()\nslider")
    job, found = ended(system, *files, first, python("slider.value = float('nan')"), python("slider.value = 7"))
    assert found["status"] == "completed", f"{found}\n{system.output(job)}"
    artifact = system.zip(job)
    notebook = strict(artifact.read("session.ipynb"))
    state = notebook["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]
    assert state == {"version_major": 2, "state": {"slider": {"v": 7}}}
    outputs = cells(notebook)["step-5"]["outputs"]
    assert outputs[0]["data"]["application/vnd.jupyter.widget-view+json"] == {"model_id": "slider"}
    assert "'v': 7" in artifact.text("figures/figure-1.html") and "figures/figure-2.html" not in artifact.paths
