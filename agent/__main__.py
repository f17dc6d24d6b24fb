"""Entry point of the agent. It takes the job of its sandbox, runs the graph, and exits.

Its output goes to the container's log. If an agent dies, the orchestrator shows the last lines.
"""

from __future__ import annotations

import os
import sys
import threading

from agent.job import Job
from agent.link.client import Link, LinkLost, Refused, parse_order
from agent.link.outbox import Outbox
from agent.live.file_requests import FileRequestHandler
from agent.live.notebook_feed import NotebookFeed
from agent.live.transcript import Transcript
from agent.live.viewers import ViewerServices
from agent.nodes import kinds
from agent.runtime import seccomp
from agent.runtime.processes import Processes, environment, kill_all
from protocol import messages
from protocol.redaction import Needles

#: Exit codes: the link was lost; the orchestrator rejected the agent.
LOST, REFUSED = 75, 76


def main() -> int:
    token = os.environ.pop(messages.TOKEN_VARIABLE, "")
    if not token:
        print(f"{messages.TOKEN_VARIABLE} is not set: the orchestrator starts this image, not the user.")
        return REFUSED
    seccomp.narrow()  # before the first thread, because each thread has its own filter
    link = Link(messages.SOCKET, token)
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
    order = parse_order(link.call("POST", "/take", messages.Take(messages.VERSION)))
    link.lost_after = order.link_lost_seconds
    processes = Processes(environment(order.job_id, order.cpus, order.network), order.secrets)

    def lost(error: Exception) -> None:
        print(f"The job ends without its link: {error}")
        processes.stop("lost")

    # all threads start before the first step, see Processes
    needles, transcript, session = Needles(order.secrets), Transcript(), NotebookFeed(kinds.cell)
    outbox = Outbox(link, lost, needles, [transcript, session])
    job = Job(order, link, outbox, processes, remaining=[], transcript=transcript, needles=needles)
    looks, views = FileRequestHandler(link, processes, order), ViewerServices(link, processes, transcript, session)
    threading.Thread(target=listen, args=(link, processes, looks, views, lost), name="commands", daemon=True).start()

    from agent.flow import build  # PocketFlow is the slowest import, and the threads work meanwhile

    build().run(job)


def listen(link: Link, processes: Processes, looks: FileRequestHandler, views: ViewerServices, lost: object) -> None:
    """Receive and execute the orchestrator's commands."""
    try:
        while True:
            answer = link.call("GET", "/commands")
            if "cancel" in answer["commands"]:
                processes.stop("cancelled")
                return
            for look in answer["looks"]:
                looks.put(look)  # separate threads answer these, so that a cancellation never waits
            for view in answer["views"]:
                views.want(view)
    except (LinkLost, Refused) as error:
        lost(error)  # type: ignore[operator]


if __name__ == "__main__":
    sys.exit(main())
