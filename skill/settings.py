"""Settings as compose sees them: from the shell, else from .env. An empty setting means the default."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def known() -> dict[str, str]:
    """Return all settings in .env or the shell."""
    dotenv = ROOT / ".env"
    lines = re.findall(r"^(\w+)=(.*)$", dotenv.read_text(encoding="utf-8"), re.MULTILINE) if dotenv.exists() else []
    return {name: value.strip().strip("'\"") for name, value in lines} | dict(os.environ)


def setting(name: str, default: str) -> str:
    return known().get(name) or default
