"""The best state of a job's files: a later turn of the model that makes them worse is taken back at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.workspace.snapshots import Kept
from protocol import messages

if TYPE_CHECKING:
    from agent.job import Job

#: The sentence for the user if files were put back.
SAID = "Later attempts were no better, so the files of the best attempt are delivered: {names}."


@dataclass
class Best:
    """The best state so far. Its score: right facts, faults that are not only doubts (negative), and whether all steps
    went through.

    Of equally good states the first one stays, because a model that repairs a wrong self-test destroys right work.
    """

    kept: Kept = field(default_factory=Kept)
    score: tuple[int, int, bool] = (0, 0, False)
    now: tuple[int, int, bool] = (0, 0, False)
    facts: list[messages.Fact] = field(default_factory=list)
    changed: bool = False  # another plan has come since the state was kept
    finished: bool = False  # the kept state is finished work with doubts: a later failure does not fail the job

    def consider(self, job: Job, *, through: bool) -> None:
        """Judge the state by ``job.facts``, and keep it if it is the best so far; ``through``: no step failed."""
        right = sum(fact.ok for fact in job.facts)
        wrong = sum(not fact.ok and fact.about != "doubt" for fact in job.facts)
        self.now = (right, -wrong, through)
        if right and self.now > self.score and self.kept.save(job, job.wanted):
            self.score, self.facts, self.changed, self.finished = self.now, job.facts, False, False

    def restore(self, job: Job) -> None:
        """At the end, put the best state back if the last one is worse, or failed and is no better; say so."""
        if job.processes.stopped:
            return
        failed = job.failure is not None or job.trouble is not None
        worse = self.now < self.score or (failed and (self.finished or self.now == self.score))
        if self.changed and worse and (names := self.kept.restore(job)):
            _note(job, SAID.format(names=", ".join(names[:10])))
            job.facts = self.facts
            if self.finished:
                job.failure = None
        if job.failure is None:
            _note(job, next((fact.detail for fact in job.facts if fact.about == "doubt"), ""))


def _note(job: Job, sentence: str) -> None:
    job.note = f"{job.note} {sentence}".strip()
