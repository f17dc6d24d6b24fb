"""Print how much of each package the tests of `make test` ran: python -m tests.support.coverage_report"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from coverage import Coverage


def main() -> None:
    found = Coverage()
    found.load()
    lines: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for file in found.get_data().measured_files():
        _, statements, _, missing, _ = found.analysis2(file)
        for name in (package(file), "total"):
            lines[name] += len(statements)
            missed[name] += len(missing)
    for name in sorted(lines, key=lambda name: (name == "total", name)):
        if lines[name]:
            print(f"{name:26} {lines[name]:6} lines {100 * (1 - missed[name] / lines[name]):4.0f} % run")


def package(file: str) -> str:
    """Return the package of a file as at most two folders below the root."""
    folders = Path(file).relative_to(Path.cwd()).parts[:-1]
    return "/".join(folders[:2])


if __name__ == "__main__":
    main()
