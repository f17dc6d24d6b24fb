"""Queries a running orchestrator's health, for the container's health check and ``make up``.

It imports little, because it runs every few seconds on the orchestrator's CPU.
"""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request

from orchestrator.settings import Settings


def health(settings: Settings) -> int:
    """Print a running orchestrator's health. Returns 0 if it is healthy."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    request = urllib.request.Request(f"http://{host}:{settings.port}/health")
    if settings.api_key:
        request.add_header("Authorization", f"Bearer {settings.api_key.get_secret_value()}")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own http URL
            print(response.read().decode())
            return 0
    except urllib.error.HTTPError as error:
        body = error.read().decode("utf-8", "replace")
        with contextlib.suppress(ValueError):
            body = json.dumps(json.loads(body), indent=2)
        print(body)
    except OSError as error:
        print(f"The orchestrator at {host}:{settings.port} does not answer: {error}.")
    return 1
