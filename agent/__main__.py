"""The agent: takes the one job of its sandbox, runs the graph, and ends.

What it prints goes to the container's log, of which the orchestrator shows the last lines when an agent dies.
"""

from __future__ import annotations

import os
import sys
import threading

from agent import seccomp, wire
from agent.job import Job
from agent.link import Link, LinkLost, Refused, parse_order
from agent.outbox import Outbox
from agent.processes import Processes, environment, kill_all

#: Exit codes: the link was lost; the orchestrator refused the agent.
LOST, REFUSED = 75, 76


def main() -> int:
    token = os.environ.pop(wire.TOKEN_VARIABLE, "")
    if not token:
        print(f"{wire.TOKEN_VARIABLE} is not set: this image is started by the orchestrator, not by hand.")
        return REFUSED
    seccomp.narrow()  # before the first thread: each has a filter of its own
    link = Link(wire.SOCKET, token)
    try:
        work(link)
    except Refused as error:
        print(f"The orchestrator refused: {error}")
        return REFUSED
    except LinkLost as error:
        print(f"The job was given up: {error}")
        return LOST
    finally:
        kill_all()
    return 0


def work(link: Link) -> None:
    """Take the job and run its graph."""
    order = parse_order(link.call("POST", "/take", wire.Take(wire.VERSION)))
    link.lost_after = order.link_lost_seconds
    processes = Processes(environment(order.job_id, order.cpus))

    def lost(error: Exception) -> None:
        print(f"The job ends without its link: {error}")
        processes.stop("lost")

    # both threads exist before the first step, see Processes
    job = Job(order, link, Outbox(link, lost), processes, remaining=[])
    threading.Thread(target=listen, args=(link, processes, lost), name="commands", daemon=True).start()

    from agent.flow import build  # PocketFlow is the slowest import: the threads work meanwhile

    build().run(job)


def listen(link: Link, processes: Processes, lost: object) -> None:
    """Hear the orchestrator's commands and follow them."""
    try:
        while True:
            answer = link.call("GET", "/commands")
            if "cancel" in answer["commands"]:
                processes.stop("cancelled")
                return
    except (LinkLost, Refused) as error:
        lost(error)  # type: ignore[operator]


if __name__ == "__main__":
    sys.exit(main())
