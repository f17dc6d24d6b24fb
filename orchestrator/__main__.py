"""``python -m orchestrator`` runs the orchestrator; ``python -m orchestrator health`` prints a running one's health."""

from __future__ import annotations

import sys

from orchestrator.errors import OrchestratorError
from orchestrator.settings import load


def main() -> int:
    try:
        settings = load()
        match sys.argv[1:]:
            case []:
                from orchestrator.server import run

                run(settings)
                return 0
            case ["health"]:
                from orchestrator.health import health

                return health(settings)
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except OrchestratorError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
