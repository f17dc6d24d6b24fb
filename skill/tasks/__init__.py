"""All tasks: a file for each group, each with its list ``TASKS``."""

from __future__ import annotations

import importlib

from skill.task import Task

#: In the order in which they run.
GROUPS = (
    "everyday", "functions", "programs", "scripts", "data", "convert", "logs", "charts", "shell", "mend", "explore",
    "impossible", "traps",
)  # fmt: skip

#: group/name → task.
TASKS: dict[str, Task] = {
    f"{group}/{task.name}": task for group in GROUPS for task in importlib.import_module(f"skill.tasks.{group}").TASKS
}
