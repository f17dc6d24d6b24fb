"""Reports of a run: one line per task, the table, and the page docs/skill.md."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from skill.settings import ROOT, setting
from skill.tasks import GROUPS

#: The results of a task: ``alone`` and ``product``, each with passed, why, tokens and seconds, or None if not run.
Record = dict[str, Any]

MARK = {True: "✓", False: "✗", None: "–"}

HEADING = ("group", "tasks", "alone", "product", "alone, of both", "product, of both", "calls a task",
           "tokens a task alone", "tokens a task product", "ratio", "seconds a task")  # fmt: skip


def mark(part: dict[str, Any] | None) -> str:
    return MARK[None] if part is None else MARK[bool(part["passed"])]


def line(name: str, record: Record) -> str:
    """Format one task as a line during the run."""
    alone, product = record.get("alone"), record.get("product")
    told = f"{name:36} alone {mark(alone)}  product {mark(product)}"
    if product:
        reason = f" ({product['reason']})" if product["reason"] else ""
        verified = f" verified by {product['verified_by']}," if product.get("verified_by") else ""
        told += f"  {product['status']}{reason},{verified} {product['calls']} calls, {product['tokens']} tokens, "
        told += f"{product['repairs']} repairs, {product['seconds']:.0f} s"
    for part, of in ((alone, "alone"), (product, "product")):
        if part and not part["passed"]:
            told += f"\n    {of}: {' '.join(part['why'].split())[:160]}"
    return told


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def _rate(parts: list[dict[str, Any]]) -> str:
    passed = sum(bool(part["passed"]) for part in parts)
    return f"{passed}/{len(parts)} ({100 * passed / len(parts):.0f} %)" if parts else "–"


def _figure(value: float | None, form: str = ".0f") -> str:
    return "–" if value is None else format(value, form)


def _row(name: str, records: list[Record]) -> tuple[str, ...]:
    alone = [record["alone"] for record in records if record.get("alone")]
    product = [record["product"] for record in records if record.get("product")]
    both = [record for record in records if record.get("alone") and record.get("product")]
    # tokens are compared over tasks with both results
    of_alone = _mean(record["alone"]["tokens"] for record in both)
    of_product = _mean(record["product"]["tokens"] for record in both)
    return (
        name, str(len(records)), _rate(alone), _rate(product),
        _rate([record["alone"] for record in both]), _rate([record["product"] for record in both]),
        _figure(_mean(part["calls"] for part in product), ".1f"),
        _figure(of_alone if both else _mean(part["tokens"] for part in alone)),
        _figure(_mean(part["tokens"] for part in product)),
        f"{of_product / of_alone:.1f}" if of_alone and of_product else "–",
        _figure(_mean(part["seconds"] for part in product)),
    )  # fmt: skip


def table(results: dict[str, Record]) -> list[tuple[str, ...]]:
    """Return a row for each group and one for all."""
    found: list[tuple[str, ...]] = [HEADING]
    for group in GROUPS:
        records = [record for name, record in results.items() if name.startswith(f"{group}/")]
        if records:
            found.append(_row(group, records))
    return [*found, _row("all", list(results.values()))]


def losses(results: dict[str, Record]) -> Counter[str]:
    """Count the product's losses of each kind."""
    parts = [record["product"] for record in results.values() if record.get("product")]
    return Counter(part["how"] for part in parts if not part["passed"])


def everyday(results: dict[str, Record]) -> str:
    parts = [record.get("product") for name, record in results.items() if name.startswith("everyday/")]
    done = [part for part in parts if part]
    return f"{sum(bool(part['passed']) for part in done)} of {len(done)}" if done else "not run"


def plain(results: dict[str, Record]) -> str:
    """Format the end of a run for a terminal."""
    rows = table(results)
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADING))]
    text = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    text += f"\n\nEveryday tasks that the product did: {everyday(results)}\n\nHow each loss happened:\n"
    text += "".join(f"  {count:3}  {how}\n" for how, count in losses(results).most_common()) or "  (no loss)\n"
    for name, record in results.items():
        part = record.get("product")
        if part and not part["passed"]:
            text += f"  {name:34} {part['how']}: {' '.join(part['why'].split())[:140]}\n"
    return text


def page(results: dict[str, Record], version: str) -> str:
    """Format docs/skill.md."""
    models = {part["model"] for record in results.values() if (part := record.get("product")) and part.get("model")}
    model = ", ".join(sorted(models)) or setting("LLM_MODEL", "none")
    rows = table(results)
    cells = ["| " + " | ".join(row) + " |" for row in rows]
    cells.insert(1, "|" + "---|" * len(HEADING))
    prompts = sorted((ROOT / "orchestrator").rglob("prompts/*.md"))
    hashes = ", ".join(f"`{file.stem}` {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}" for file in prompts)
    lost = "\n".join(f"| {how} | {count} |" for how, count in losses(results).most_common())
    details = "\n".join(
        f"| {name} | {part['how']} | {' '.join(part['why'].split())[:140].replace('|', chr(92) + '|')} |"
        for name, record in results.items()
        if (part := record.get("product")) and not part["passed"]
    )
    return f"""# Skill

After reading this page you know how many real tasks the product does with one model, and how many the same model does
alone: with one question at temperature 0, without the product. A hidden check of the files judges each result; no model
judges. `skill/tasks/` has the tasks and their checks.

Run the suite with the model of your `.env`, or name one:

```bash
make skill
LLM_BASE_URL=http://127.0.0.1:18400/v1 LLM_MODEL=qwen2.5-coder-1.5b make skill
.venv/bin/python -m skill --help      # single tasks, a running system, resuming, this page
```

| | |
|---|---|
| model | {model} |
| date | {time.strftime("%Y-%m-%d", time.gmtime())} |
| machine | {os.cpu_count()} cores, {platform.machine()} |
| version | {version} |
| prompts (start of their SHA-256) | {hashes} |

## Results

*Of both* counts only the tasks that were run both ways. So do the tokens and their ratio.

{chr(10).join(cells)}

Everyday tasks that the product did: {everyday(results)}.

## How each loss happened

*False success*: the job ended as completed, and the result is wrong.

| loss | tasks |
|---|---|
{lost}

| task | loss | detail |
|---|---|---|
{details}
"""
