"""What a connection may hold while it asks for nothing: the HTTP server itself bounds neither its time nor its size.

A hostile container, or a stranger before he has shown his key, could else hold every descriptor of the process with
connections that say nothing, or its memory with headers that never end.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Seconds until a connection that asks for nothing, or has not said yet what it asks for, is closed.
ASK_SECONDS = 10.0

#: Connections that have never asked for anything, at the same time, and as many that have: with one more, the one that
#: is silent for longest is closed. So who knows nobody cannot have the connections of others closed.
SILENT = 256

#: Bytes that may come without anything coming of them: headers, trailers, the marks between chunks.
HEADER_BYTES = 64 * 1024

#: Requests that may wait on one connection for the answers to those before them.
WAITING = 8


def bounded() -> type[HttpToolsProtocol]:
    """The server's protocol with these bounds, for one door: the silent ones of each are counted by themselves."""
    new: OrderedDict[HttpToolsProtocol, asyncio.TimerHandle] = OrderedDict()  # silent for longest first
    known: OrderedDict[HttpToolsProtocol, asyncio.TimerHandle] = OrderedDict()

    class Bounded(HttpToolsProtocol):
        _unused = 0  # bytes since something came of them

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._falls_silent()

        def connection_lost(self, exc: Exception | None) -> None:
            self._asks()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self._unused += len(data)
            super().data_received(data)
            if self._unused > HEADER_BYTES and not self.transport.is_closing():
                self.send_400_response("Headers are too long.")

        def on_headers_complete(self) -> None:
            self._unused = 0
            self._asks()
            if len(self.pipeline) >= WAITING:
                raise ValueError("too many requests at once")  # the parser makes it an answer of 400
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self._unused = 0
            super().on_body(body)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self.transport.is_closing() and self.cycle.response_complete:
                self._falls_silent()

        def _falls_silent(self) -> None:
            self._asks()
            silent = new if self.cycle is None else known
            silent[self] = self.loop.call_later(ASK_SECONDS, self.transport.abort)
            if len(silent) > SILENT:
                longest, timer = silent.popitem(last=False)
                timer.cancel()
                longest.transport.abort()

        def _asks(self) -> None:
            timer = new.pop(self, None) or known.pop(self, None)
            if timer is not None:
                timer.cancel()

    return Bounded
