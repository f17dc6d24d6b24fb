"""The HTTP client for the SDKs. It limits answers while they arrive and follows no redirects with a key."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import cache

import brotli
import httpx2

#: Maximum bytes of an answer. The longest answers have some hundred thousand tokens of about four bytes.
ANSWER_BYTES = 4 * 2**20

#: Seconds to connect. Only MODEL_SECONDS limits the answer, because reasoning takes time.
CONNECT_SECONDS = 10.0


class TooLong(Exception):
    """The answer has more than ANSWER_BYTES, or its compression is unknown."""


class _Bounded(httpx2.AsyncByteStream):
    """Limits an answer, and unpacks it within the limit. Requests ask for no compression, but some servers compress.

    The first bytes say what is packed, because some proxies send a wrong Content-Encoding or none.
    """

    def __init__(self, stream: httpx2.AsyncByteStream, encoding: str) -> None:
        self._stream, self._encoding = stream, encoding

    async def __aiter__(self) -> AsyncIterator[bytes]:
        had, unpack, first = 0, None, b""
        async for part in self._parts():
            if unpack is None:
                first += part
                if len(first) < FIRST and part:
                    continue
                unpack, part = _unpacker(self._encoding, first), first
            for piece in unpack(part):
                had += len(piece)
                if had > ANSWER_BYTES:
                    raise TooLong(f"The answer is larger than {ANSWER_BYTES >> 20} MiB.")
                yield piece

    async def _parts(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            if part:
                yield part
        yield b""  # the end

    async def aclose(self) -> None:
        await self._stream.aclose()


#: Bytes that are unpacked at a time, and first bytes that tell whether an answer is packed.
PIECE, FIRST = 2**16, 8


def _unpacker(encoding: str, first: bytes) -> Callable[[bytes], Iterator[bytes]]:
    """Return a function that unpacks the parts of an answer. Raises TooLong for an unknown compression."""
    if first.startswith(b"\x1f\x8b"):
        return _inflated(zlib.decompressobj(zlib.MAX_WBITS | 16))
    if encoding in ("deflate", "zlib"):
        zlib_header = first[:1] == b"\x78" and int.from_bytes(first[:2].ljust(2, b"\0")) % 31 == 0
        return _inflated(zlib.decompressobj(zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS))
    if encoding == "br" and not first.lstrip().startswith((b"{", b"[", b"data:", b"event:", b":")):
        return _unbrotlied(brotli.Decompressor())
    if encoding in ("zstd", "compress"):
        raise TooLong(f"The server compressed the answer with {encoding} without being asked; it is not unpacked.")
    return lambda part: iter((part,))


def _inflated(decoder: zlib._Decompress) -> Callable[[bytes], Iterator[bytes]]:
    def unpack(part: bytes) -> Iterator[bytes]:
        try:
            while part and not decoder.eof:
                yield decoder.decompress(part, PIECE)
                part = decoder.unconsumed_tail
        except zlib.error as error:
            raise httpx2.DecodingError(f"the compressed answer is broken: {error}") from None

    return unpack


def _unbrotlied(decoder: brotli.Decompressor) -> Callable[[bytes], Iterator[bytes]]:
    def unpack(part: bytes) -> Iterator[bytes]:
        try:
            piece = decoder.process(part, output_buffer_limit=PIECE)
            while piece or not decoder.can_accept_more_data():
                yield piece
                piece = decoder.process(b"", output_buffer_limit=PIECE)
        except brotli.error as error:
            raise httpx2.DecodingError(f"the compressed answer is broken: {error}") from None

    return unpack


#: Responses opened inside the current ``closing`` block.
_opened: ContextVar[list[httpx2.Response] | None] = ContextVar("opened", default=None)


@asynccontextmanager
async def closing() -> AsyncIterator[list[httpx2.Response]]:
    """List all responses that are opened in the block, and close them.

    An SDK may leave that to the garbage collector.
    """
    opened: list[httpx2.Response] = []
    token = _opened.set(opened)
    try:
        yield opened
    finally:
        _opened.reset(token)
        for response in opened:
            await response.aclose()


async def _bound(response: httpx2.Response) -> None:
    """Limit the body before it is read, and unpack it within the limit."""
    encoding = response.headers.pop("content-encoding", "identity").strip().lower().removeprefix("x-")
    assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - an asynchronous client's always is
    response.stream = _Bounded(response.stream, encoding)
    if (opened := _opened.get()) is not None:
        opened.append(response)


@cache
def tls() -> ssl.SSLContext:
    """Load the system's certificates, or SSL_CERT_FILE. This takes a while."""
    return ssl.create_default_context()


def client() -> httpx2.AsyncClient:
    """Return a client for one SDK, with proxies from the environment."""
    return httpx2.AsyncClient(
        verify=tls(),
        headers={"Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        limits=httpx2.Limits(max_connections=None),
        follow_redirects=False,
        event_hooks={"response": [_bound]},
    )
