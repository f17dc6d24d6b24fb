"""The HTTP client under the SDKs: an answer is bounded while it comes in, and nobody is sent elsewhere with a key."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import cache

import httpx2

#: Bytes of an answer. The longest that any model gives are some hundred thousand tokens, of four bytes or so.
ANSWER_BYTES = 4 * 2**20

#: Seconds to get a connection; for the answer itself there is MODEL_SECONDS alone, because thinking takes its time.
CONNECT_SECONDS = 10.0


class TooLong(Exception):
    """An answer of more than ANSWER_BYTES, or one that is compressed although we do not take that."""


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        had = 0
        async for part in self._stream:
            had += len(part)
            if had > ANSWER_BYTES:
                raise TooLong(f"The answer has more than {ANSWER_BYTES >> 20} MiB.")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


#: Responses that were opened in the block of ``closing`` that is under way.
_opened: ContextVar[list[httpx2.Response] | None] = ContextVar("opened", default=None)


@asynccontextmanager
async def closing() -> AsyncIterator[None]:
    """Close the responses that are opened in the block when it ends: an SDK may leave that to the garbage collector."""
    opened: list[httpx2.Response] = []
    token = _opened.set(opened)
    try:
        yield
    finally:
        _opened.reset(token)
        for response in opened:
            await response.aclose()


async def _bound(response: httpx2.Response) -> None:
    """Called when the headers are there, and nothing of the body has been read."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise TooLong("The answer is compressed, which was not asked for: it may be huge once it is unpacked.")
    assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - an asynchronous client's always is
    response.stream = _Bounded(response.stream)
    if (opened := _opened.get()) is not None:
        opened.append(response)


@cache
def tls() -> ssl.SSLContext:
    """The system's certificates, or those of SSL_CERT_FILE: it takes a while to read them."""
    return ssl.create_default_context()


def client() -> httpx2.AsyncClient:
    """A client for one SDK. Proxies are those of the environment."""
    return httpx2.AsyncClient(
        verify=tls(),
        headers={"Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        limits=httpx2.Limits(max_connections=None),
        follow_redirects=False,
        event_hooks={"response": [_bound]},
    )
