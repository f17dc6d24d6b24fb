"""Answers of a scripted model to questions for a plan or a review."""

from __future__ import annotations

from tests.support.providers import Turn


def step(kind: str, source: str, path: str = "", title: str = "a step") -> dict[str, str]:
    return {"kind": kind, "title": title, "source": source, "path": path}


def shell(source: str, title: str = "a step") -> dict[str, str]:
    return step("shell", source, title=title)


def plan(*steps: dict[str, str], outputs: tuple[str, ...] = (), check: str = "", missing: str = "") -> Turn:
    return Turn({"missing": missing, "steps": list(steps), "outputs": list(outputs), "check": check})


def accept(summary: str = "All is there.") -> Turn:
    return Turn({"accept": True, "summary": summary, "steps": []})
