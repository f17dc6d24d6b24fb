"""All errors, as a tree. Each message says what happened and what to do next.

OrchestratorError
├── SettingsError        a setting is wrong; nothing was started
├── Busy                 another orchestrator uses the record or the run folder
├── RecordFull           the record cannot be written, because its disk is full
├── RecordClosed         the record cannot be written, because its writer thread has ended
├── DiskUnreadable       the free space of the record's disk cannot be read; jobs wait
├── RecordGone           the record was removed at run time; the orchestrator ends, and its next start makes a new one
├── Problem              an HTTP error response, as RFC 9457 problem details
│   ├── BadRequest       400, 413, 415, 422: the request is malformed or exceeds a limit
│   ├── Forbidden        401, 403
│   ├── NotFound         404: the job does not exist
│   ├── Conflict         409, 424: the job's state does not allow it, for example because the job still runs
│   ├── Gone             410: the job's files have expired
│   └── Unavailable      429, 502, 503, 507: no capacity, or the system is stopping
├── EngineError          the engine's own message
│   ├── EngineDown       the engine does not answer; jobs wait
│   └── ImageMissing     the image is missing or has another version; jobs wait
└── ModelError           a model call gave no usable answer; the message never contains a key
    ├── ModelRefused     the model refused, or a safety filter blocked the answer
    ├── ModelRejected    the provider rejected the request, usually because it is too long
    ├── ModelCut         the model reached its length limit, or repeated itself, before its answer began
    ├── ModelEmpty       the answer was empty
    ├── ModelBroken      the answer broke off, or is far too long
    ├── ModelAway        unreachable or failing after all retries, or no answer within MODEL_SECONDS
    ├── ModelBusy        still 429 after all retries
    └── ModelDenied      wrong key, model name, address or account; the message names the setting
"""

from __future__ import annotations

from dataclasses import dataclass


class OrchestratorError(Exception):
    """Base class of all errors."""


class SettingsError(OrchestratorError):
    """A setting is wrong. Nothing was started."""


class Busy(OrchestratorError):
    """Another orchestrator uses the record or the run folder."""


class RecordFull(OrchestratorError):
    """The record cannot be written, because its disk is full. Unanswered requests were not stored."""


class RecordClosed(OrchestratorError):
    """Nothing is written to the record any more: the thread that writes it has ended."""


class DiskUnreadable(OrchestratorError):
    """The free space of the record's disk cannot be read. Nothing is deleted to make room meanwhile."""


class RecordGone(OrchestratorError):
    """The record was removed while the orchestrator ran."""


class Problem(OrchestratorError):
    """An HTTP error response in the format of RFC 9457.

    ``type`` is a stable word, sent as a relative reference. ``title`` is the same for each error of that type.
    ``detail`` says what happened and what to do. ``headers`` are added to the response, ``extra`` to its members.
    """

    def __init__(
        self,
        status: int,
        type: str,
        title: str,
        detail: str,
        headers: dict[str, str] | None = None,
        **extra: object,
    ) -> None:
        super().__init__(detail)
        self.status, self.type, self.title, self.detail = status, type, title, detail
        self.headers = headers or {}
        self.extra = extra


class BadRequest(Problem):
    """The request is malformed or exceeds a limit."""


class Forbidden(Problem):
    """The client is not allowed to do this."""


class NotFound(Problem):
    """The requested object does not exist."""


class Conflict(Problem):
    """The job's state does not allow the request."""


class Gone(Problem):
    """The job's files have expired."""


class Unavailable(Problem):
    """No capacity, or the system is stopping."""


class EngineError(OrchestratorError):
    """The engine refused. The message is the engine's own; ``to_do`` says what a person can do."""

    def __init__(self, detail: str, to_do: str = "") -> None:
        super().__init__(detail)
        self.to_do = to_do


class EngineDown(EngineError):
    """The engine does not answer."""


class ImageMissing(EngineError):
    """The image is missing, or its version differs from the orchestrator's."""


@dataclass(frozen=True)
class Usage:
    """Usage of model calls.

    ``calls`` counts the calls that got any answer. Tokens include each call's prompt and the model's reasoning.
    ``estimated`` is true if a server did not report its tokens; they are then estimated from the lengths of the texts.
    """

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.estimated or other.estimated,
        )


class ModelError(OrchestratorError):
    """A model call gave no usable answer.

    ``usage`` is the call's usage; refusals cost money too. ``partial`` is the part of the answer that arrived.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.usage = Usage()
        self.partial = ""


class ModelRefused(ModelError):
    """The model refused, or a safety filter blocked the answer."""


class ModelRejected(ModelError):
    """The provider rejected the request, usually because it is too long."""


class ModelCut(ModelError):
    """The model reached its length limit, or repeated itself, before its answer began."""


class ModelEmpty(ModelError):
    """The answer was empty."""


class ModelBroken(ModelError):
    """The answer broke off, or is far too long."""


class ModelAway(ModelError):
    """The model was unreachable or failing after all retries, or did not answer within MODEL_SECONDS."""


class ModelBusy(ModelError):
    """The provider still answered 429 (too many requests) after all retries."""


class ModelDenied(ModelError):
    """The key, the model's name, the address or the account is wrong. The message names the setting."""


def no_such_job(job_id: str) -> NotFound:
    """Build the 404 for an unknown job ID."""
    return NotFound(404, "no-such-job", "No such job", f"There is no job {job_id[:64]!r}. GET /jobs lists all jobs.")
