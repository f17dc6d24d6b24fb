"""The reader of tables that the templates share, imported as their scripts import it."""

import sys

from tests.support.system import ROOT

sys.path.insert(0, str(ROOT / "templates/shared"))

import language
import look
import reading
import tables
import values

__all__ = ["language", "look", "reading", "tables", "values"]
