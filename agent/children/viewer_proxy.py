"""The proxy between the live gateway and a service: a child with its own identity, neither the agent's nor the job's.

    python -I -m agent.children.viewer_proxy desktop|notebook PATH

Its standard input is the listening socket.

The agent makes the listening socket where no job can write. The proxy forwards its connections to the service's own
socket at PATH, which belongs to the job's user. A job can put anything at PATH, but the proxy can reach no more than
the job can. For the desktop, WebSocket messages become the bytes of RFB; for the notebook, bytes stay as they are. It
prints a line as soon as the service answers.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from websockets.asyncio.server import ServerConnection

#: Bytes per read.
BLOCK = 64 * 1024

#: Maximum bytes of a viewer's message, such as a pasted text.
MESSAGE_BYTES = 2**20

#: Seconds between retries while the service starts.
PAUSE = 0.01

#: Seconds after which an unresponsive viewer is disconnected.
SILENCE = 60.0

#: The socket's path belongs to the agent, so this process does not touch it. (Python 3.13 would remove it at exit.)
LISTENING: dict[str, Any] = {"cleanup_socket": False}


async def main(service: str, path: str) -> None:
    listening = socket.socket(fileno=os.dup(0))
    while True:  # the agent has the time limit
        with suppress(OSError):
            _, writer = await asyncio.open_unix_connection(path)
            writer.close()
            break
        await asyncio.sleep(PAUSE)
    if service == "desktop":
        await serve_desktop(listening, path)
    else:
        await serve_bytes(listening, path)


async def serve_desktop(listening: socket.socket, path: str) -> None:
    from websockets.asyncio.server import unix_serve

    async def connected(viewer: ServerConnection) -> None:
        reader, writer = await asyncio.open_unix_connection(path)

        async def to_viewer() -> None:
            while block := await reader.read(BLOCK):
                await viewer.send(block)

        async def from_viewer() -> None:
            async for message in viewer:
                writer.write(message if isinstance(message, bytes) else message.encode())
                await writer.drain()

        await both(to_viewer(), from_viewer())
        writer.close()

    options: dict[str, Any] = {"compression": None, "max_size": MESSAGE_BYTES, "ping_timeout": SILENCE, **LISTENING}
    async with unix_serve(connected, sock=listening, **options):
        ready()
        await asyncio.Future()


async def serve_bytes(listening: socket.socket, path: str) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            own_reader, own_writer = await asyncio.open_unix_connection(path)
        except OSError:
            writer.close()
            return
        await both(pass_on(reader, own_writer), pass_on(own_reader, writer))
        for end in (writer, own_writer):
            end.close()

    async with await asyncio.start_unix_server(connected, sock=listening, **LISTENING):
        ready()
        await asyncio.Future()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(BLOCK):
        writer.write(block)
        await writer.drain()


async def both(one: object, other: object) -> None:
    """Run both directions until one ends. Then the connection is closed."""
    tasks = [asyncio.ensure_future(one), asyncio.ensure_future(other)]  # type: ignore[call-overload]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def ready() -> None:
    print("ready", flush=True)


if __name__ == "__main__":
    # like every step, so that the kernel kills it before the agent
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
    asyncio.run(main(sys.argv[1], sys.argv[2]))
