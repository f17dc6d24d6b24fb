"""The reader of logs of the template log-report, imported as its scripts import it."""

import sys

from tests.support.system import ROOT

sys.path.insert(0, str(ROOT / "templates/shared"))
sys.path.insert(0, str(ROOT / "templates/log-report"))

import log_files
import log_lines
import log_report

__all__ = ["log_files", "log_lines", "log_report"]
