"""All tasks: a file per group with its list ``TASKS``."""

from __future__ import annotations

import importlib

from skill.task import Task

#: The groups in the order of the run.
GROUPS = (
    "everyday", "functions", "programs", "scripts", "data", "convert", "logs", "charts", "shell", "mend", "explore",
    "impossible", "traps",
)  # fmt: skip

#: group/name → task.
TASKS: dict[str, Task] = {
    f"{group}/{task.name}": task for group in GROUPS for task in importlib.import_module(f"skill.tasks.{group}").TASKS
}
