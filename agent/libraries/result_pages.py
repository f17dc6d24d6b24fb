"""Pages and pictures of results that need a browser's scripts, such as charts of plotly, bokeh and vega.

The kernel imports this. A page is a file that shows its result without a notebook. A picture is made only if a package
of the job can make one.
"""

from __future__ import annotations

import html
import importlib.util
import json
import re
import sys
import time
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

PLOTLY, VEGA = "application/vnd.plotly.v1+json", re.compile(r"application/vnd\.vega(lite)?\.v(\d+)[+.]json")
WIDGET = "application/vnd.jupyter.widget-view+json"

#: Seconds after which no more pictures are made in a job.
PICTURE_SECONDS = 30.0

#: Parts of HTML that show nothing, and signs of parts that do.
SILENT = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|<link\b[^>]*>", re.DOTALL | re.IGNORECASE)
VISIBLE = re.compile(r"<(?:canvas|div|iframe|img|svg|table|video)\b|>[^<]*\w|^[^<]*\w", re.IGNORECASE)

PAGE = """<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<title>{title}</title>
</head>
<body>
{body}
</body>
</html>
"""

VEGA_BODY = """<div id="chart"></div>
<script src="https://cdn.jsdelivr.net/npm/vega@{vega}"></script>
<script src="https://cdn.jsdelivr.net/npm/vega-lite@{lite}"></script>
<script src="https://cdn.jsdelivr.net/npm/vega-embed"></script>
<script>vegaEmbed("#chart", {spec})</script>"""


class Pages:
    """Makes pages and pictures of a job's results. Scripts of earlier results that load a library are kept."""

    def __init__(self) -> None:
        self._loads: list[str] = []
        self._before = ""  # the last HTML without a page: bokeh's script fills the element of the result before
        self._picture_seconds = 0.0

    def page(self, data: Mapping[str, Any], folder: Path, longest: int) -> str:
        """Return the page of a result, or an empty text if a notebook shows the result as well.

        ``longest`` is the number of characters of HTML that the notebook takes. Scripts that several pages share go
        into the ``folder``.
        """
        if PLOTLY in data:
            return _plotly(data[PLOTLY], folder)
        markup, script = str(data.get("text/html") or ""), str(data.get("application/javascript") or "")
        vega = next(filter(None, map(VEGA.fullmatch, data)), None)
        if vega and not markup:
            return _vega(data[vega[0]], bool(vega[1]), int(vega[2]))
        tag = f"<script>\n{script}\n</script>" if script else ""
        if is_load(data):
            self._loads.append(markup + tag)
            return ""
        if "<script" not in markup.lower() and not script and len(markup) <= longest:
            self._before = markup
            return ""
        if not markup and not self._before:
            return ""
        body = markup or self._before
        if "<html" in markup[:1000].lower() and not script:
            return markup
        return PAGE.format(title="Result", body="\n".join([*self._loads, body, tag]))

    def picture(self, data: Mapping[str, Any]) -> bytes:
        """Return a PNG of a chart, or nothing if no package of the job can draw it."""
        begun = time.monotonic()
        try:
            if self._picture_seconds > PICTURE_SECONDS:
                return b""
            if PLOTLY in data and importlib.util.find_spec("kaleido"):
                import plotly.io

                return bytes(plotly.io.to_image(_figure(data[PLOTLY]), format="png", validate=False))
            vega = next(filter(None, map(VEGA.fullmatch, data)), None)
            if vega and vega[1] and importlib.util.find_spec("vl_convert"):
                import vl_convert

                return bytes(vl_convert.vegalite_to_png(json.dumps(data[vega[0]]), scale=2))
        except Exception:
            self._picture_seconds = PICTURE_SECONDS  # such as kaleido without a browser
        finally:
            self._picture_seconds += time.monotonic() - begun
        return b""


def is_load(data: Mapping[str, Any]) -> bool:
    """Tell whether a result only loads scripts for later results."""
    markup = str(data.get("text/html") or "")
    return any("_load." in kind for kind in data) or bool(markup and not VISIBLE.search(SILENT.sub("", markup)))


def for_notebook(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result for a notebook. A chart of plotly loads its script itself, because a result may be left out."""
    if PLOTLY not in data or "plotly" not in sys.modules:
        return dict(data)
    import plotly.io

    chart = plotly.io.to_html(_figure(data[PLOTLY]), include_plotlyjs="cdn", full_html=False, validate=False)
    return {**data, "text/html": chart}


def widgets(shown: list[str]) -> tuple[dict[str, Any], str]:
    """Return the present state of all ipywidgets, and a page of the shown ones. Both are empty without ipywidgets."""
    found = sys.modules.get("ipywidgets")
    if not found or not shown:
        return {}, ""
    state = found.Widget.get_manager_state()
    from ipywidgets.embed import embed_snippet
    from ipywidgets.widgets import widget

    known = getattr(widget, "_instances", None) or found.Widget.widgets
    views = [known[name] for name in dict.fromkeys(shown) if name in known]
    return state, PAGE.format(title="Widgets", body=embed_snippet(views=views, state=state["state"])) if views else ""


def _plotly(told: Any, folder: Path) -> str:
    """Return a page for a chart of plotly. It loads plotly's script from the folder, or from its site."""
    figure = _figure(told)
    if "plotly" in sys.modules:
        import plotly.io
        import plotly.offline

        script = folder / "plotly.min.js"
        if not script.exists():
            folder.mkdir(exist_ok=True)
            script.write_text(plotly.offline.get_plotlyjs(), "utf-8")
        config = told.get("config") if isinstance(told, dict) else None
        return str(plotly.io.to_html(figure, config=config, include_plotlyjs="directory", validate=False))
    body = (
        '<div id="chart"></div>\n<script src="https://cdn.plot.ly/plotly-3.0.0.min.js"></script>\n'
        f'<script>Plotly.newPlot("chart", {_script(figure)})</script>'
    )
    return PAGE.format(title="Chart", body=body)


def _figure(told: Any) -> dict[str, Any]:
    figure = json.loads(told) if isinstance(told, str) else told
    return {name: part for name, part in figure.items() if name in ("data", "layout", "frames")}


def _vega(spec: Any, lite: bool, version: int) -> str:
    versions = {"vega": version if not lite else max(5, version), "lite": version if lite else max(5, version)}
    title = html.escape(str(spec.get("title", "Chart")) if isinstance(spec, dict) else "Chart")
    return PAGE.format(title=title, body=VEGA_BODY.format(spec=_script(spec), **versions))


def _script(value: Any) -> str:
    """Return JSON that cannot end the script around it."""
    return (value if isinstance(value, str) else json.dumps(value)).replace("</", "<\\/")
