"""Everything that can go wrong, as a tree. Each error says what happened and what to do next.

OrchestratorError
├── SettingsError        a setting is wrong: nothing was started
├── Busy                 another orchestrator holds the record or the run folder
├── RecordFull           nothing can be written to the record: its disk is full
├── RecordClosed         nothing is written to the record any more: the thread that writes it has ended
├── RecordGone           the record was removed while the system ran: it ends, and the next start begins anew
├── Problem              an answer to a caller: RFC 9457 problem details, with an HTTP status
│   ├── BadRequest       400, 413, 415, 422: the request cannot be understood or is out of bounds
│   ├── Forbidden        401, 403
│   ├── NotFound         404: there is no such job
│   ├── Conflict         409: not now (the job still runs), or not any more
│   ├── Gone             410: the job's files have expired
│   └── Unavailable      429, 503, 507: no room, or shutting down
├── EngineError          the engine's own words
│   ├── EngineDown       it does not answer: jobs wait
│   └── ImageMissing     the image is not there, or of another version: jobs wait
└── ModelError           a question to the model got no answer that can be used; never has a key in it
    ├── ModelRefused     it will not answer this: a refusal, a safety block
    ├── ModelRejected    the question cannot be taken as it is: mostly it is too long
    ├── ModelCut         the model reached its length limit, or went round in circles, before its answer began
    ├── ModelEmpty       there was nothing in the answer
    ├── ModelBroken      the model stopped in the middle of its answer, or the answer is far too long
    ├── ModelAway        not reached, or failing, after a bounded number of tries; or no answer in MODEL_SECONDS
    ├── ModelBusy        429, still so after a bounded number of tries
    └── ModelDenied      the key, the model's name, the address or the account: names the setting
"""

from __future__ import annotations

from dataclasses import dataclass


class OrchestratorError(Exception):
    """Base of all."""


class SettingsError(OrchestratorError):
    """A setting is wrong: nothing was started."""


class Busy(OrchestratorError):
    """Another orchestrator holds the record or the run folder."""


class RecordFull(OrchestratorError):
    """Nothing can be written to the record: its disk is full. What was not answered is not stored."""


class RecordClosed(OrchestratorError):
    """Nothing is written to the record any more: the thread that writes it has ended."""


class RecordGone(OrchestratorError):
    """The record was removed while the system ran."""


class Problem(OrchestratorError):
    """An answer to a caller, as RFC 9457 says it.

    ``type`` is a stable word (a relative reference in the answer), ``title`` the same for all of the type, ``detail``
    what happened this time and what to do. ``headers`` go along, ``extra`` are further members of the answer.
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
    """The request cannot be understood or is out of bounds."""


class Forbidden(Problem):
    """The caller may not do this."""


class NotFound(Problem):
    """There is no such thing."""


class Conflict(Problem):
    """Not in this state of the job."""


class Gone(Problem):
    """The job's files have expired."""


class Unavailable(Problem):
    """No room, or shutting down."""


class EngineError(OrchestratorError):
    """The engine refused; the message has its own words. ``to_do`` says what a person can do."""

    def __init__(self, detail: str, to_do: str = "") -> None:
        super().__init__(detail)
        self.to_do = to_do


class EngineDown(EngineError):
    """The engine does not answer."""


class ImageMissing(EngineError):
    """The image is not there, or of another version than the orchestrator."""


@dataclass(frozen=True)
class Usage:
    """What questions to a model have used.

    ``calls`` got an answer, whatever its worth. Tokens include the prompt of each call, and what the model thought.
    ``estimated``: of some call the server did not say them, and they are taken from the length of the texts.
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
    """A question to the model got no answer that can be used.

    ``usage`` is what it has cost nevertheless: a refusal, too, is paid for. ``partial`` is what had arrived of the
    answer.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.usage = Usage()
        self.partial = ""


class ModelRefused(ModelError):
    """It will not answer this: a refusal, or a safety block."""


class ModelRejected(ModelError):
    """The question cannot be taken as it is: mostly it is too long."""


class ModelCut(ModelError):
    """The model reached its length limit, or went round in circles, before its answer began."""


class ModelEmpty(ModelError):
    """There was nothing in the answer."""


class ModelBroken(ModelError):
    """The model stopped in the middle of its answer, or the answer is far too long."""


class ModelAway(ModelError):
    """Not reached, or failing, after a bounded number of tries; or no answer in MODEL_SECONDS."""


class ModelBusy(ModelError):
    """It said "too many requests", and still does after a bounded number of tries."""


class ModelDenied(ModelError):
    """The key, the model's name, the address or the account is wrong: the sentence names the setting."""


def no_such_job(job_id: str) -> NotFound:
    """The answer to an id that no job has."""
    return NotFound(
        404, "no-such-job", "No such job", f"There is no job {job_id[:64]!r}. GET /jobs lists those there are."
    )
