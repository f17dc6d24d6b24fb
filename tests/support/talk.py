"""Answers of a scripted model in Markdown."""

from __future__ import annotations

from typing import Any

from tests.support.providers import Turn
from tests.support.system import System


def file(name: str, content: str) -> str:
    return f"### file {name}\n```\n{content}```\n\n"


def run(script: str, language: str = "bash", heading: str = "run") -> str:
    return f"### {heading}\n```{language}\n{script}\n```\n\n"


def says(*parts: str, **more: Any) -> Turn:
    return Turn(text="".join(parts), **more)


def submit(system: System, prompt: str, *files: tuple[str, bytes], **fields: Any) -> str:
    if not files:
        return system.submit(prompt=prompt, **fields)
    answer = system.http.post("/schedule", data={"prompt": prompt}, files=[("files", one) for one in files])
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


def purposes(found: dict[str, Any]) -> list[str]:
    return [one["data"]["purpose"] for one in found["thinking"] if one["kind"] == "model_call"]
