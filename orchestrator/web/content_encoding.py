"""Decodes request bodies that a client has compressed (Content-Encoding)."""

from __future__ import annotations

import zlib

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from orchestrator.errors import BadRequest

#: Encodings that zlib decodes.
KNOWN = ("gzip", "x-gzip", "deflate")

#: zlib's code for "the header says whether this is gzip or deflate".
EITHER = 32 + zlib.MAX_WBITS

#: Maximum bytes of one decoded piece. A small body can become a thousand times as large.
PIECE_BYTES = 64 * 1024


def is_encoded(headers: Headers) -> bool:
    """Return whether a body needs decoding. Raises BadRequest (415) for an encoding that is unknown, or for several."""
    given = ",".join(headers.getlist("content-encoding")).lower().split(",")
    encodings = [name for name in map(str.strip, given) if name not in ("", "identity")]
    if encodings and (len(encodings) > 1 or encodings[0] not in KNOWN):
        raise BadRequest(
            415,
            "unknown-encoding",
            "Unknown encoding",
            f"The body has the Content-Encoding {', '.join(encodings)[:80]!r}. Send it with gzip or deflate, or as it "
            "is, without a Content-Encoding.",
            {"Accept-Encoding": "gzip, deflate, identity"},
        )
    return bool(encodings)


class Decoded:
    """Receives a body and returns it decoded, in small pieces. The caller limits their sum."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._decoder, self._data, self._more, self._begun = zlib.decompressobj(EITHER), b"", True, False

    async def __call__(self) -> Message:
        while True:
            while not self._data and self._more:
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                self._data, self._more = message.get("body", b""), message.get("more_body", False)
            if not self._data and not self._begun:
                return {"type": "http.request", "body": b"", "more_body": False}
            if piece := self._decode():
                return {"type": "http.request", "body": piece, "more_body": True}
            if not self._data and not self._more:
                if not self._decoder.eof:
                    raise _broken("it ends too early")
                return {"type": "http.request", "body": b"", "more_body": False}

    def _decode(self) -> bytes:
        if self._decoder.eof and self._data:  # several streams may follow each other (RFC 1952, 2.2)
            self._decoder = zlib.decompressobj(EITHER)
        self._begun = True
        try:
            piece = self._decoder.decompress(self._data, PIECE_BYTES)
        except zlib.error as error:
            raise _broken(str(error)) from None
        self._data = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
        return piece


def _broken(why: str) -> HTTPException:
    return HTTPException(400, f"The body is not what its Content-Encoding says: {why}.")
