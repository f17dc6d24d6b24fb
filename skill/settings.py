"""Settings of the product, as compose sees them."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: What says which model answers; passed on to the orchestrator that the suite starts.
MODEL = (
    "LLM_PROVIDER", "GEMINI_API_KEY", "GEMINI_MODEL", "GEMINI_BASE_URL", "LLM_BASE_URL", "LLM_API_KEY", "LLM_MODEL",
    "MODEL_SECONDS", "MAX_REPAIRS",
)  # fmt: skip


def setting(name: str, default: str) -> str:
    """The shell's value, else that of .env; the default where it is empty."""
    value = os.environ.get(name)
    dotenv = ROOT / ".env"
    if value is None and dotenv.exists():
        lines = re.findall(rf"^{name}=(.*)$", dotenv.read_text(encoding="utf-8"), re.MULTILINE)
        value = lines[-1].strip().strip("'\"") if lines else None
    return value or default


def model_name() -> str:
    """The configured model; for the report."""
    if setting("LLM_PROVIDER", "auto") in ("auto", "gemini") and setting("GEMINI_API_KEY", ""):
        return setting("GEMINI_MODEL", "gemini (default)")
    return setting("LLM_MODEL", "none")
