"""Parse a model's answer: its thought, its steps, and its other statements.

``prompts/system.md`` asks for Markdown: each fenced block is a file or a command, and a few lines say the rest. Models
follow this only roughly. So the parser also accepts names in info strings, headings and comments, missing fences, and
plans in JSON. If an answer gives no plan, the error is a sentence for the model.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from orchestrator.planning.kinds import KINDS
from orchestrator.planning.steps import OUTPUTS, STEPS, Outputs, Steps
from orchestrator.reasoning.answer import (
    NEEDS,
    THOUGHT,
    Given,
    Reading,
    Unusable,
    bounded,
    command,
    is_always,
    is_nothing,
    paths,
    without_controls,
)  # fmt: skip
from orchestrator.reasoning.code_blocks import Named, is_heading, name_the_only_one
from orchestrator.reasoning.json_plans import of_json
from orchestrator.reasoning.markdown import Document, split

_LINE = re.compile(
    r"^\s*(?:[-*]\s+)?(?:#{1,6}\s+)?(?:\*\*|`)?(?P<word>outputs?|check|needs?|missing|done|summary)(?:\*\*|`)?\s*:(?:\*\*)?\s*(?P<rest>.*)$",
    re.I,
)
_BULLET = re.compile(r"^\s*(?:[-*]|\d+[.)])\s+(?P<rest>.+)$")


#: The programs that run files, by the suffix.
PROGRAMS = {suffix: kind.PROGRAM for kind in KINDS.values() for suffix in kind.SUFFIXES}

#: Maximum characters of a line with a statement, such as the outputs.
LONG = 5_000


def read(text: str, given: Given) -> Reading:
    """Parse an answer. Raises Unusable."""
    text, dropped = without_controls(text)
    document = split(text)
    found = of_json(text, document)
    if found is None:
        found = _of_markdown(document, given)
    raw, reading = found
    reading.notes += ["Control characters in the answer were left out."] if dropped else []
    raw = _completed(raw, reading, given)
    if len(raw) > STEPS:
        raise Unusable(f"it has {len(raw):,} files and commands, and {STEPS} can be run")
    reading.steps = _checked(Steps, raw) if raw else []
    reading.outputs = [path for path in _checked(Outputs, reading.outputs[:OUTPUTS])]
    return reading


def _checked(shape: Any, content: Any) -> Any:
    try:
        return TypeAdapter(shape).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unusable(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


def _of_markdown(document: Document, given: Given) -> tuple[list[dict[str, Any]], Reading]:
    reading = Reading()
    prose = _lines(document, reading)
    blocks = [Named(block, given) for block in document.blocks if block.text.strip()]
    name_the_only_one(blocks, given)
    raw: list[dict[str, Any]] = []
    for block in blocks:
        raw += block.steps(reading)
    said = (line for line in prose if not is_heading(line))
    reading.thought = bounded("\n".join(said), THOUGHT)
    if document.blocks and not document.blocks[-1].closed:
        reading.notes.append("The last block of the answer was not closed.")
    return raw, reading


def _lines(document: Document, reading: Reading) -> list[str]:
    """Take out the lines with statements. Returns the rest of the prose."""
    prose, last = list[str](), ""
    for line in document.prose:
        found = _LINE.match(line) if len(line) <= LONG else None
        if found is None:
            bullet = _BULLET.match(line)
            if last == "outputs" and bullet:
                reading.outputs += paths(bullet["rest"])
            elif last == "needs" and line.strip() and not line.lstrip().startswith("#"):
                if len(reading.needs) < NEEDS:
                    reading.needs = bounded(f"{reading.needs} {line.strip()}", NEEDS)
            else:
                last = last if not line.strip() and last == "outputs" else ""
                prose.append(line)
            continue
        word, rest = found["word"].lower(), found["rest"].strip()
        last = {"output": "outputs", "need": "needs", "missing": "needs"}.get(word, word)
        if last == "outputs":
            reading.outputs += paths(rest)
        elif last == "check":
            reading.check = command(rest) or reading.check
        elif last == "needs":
            reading.needs = "" if is_nothing(rest) else bounded(rest, NEEDS)
        elif last == "summary":
            prose.append(rest)
        elif answered := re.match(r"\W*(yes|true|no|false|not)\b", rest, re.I):
            reading.done = answered[1].lower() in ("yes", "true")
    if not reading.check:
        reading.check = _check_block(document)
    return prose


def _check_block(document: Document) -> str:
    """Take the block below a line ``Check:`` as the command."""
    for block in document.blocks:
        lines = [line for line in block.before if line.strip()]
        found = _LINE.match(lines[-1][:LONG]) if lines else None
        if found and found["word"].lower() == "check" and not found["rest"].strip():
            command, block.text = block.text.strip(), ""
            return "" if is_always(command) else command
    return ""


def _completed(raw: list[dict[str, Any]], reading: Reading, given: Given) -> list[dict[str, Any]]:
    """Drop earlier drafts of files. If no step runs the program that makes the results, add one."""
    kept = list[dict[str, Any]]()
    for step in raw:
        if "path" in step:
            since = len(kept)
            while since and "path" in kept[since - 1]:
                since -= 1
            kept[since:] = [one for one in kept[since:] if one["path"] != step["path"]]
        kept.append(step)
    files = [step["path"] for step in kept if "path" in step]
    if given.planning and files and not reading.needs:
        for command in _owed(files, kept, given):
            kept.append({"kind": "shell", "script": f"{command}\n", "title": ""})
            reading.notes.append(f"No command ran the program, so it is run: {command}")
    return kept


def _owed(files: list[str], steps: list[dict[str, Any]], given: Given) -> Iterator[str]:
    """Yield commands that a plan of files lacks: its program if results are requested, and its tests."""
    commands = "\n".join(step.get("script") or step.get("code") or "" for step in steps)
    owed = [name for name in given.named if name not in files and name.rsplit("/", 1)[-1] not in files]
    if not commands and (owed or not given.named) and (main := _main(files, steps)):
        yield main
    for path in files:
        name = path.rsplit("/", 1)[-1]
        runs = name.removesuffix(".py") in commands or "pytest" in commands or "unittest" in commands
        if path in given.named and re.fullmatch(r"test_\w+\.py|\w+_test\.py", name) and not runs:
            yield _test(path, steps)


def _test(path: str, steps: list[dict[str, Any]]) -> str:
    """Return the command for a test file: unittest, or the program itself if it calls its tests."""
    content = next(step["content"] for step in reversed(steps) if step.get("path") == path)
    if "pytest" in content or (re.search(r"^def test_", content, re.M) and "__main__" not in content):
        return f"python -m pytest -q {shlex.quote(path)}"
    if "__main__" in content or "TestCase" not in content:
        return f"python {shlex.quote(path)}"
    return f"python -m unittest {shlex.quote(path)}"


def _main(files: list[str], steps: list[dict[str, Any]]) -> str:
    """Return the command for the plan's program. It is empty if the program reads input, takes arguments or serves."""
    content = {step["path"]: step["content"] for step in steps if "path" in step}
    for path in reversed(files):
        if not path.endswith((".py", ".js", ".mjs", ".sh")) or "test" in path.rsplit("/", 1)[-1]:
            continue
        waits = r"\binput\(|sys\.argv|argparse|serve_forever|\.listen\(|app\.run|readline|process\.argv|\$1\b"
        if not re.search(waits, content[path]):
            return f"{PROGRAMS[path.rsplit('.', 1)[-1]]} {shlex.quote(path)}"
    return ""
