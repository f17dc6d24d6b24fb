"""Small local servers that speak the protocols of model providers, to be asked by the providers' own SDKs.

One script for all kinds: see ``script.Turn``. A server checks what it is asked as strictly as the provider's reference
has it, answers by its script, and keeps what it was asked.
"""

from __future__ import annotations

from tests.support.providers.anthropic import AnthropicServer
from tests.support.providers.gemini import GeminiServer
from tests.support.providers.openai import OpenAIServer
from tests.support.providers.script import Asked, Server, Turn

__all__ = ["AnthropicServer", "Asked", "GeminiServer", "OpenAIServer", "Server", "Turn"]
