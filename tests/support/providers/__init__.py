"""Small local servers that speak the protocols of model providers. The providers' own SDKs call them.

All servers use the same kind of script: see ``script.Turn``. A server checks each request as strictly as the provider's
reference, answers by its script, and keeps the requests.
"""

from __future__ import annotations

from tests.support.providers.anthropic import AnthropicServer
from tests.support.providers.gemini import GeminiServer
from tests.support.providers.openai import OpenAIServer
from tests.support.providers.script import Asked, Server, Turn

__all__ = ["AnthropicServer", "Asked", "GeminiServer", "OpenAIServer", "Server", "Turn"]
