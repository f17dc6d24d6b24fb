"""Replaces names that the image's libraries do not have. Models know older libraries, and a repair costs a call.

A name is here only if it belongs to one library and has an exact replacement. ``error_hints`` explains the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from orchestrator.planning.kinds import BaseStep
from orchestrator.planning.kinds.python import PythonStep

#: Old code, as a regular expression, and its replacement.
_NEW = (
    (r"\.applymap\(", ".map("),
    (r"\.iteritems\(\)", ".items()"),
    (r"\.iterkeys\(\)", ".keys()"),
    (r"\.itervalues\(\)", ".values()"),
    (r"(\.str\.\w+\([^()\n]*\))\.(strip|lstrip|rstrip|lower|upper|title|capitalize)\(", r"\1.str.\2("),
    (r"\bImage\.ANTIALIAS\b", "Image.LANCZOS"),
    (r"\bnp\.(float|int|bool|object|str)\b(?!_)", r"\1"),
    (r"\bnp\.float_(?!\w)", "np.float64"),
    (r"\bnp\.complex_(?!\w)", "np.complex128"),
    (r"\bnp\.NaN\b", "np.nan"),
    (r"\bnp\.Inf\b", "np.inf"),
    (r"\bnp\.trapz\(", "np.trapezoid("),
    (r"\bnp\.in1d\(", "np.isin("),
    (r"\bpd\.np\.", "np."),
    (r"(?<=[(, ])delim_whitespace\s*=\s*True", r'sep=r"\\s+"'),
    (r"(?<=[(, ])error_bad_lines\s*=\s*False", 'on_bad_lines="skip"'),
    (r",\s*infer_datetime_format\s*=\s*True\b", ""),
    (r"\.fillna\(method\s*=\s*['\"]ffill['\"]\)", ".ffill()"),
    (r"\.fillna\(method\s*=\s*['\"]bfill['\"]\)", ".bfill()"),
    (r"\bplt\.style\.use\((['\"])seaborn(?!-v0_8)(-\w+)?\1\)", r"plt.style.use(\1seaborn-v0_8\g<2>\1)"),
)
_PATTERNS = [(re.compile(old), new) for old, new in _NEW]


def renew(steps: Sequence[BaseStep]) -> tuple[list[BaseStep], list[str]]:
    """Return the steps with current names in their Python code, and a note for each changed step."""
    found, notes = list[BaseStep](), []
    for step in steps:
        source = getattr(step, step.SOURCE) or ""
        new, names = _renewed(source) if _is_python(step) else (source, [])
        if names:
            step = step.model_copy(update={step.SOURCE: new})
            notes.append(f"Replaced old names in {step.writes or 'the code'}: {', '.join(names)}")
        found.append(step)
    return found, notes


def _is_python(step: BaseStep) -> bool:
    return step.writes.endswith(".py") if step.writes else isinstance(step, PythonStep)


def _renewed(source: str) -> tuple[str, list[str]]:
    names = []
    for pattern, new in _PATTERNS:
        if old := pattern.search(source):
            names.append(f"{old[0].strip(' ,(.')} → {old.expand(new).strip(' ,(.') or 'left out'}")
            source = pattern.sub(new, source)
    return source, names
