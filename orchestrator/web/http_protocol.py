"""Uvicorn's HTTP protocol with two corrections: it ignores Upgrade, and it reads on after an early answer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Protocol(HttpToolsProtocol):
    """Handles the connection of one client.

    - httptools drops the body of a request that offers an upgrade, such as ``curl --http2``. A server may ignore the
      offer (RFC 9110, section 7.8). This class then parses the request again without its Upgrade header.
    - If a server closes a connection before it has read the whole body, TCP resets the connection, and the client may
      lose the answer. This class sends the answer, ends its own side, and discards the rest of the body (nginx calls
      this a lingering close). It discards ``discard`` bytes at most; a subclass has the time limit.
    """

    discard = 0
    _discarded = 0
    inside = False  # more bytes of a request, or of malformed HTTP, may come

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, _Transport(transport, self)))

    def data_received(self, data: bytes) -> None:
        if self.lingers:
            self._discards(len(data))
            return
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                rest = data[upgrade.args[0] :]
                if self._tunnels():
                    self.cycle.keep_alive = False
                    return
                data = self._head_without_upgrade() + rest
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as in uvicorn
                continue
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
            return

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() and not self._tunnels():
            return
        self.inside = True
        self._discarded = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            self._discards(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and not self._tunnels():
            return
        self.inside = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self.inside = True
        super().send_400_response(msg)

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            self.transport.close()

    @property
    def lingers(self) -> bool:
        return bool(self.transport.lingers)  # type: ignore[attr-defined]

    def may_linger(self) -> bool:
        """Return whether the client may still be sending, and its bytes may be discarded."""
        return self.discard > 0 and (self.inside or bool(self.pipeline))

    def on_linger(self) -> None:
        """Take the bytes that the client still sends. They go nowhere."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.flow.resume_reading()

    def _discards(self, size: int) -> None:
        self._discarded += size
        if self._discarded > self.discard:
            self.transport.close()

    def _tunnels(self) -> bool:
        return self.parser.get_method() == b"CONNECT"

    def _head_without_upgrade(self) -> bytes:
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])


class _Transport:
    """A transport whose first ``close`` lingers if the client may still be sending. The second one closes."""

    def __init__(self, transport: asyncio.Transport, protocol: Protocol) -> None:
        self._transport, self._protocol = transport, protocol
        self.lingers = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self.lingers:
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self.lingers or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing() or not self._protocol.may_linger():
            self._transport.close()
            return
        self.lingers = True
        with contextlib.suppress(OSError):  # the client has gone
            self._transport.write_eof()
        self._protocol.on_linger()
