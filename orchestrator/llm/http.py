"""The HTTP client for the SDKs. It limits answers while they arrive and follows no redirects with a key."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import cache

import httpx2

#: Maximum bytes of an answer. The longest answers have some hundred thousand tokens of about four bytes.
ANSWER_BYTES = 4 * 2**20

#: Seconds to connect. Only MODEL_SECONDS limits the answer, because reasoning takes time.
CONNECT_SECONDS = 10.0


class TooLong(Exception):
    """The answer has more than ANSWER_BYTES, or is compressed although we asked for no compression."""


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        had = 0
        async for part in self._stream:
            had += len(part)
            if had > ANSWER_BYTES:
                raise TooLong(f"The answer is larger than {ANSWER_BYTES >> 20} MiB.")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


#: Responses opened inside the current ``closing`` block.
_opened: ContextVar[list[httpx2.Response] | None] = ContextVar("opened", default=None)


@asynccontextmanager
async def closing() -> AsyncIterator[None]:
    """Close all responses that were opened in the block. An SDK may leave that to the garbage collector."""
    opened: list[httpx2.Response] = []
    token = _opened.set(opened)
    try:
        yield
    finally:
        _opened.reset(token)
        for response in opened:
            await response.aclose()


async def _bound(response: httpx2.Response) -> None:
    """Check the headers before the body is read."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise TooLong(
            "The server compressed the answer without being asked. It is not unpacked, because its size has no limit."
        )
    assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - an asynchronous client's always is
    response.stream = _Bounded(response.stream)
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
