"""The best state of a job's files: a later turn of the model that makes them worse is taken back at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.workspace.snapshots import Kept

if TYPE_CHECKING:
    from agent.job import Job

#: The sentence for the user if files were put back.
SAID = "Later attempts were no better, so the files of the best attempt are delivered: {names}."


@dataclass
class Best:
    """The score of the kept state: how many of the named files are right, and whether all its steps went through.

    Of equally good states the first one stays, because a model that repairs a wrong self-test destroys right work.
    """

    kept: Kept = field(default_factory=Kept)
    score: tuple[int, bool] = (0, False)
    now: tuple[int, bool] = (0, False)
    changed: bool = False  # another plan has come since the state was kept

    def consider(self, job: Job, *, through: bool) -> None:
        """Judge the state by ``job.facts``, and keep it if it is the best so far; ``through``: no step failed."""
        right = sum(fact.ok for fact in job.facts)
        self.now = (right, through)
        if right and self.now > self.score and self.kept.save(job, job.wanted):
            self.score, self.changed = self.now, False

    def restore(self, job: Job) -> None:
        """At the end, put the best state back if the last one is worse, or failed and is no better; say so."""
        failed = job.failure is not None or job.trouble is not None
        worse = self.now < self.score or (failed and self.now == self.score)
        if job.processes.stopped or not self.changed or not worse:
            return
        if names := self.kept.restore(job):
            said = SAID.format(names=", ".join(names[:10]))
            job.note = f"{job.note} {said}".strip()
