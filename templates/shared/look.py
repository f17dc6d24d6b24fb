"""The look of the reports: one HTML page that needs no other file, light or dark as the reader's system asks."""

import base64
from html import escape

STYLE = """
:root { color-scheme: light dark; --page: #f3f4f6; --card: #fff; --ink: #111827; --soft: #5b6472; --line: #e5e7eb;
  --blue: #2563eb; --bar: #93b4f5; --bad: #dc2626; --warn: #b45309; --note: #fffbeb; --note-line: #fde68a; }
@media (prefers-color-scheme: dark) { :root { --page: #0f141b; --card: #18202b; --ink: #e6e9ee; --soft: #9aa5b4;
  --line: #2c3644; --blue: #7fa8ff; --bar: #3d5f9e; --bad: #f87171; --warn: #fbbf24; --note: #2a2412;
  --note-line: #5c4d1a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 28px 56px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -.015em; overflow-wrap: anywhere; }
h2 { font-size: 21px; margin: 44px 0 4px; overflow-wrap: anywhere; }
h3 { font-size: 15px; margin: 32px 0 10px; }
.about { color: var(--soft); margin: 0; overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px; margin: 22px 0; }
.figures div, figure, .wide { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.figures div { padding: 12px 16px; color: var(--soft); }
.figures b { display: block; font-size: 24px; line-height: 1.25; color: var(--ink);
  font-variant-numeric: tabular-nums; }
.figures .bad b { color: var(--bad); } .figures .warn b { color: var(--warn); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 16px;
  align-items: start; }
figure { margin: 0; padding: 10px; break-inside: avoid; }
img { display: block; width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { padding: 8px 12px; text-align: left; vertical-align: top; border-top: 1px solid var(--line);
  min-width: 72px; max-width: 320px; overflow-wrap: anywhere; }
thead th { border-top: 0; color: var(--soft); font-weight: 600; overflow-wrap: normal; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.number { text-align: right; }
.kind { color: var(--blue); white-space: nowrap; }
.none { color: var(--soft); }
code { font: 12.5px/1.5 ui-monospace, Menlo, Consolas, monospace; }
ul.notes { background: var(--note); border: 1px solid var(--note-line); border-radius: 10px; margin: 16px 0;
  padding: 12px 16px 12px 34px; overflow-wrap: anywhere; }
@media print { body { background: #fff; } main { padding: 0; max-width: none; } }
@media (max-width: 520px) { main { padding: 24px 14px; } }
"""


def page(title: str, language: str, body: str, style: str = "") -> str:
    """Return the whole page. ``language`` is its code, ``body`` is HTML, and ``style`` adds to the common style."""
    return (
        f'<!doctype html>\n<html lang="{language}">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}{style}</style>\n'
        f"<main>\n<h1>{escape(title)}</h1>\n{body}</main>\n</html>\n"
    )


def figures(items: list[tuple[str, str]]) -> str:
    """Return the cards of the most important figures. Each item is a figure and its name."""
    return f'<div class="figures">{"".join(f"<div><b>{escape(a)}</b>{escape(b)}</div>" for a, b in items)}</div>\n'


def notes(texts: list[str]) -> str:
    """Return the box of remarks, or nothing if there are none."""
    return f'<ul class="notes">{"".join(f"<li>{escape(text)}</li>" for text in texts)}</ul>\n' if texts else ""


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table of texts, or nothing if it has no rows."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    whole = f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{lines}</tbody></table></div>\n'
    return whole if rows else ""


def picture(light: bytes, dark: bytes, alt: str) -> str:
    """Return a figure of two PNG images. The browser shows the image for its colour scheme."""
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{_data(dark)}">'
        f'<img alt="{escape(alt)}" src="{_data(light)}"></picture></figure>\n'
    )


def _data(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"
