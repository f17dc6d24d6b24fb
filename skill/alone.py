"""Asks the same model directly, once, without the product."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from skill.settings import setting
from skill.task import Made, Script, Task

#: Seconds for one answer. A small model on a CPU needs minutes.
SECONDS = 600

#: Text files up to this many characters are in the question; longer ones only with their beginning.
WHOLE, HEAD = 1500, 400

#: Maximum tokens of an answer.
ANSWER_TOKENS = 2048

FILE = "Answer with one fenced code block: the whole content of {file}. Write nothing else.\n\n{prompt}{heads}"
SCRIPT = (
    "Answer with one fenced code block: one {language} script that does the task below. The script runs in the folder "
    "that has the files. Write nothing else.\n\n{prompt}{heads}"
)
LANGUAGES = {"python": "Python", "bash": "Bash"}


@dataclass(frozen=True)
class Server:
    """A server with OpenAI's protocol."""

    url: str
    model: str
    key: str


@dataclass(frozen=True)
class Answer:
    text: str
    tokens: int
    seconds: float


def server() -> Server | None:
    """Return the server in the LLM_… settings, or None if the product uses another kind of provider."""
    model, provider = setting("LLM_MODEL", ""), setting("LLM_PROVIDER", "auto")
    others = setting("GEMINI_API_KEY", "") or setting("ANTHROPIC_API_KEY", "")
    if not model or provider not in ("auto", "openai") or (provider == "auto" and others):
        return None
    return Server(setting("LLM_BASE_URL", "https://api.openai.com/v1").rstrip("/"), model, setting("LLM_API_KEY", ""))


def question(task: Task) -> str:
    """Return the prompt with instructions for the answer and the beginnings of its files."""
    heads = ""
    for name, content in task.uploads().items():
        try:
            text = content.decode()
        except UnicodeDecodeError:
            heads += f"\n\nThe file {name} has {len(content)} bytes."
            continue
        whole = len(text) <= WHOLE
        heads += f"\n\nThe file {name}{'' if whole else ' begins'}:\n{text if whole else text[:HEAD]}"
    kind, _, language = task.alone.partition(" ")
    if kind != "run":
        return FILE.format(file=task.alone, prompt=task.prompt, heads=heads)
    return SCRIPT.format(language=LANGUAGES[language], prompt=task.prompt, heads=heads)


def block(text: str) -> str:
    """Return the longest fenced code block of an answer, or the whole answer."""
    found = re.findall(r"^```[^\n]*\n(.*?)(?:^```|\Z)", text, re.DOTALL | re.MULTILINE)
    return max(found, key=len) if found else text


def made(task: Task, answer: Answer) -> Made:
    """Return the result that an answer contains."""
    kind, _, language = task.alone.partition(" ")
    return Script(language, block(answer.text)) if kind == "run" else {task.alone: block(answer.text)}


class Asked:
    """The model's answers, stored in a file so that no question is repeated."""

    def __init__(self, server: Server, cache: Path) -> None:
        self._server, self._cache, self._lock = server, cache, threading.Lock()

    def ask(self, task: Task) -> Answer:
        """Return the model's answer. Raises httpx.HTTPError, KeyError or ValueError if there is none."""
        asked = question(task)
        key = f"{self._server.model} {hashlib.sha256(asked.encode()).hexdigest()}"
        with self._lock:
            known = self._read().get(key)
        if known is None:
            known = self._request(asked)
            with self._lock:
                self._cache.write_text(json.dumps({**self._read(), key: known}, indent=1))
        return Answer(known["text"], known["tokens"], known["seconds"])

    def _read(self) -> dict[str, Any]:
        return json.loads(self._cache.read_text()) if self._cache.exists() else {}

    def _request(self, asked: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._server.key}"} if self._server.key else {}
        body = {"model": self._server.model, "messages": [{"role": "user", "content": asked}]}
        begin = time.monotonic()
        # a local model needs no proxy from the environment
        local = httpx.URL(self._server.url).host in ("127.0.0.1", "localhost", "::1")
        with httpx.Client(base_url=self._server.url, headers=headers, timeout=SECONDS, trust_env=not local) as client:
            answer = client.post("/chat/completions", json=body | {"temperature": 0, "max_tokens": ANSWER_TOKENS})
            if answer.status_code == 400:  # OpenAI's newer models accept neither the temperature nor this limit
                answer = client.post("/chat/completions", json=body | {"max_completion_tokens": 8 * ANSWER_TOKENS})
        answer.raise_for_status()
        found = answer.json()
        text = found["choices"][0]["message"].get("content") or ""
        tokens = (found.get("usage") or {}).get("total_tokens", 0)
        return {"text": text, "tokens": tokens, "seconds": round(time.monotonic() - begin, 1)}
