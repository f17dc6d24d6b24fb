"""Sends the job's events in order until they are acknowledged, while the graph works on."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from agent.link.client import Link
from protocol import messages
from protocol.redaction import Needles

#: Maximum events in a batch.
BATCH = 64

#: Maximum characters of output in a batch.
BATCH_CHARACTERS = 512 * 1024


class Watcher(Protocol):
    """Receives events in order to show them to viewers."""

    def begin(self, step: messages.PlannedStep) -> None:
        """Called when a step or the check begins."""

    def on_event(self, event: messages.AgentEvent) -> None:
        """Called for each event."""


class Outbox:
    """A queue of numbered events and the thread that sends them. Events never contain a secret's value.

    The thread starts before the first step, because a job at its pids limit could not start one.
    """

    def __init__(
        self,
        link: Link,
        on_error: Callable[[Exception], None],
        needles: Needles,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self._link, self._on_error, self._needles, self._watchers = link, on_error, needles, watchers
        self._waiting: deque[messages.AgentEvent] = deque()
        self._changed = threading.Condition()
        self._last = 0
        self._error: Exception | None = None
        threading.Thread(target=self._send_all, name="outbox", daemon=True).start()

    def phase(self, phase: messages.Phase) -> None:
        self._add(lambda number, at: messages.PhaseBegan(number, at, phase))

    def step_started(self, step: messages.PlannedStep) -> None:
        shown = self._needles.structure(step)
        for watcher in self._watchers:
            watcher.begin(shown)
        self._add(lambda number, at: messages.StepStarted(number, at, step.number))

    def output(self, step: int, text: str) -> None:
        text = self._needles.text(text)  # hidden before the text is cut
        for begin in range(0, len(text), messages.OUTPUT_EVENT_CHARACTERS):
            part = text[begin : begin + messages.OUTPUT_EVENT_CHARACTERS]
            self._add(partial(self._output, step, part))

    @staticmethod
    def _output(step: int, text: str, number: int, at: float) -> messages.Output:
        return messages.Output(number, at, step, text)

    def result(
        self,
        step: int,
        data: dict[messages.ResultKind, str],
        file: str = "",
        display: str = "",
        error: list[str] | None = None,
    ) -> None:
        data, error, display = self._hidden(data), self._cut(error or []), self._needles.text(display)
        display = display[: messages.DISPLAY_NAME]
        self._add(lambda number, at: messages.Result(number, at, step, data, file, display, error))

    def viewer_cell(
        self, step: int, source: str, printed: str, results: list[dict[messages.ResultKind, str]], error: list[str]
    ) -> None:
        source, printed = (self._needles.text(text)[: messages.RESULT_TEXT] for text in (source, printed))
        results, error = [self._hidden(data) for data in results], self._cut(error)
        self._add(lambda number, at: messages.ViewerCell(number, at, step, source, printed, results, error))

    def step_ended(
        self, step: int, status: messages.StepStatus, exit_code: int | None, detail: str, output_bytes: int
    ) -> None:
        self._add(lambda number, at: messages.StepEnded(number, at, step, status, exit_code, detail, output_bytes))

    def _hidden(self, data: dict[messages.ResultKind, str]) -> dict[messages.ResultKind, str]:
        """Return a result without secrets. Parts that marks made too long are left out."""
        hidden: dict[messages.ResultKind, str] = self._needles.structure(data)
        return {kind: part for kind, part in hidden.items() if len(part) <= messages.most_of(kind)}

    def _cut(self, error: list[str]) -> list[str]:
        return [self._needles.text(part)[: messages.ERROR_CHARACTERS] for part in error]

    def flush(self) -> None:
        """Wait until every event is on the orchestrator's disk. Raises the error of the sending thread (LinkLost)."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or self._error)
            if self._error:
                raise self._error

    def _add(self, make: Callable[[int, float], messages.AgentEvent]) -> None:
        with self._changed:
            self._last += 1
            event: messages.AgentEvent = self._needles.structure(make(self._last, time.time()))
            self._waiting.append(event)
            self._changed.notify_all()
        for watcher in self._watchers:
            watcher.on_event(event)

    def _send_all(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: bool(self._waiting))
                    batch = self._next_batch()
                answer = self._link.call("POST", "/events", messages.Batch(batch))
                acknowledged = int(answer["number"])
                with self._changed:
                    while self._waiting and self._waiting[0].number <= acknowledged:
                        self._waiting.popleft()
                    self._changed.notify_all()
        except Exception as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()
            self._on_error(error)

    def _next_batch(self) -> list[messages.AgentEvent]:
        batch: list[messages.AgentEvent] = []
        characters = 0
        for event in self._waiting:
            characters += _characters(event)
            if len(batch) == BATCH or (batch and characters > BATCH_CHARACTERS):
                break
            batch.append(event)
        return batch


def _characters(event: messages.AgentEvent) -> int:
    if isinstance(event, messages.Result):
        return sum(len(part) for part in event.data.values())
    if isinstance(event, messages.ViewerCell):
        return (
            len(event.source) + len(event.printed) + sum(len(part) for data in event.results for part in data.values())
        )
    return len(event.text) if isinstance(event, messages.Output) else 0
