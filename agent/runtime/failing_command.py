"""Finds out which command of a shell script failed, because a command such as ``grep`` fails without a word."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

SCRIPT = Path(__file__).parents[1] / "children/failing_command.bash"

#: Bytes that are read of what the shell says, and characters of a command in a sentence.
READ, SHOWN = 8192, 200


class Failed(NamedTuple):
    """A command that ended its script, its line, and the exit codes of its pipeline."""

    line: int
    codes: list[int]
    command: str

    def within(self, source: str) -> Failed:
        """Return this command as the source has it. Of a pipeline, bash tells only the last command."""
        lines = source.split("\n")
        whole = len(self.codes) > 1 and self.line <= len(lines)
        return self._replace(command=one_line(lines[self.line - 1] if whole else self.command))


class FailingCommand:
    """A file in memory to which a shell writes its failing command. The job's user can write anything there."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("failing-command")

    def __del__(self) -> None:
        os.close(self.fd)

    def told_by(self, bash: list[str]) -> list[str]:
        """Return the command that runs bash and lets it write to the file."""
        return ["env", f"BASH_ENV={SCRIPT}", f"FAILING_COMMAND_FD={self.fd}", *bash]

    def read(self) -> Failed | None:
        """Return the last failing command, if there is one."""
        size = os.fstat(self.fd).st_size
        said = os.pread(self.fd, READ, max(0, size - READ)).decode("utf-8", "replace").split("\0")
        found = re.fullmatch(r"(\d{1,9}) ((?:\d{1,3},)+) (.+)\n", said[-2], re.DOTALL) if len(said) > 1 else None
        return Failed(int(found[1]), [int(code) for code in found[2].split(",")[:-1]], found[3]) if found else None


def one_line(command: str) -> str:
    """Return the beginning of a command on one line."""
    text = " ".join("".join(c if c.isprintable() else " " for c in command).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
