"""The steps and limits that a job can request. Every text and list is bounded."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import AfterValidator, Field

from orchestrator.planning.fields import MOST_SECONDS, Model, Output
from orchestrator.planning.kinds import Step
from orchestrator.sizes import Size, show_size, size_schema

#: Maximum numbers of steps, declared outputs, and labels.
STEPS, OUTPUTS, LABELS = 100, 50, 32

#: Bounds in bytes of a container's memory and of the workspace files in a ZIP.
LEAST_MEMORY = 64 * 2**20
LEAST_ZIP, MOST_ZIP = 2**16, 2**40

MEMORY_OF_MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
CPUS_OF_MACHINE = os.cpu_count() or 1

Steps = Annotated[list[Step], Field(min_length=1, max_length=STEPS)]
Outputs = Annotated[list[Output], Field(max_length=OUTPUTS)]


def _memory(value: int) -> int:
    if not LEAST_MEMORY <= value <= MEMORY_OF_MACHINE:
        raise ValueError(f"must be between 64m and this machine's memory ({show_size(MEMORY_OF_MACHINE)})")
    return value


class Limits(Model):
    """The limits of a job. Each is optional."""

    seconds: float = Field(
        600,
        gt=0,
        le=MOST_SECONDS,
        description="For all steps and all waiting for the model together. A check has the same time again.",
    )
    memory: Annotated[Size, AfterValidator(_memory), size_schema(LEAST_MEMORY, MEMORY_OF_MACHINE)] = Field(
        2**30, description="Memory of the container; bytes, or `1g` (2^30)."
    )
    cpus: float = Field(1.0, ge=0.1, le=CPUS_OF_MACHINE, description="CPUs; fractions are allowed.")
    processes: int = Field(256, ge=32, le=32_768, description="Maximum number of processes and threads.")
    calls: int = Field(20, ge=1, le=1000, description="Maximum calls of the model.")
    tokens: int = Field(500_000, ge=1, le=10**9, description="Maximum tokens of the model, input and output together.")
    cost: float = Field(1.0, ge=0, le=10_000, description="Maximum cost of the model in US$, if its price is known.")
    zip: Annotated[Size, Field(ge=LEAST_ZIP, le=MOST_ZIP), size_schema(LEAST_ZIP, MOST_ZIP)] = Field(
        2**30, description="Maximum size of the job's files in the ZIP. Beyond it, the largest files are left out."
    )
