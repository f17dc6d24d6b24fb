"""Limits for idle connections and request headers, which the HTTP server does not have.

Without them, a hostile container or an unauthenticated client could exhaust the process. It could use up the
descriptors with silent connections, or the memory with endless headers.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from orchestrator.web.http_protocol import Protocol

#: Seconds until the server closes a connection without a complete request.
ASK_SECONDS = 10.0

#: Seconds in which a client may send the rest of a body after its early answer, as in nginx (lingering_time).
LINGER_SECONDS = 30.0

#: Maximum silent connections without a request so far, and with one. Beyond it, the connection that was silent longest
#: is closed. The two counts are separate, so that unauthenticated clients cannot push out known connections.
SILENT = 256

#: Bytes that may arrive without progress: headers, trailers, and chunk marks.
HEADER_BYTES = 64 * 1024

#: Pipelined requests that may wait on one connection.
WAITING = 8


def bounded(discard_bytes: int = 0) -> type[Protocol]:
    """Return the server's protocol class with these limits. Each HTTP server counts its own connections.

    After an early answer, the server reads and discards at most ``discard_bytes`` of the request.
    """
    new: OrderedDict[Protocol, asyncio.TimerHandle] = OrderedDict()  # longest silent first
    known: OrderedDict[Protocol, asyncio.TimerHandle] = OrderedDict()

    class Bounded(Protocol):
        discard = discard_bytes
        _unused = 0  # bytes since the last progress

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
                self.send_400_response("The headers are too long.")

        def on_headers_complete(self) -> None:
            self._unused = 0
            self._asks()
            if len(self.pipeline) >= WAITING:
                raise ValueError("too many requests at once")  # the parser turns it into a 400
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self._unused = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            super().on_message_complete()
            if self in known:  # its answer was early
                self._falls_silent()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self.transport.is_closing() and self.cycle.response_complete:
                self._falls_silent()

        def on_linger(self) -> None:
            super().on_linger()
            self._holds(new, LINGER_SECONDS)  # even with a wrong key, so it must not push out a known connection

        def _falls_silent(self) -> None:
            seconds = LINGER_SECONDS if self.inside and self.discard else ASK_SECONDS
            self._holds(new if self.cycle is None else known, seconds)

        def _holds(self, silent: OrderedDict[Protocol, asyncio.TimerHandle], seconds: float) -> None:
            self._asks()
            silent[self] = self.loop.call_later(seconds, self.transport.abort)
            if len(silent) > SILENT:
                longest, timer = silent.popitem(last=False)
                timer.cancel()
                longest.transport.abort()

        def _asks(self) -> None:
            timer = new.pop(self, None) or known.pop(self, None)
            if timer is not None:
                timer.cancel()

    return Bounded
