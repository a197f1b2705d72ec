"""Everything the project raises on purpose.

    RunbookError
    ├── ParameterError      a parameter has a value the runbook cannot work with      exit 2
    ├── InputError          a file or folder is not what it should be                 exit 2
    │   ├── UnknownSourceError   content of no known source                           exit 2
    │   └── VectorError          cases of a verification that contradict themselves   exit 2
    ├── MissingInputError   a question needs data that nobody gave                    exit 2
    ├── RecordError         one record of a file cannot be used; readers count it     -
    ├── AttemptError        one attempt of a call failed; its client decides what next  -
    ├── ConsoleError        the sandbox's console refuses a request; its answer says it   -
    ├── CallError           a call failed on every model that could be asked          exit 4
    ├── StoreError          the lake cannot be read or written                        exit 4
    ├── RunError            a notebook could not be run to its end                    exit 4
    └── StoppedError        a notebook stopped with one of these; keeps its exit code

Each says what happened, with the value, then what to do, in one sentence. `exit_code` is what a
command ends with when the error reaches it (0 clean, 1 findings, 2 wrong use, 3 partial,
4 could not run). Values in messages are made safe by the caller with `redact.safe`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar


class RunbookError(Exception):
    """Base of all errors of this project."""

    exit_code: ClassVar[int] = 4


class ParameterError(RunbookError):
    """A parameter has a value the runbook cannot work with."""

    exit_code = 2

    def __init__(self, name: str, value: object, *, hint: str) -> None:
        self.name, self.value, self.hint = name, value, hint
        super().__init__(f"{name}={value!r} cannot be used; give {hint}.")


class InputError(RunbookError):
    """A file or folder is not what it should be."""

    exit_code = 2

    def __init__(self, path: str | Path, what: str, *, hint: str) -> None:
        self.path, self.what, self.hint = path, what, hint
        super().__init__(f"{path} {what}; {hint}.")


class UnknownSourceError(InputError):
    """The content of a file is that of no known source, whatever its name."""

    def __init__(self, path: str | Path, looks_like: str) -> None:
        super().__init__(
            path,
            f"is no export, log or table that is known here (it looks like {looks_like})",
            hint="give a usage export (CSV), a call log (JSON lines) or a table of your own",
        )


class VectorError(InputError):
    """A file of cases for a verification cannot be used: broken, or it contradicts itself."""

    def __init__(self, path: str | Path, case: str, field: str, *, hint: str) -> None:
        self.case, self.field = case, field
        place = f"in case {case!r}, field {field!r}" if case else f"in {field}"
        super().__init__(path, f"cannot be used, {place}", hint=hint)


class MissingInputError(RunbookError):
    """A question needs data that nobody gave."""

    exit_code = 2

    def __init__(self, what: str, *, hint: str) -> None:
        self.what, self.hint = what, hint
        super().__init__(f"{what}; {hint}.")


class RecordError(RunbookError):
    """One record of a file cannot be used; the reader counts its reason and goes on.

    Attributes:
        reason: Why, in the same words for every record alike.
        field: The column that cannot be read; empty where it is not one column.
        value: What stands there, as found; show it only through `stage.short`.
    """

    def __init__(self, reason: str, *, field: str = "", value: object = None) -> None:
        self.reason, self.field, self.value = reason, field, value
        super().__init__(reason)


class AttemptError(RunbookError):
    """One attempt of a call failed; the client that sent it decides what follows."""

    def __init__(self, failure: Any) -> None:
        self.failure = failure
        super().__init__(str(failure))


class ConsoleError(RunbookError):
    """The sandbox's console refuses a request, in the console's own words.

    Attributes:
        status: Status of the answer.
        content: Its body.
        retry_after_s: What its header asks for; None for no header.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        reason: str = "",
        content: dict[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        self.status, self.retry_after_s = status, retry_after_s
        named = {"reason": reason} if reason else {}
        self.content = content or {"code": status, "message": message, **named}
        super().__init__(message)


class CallError(RunbookError):
    """A call failed on every model that could be asked.

    `attempts` holds what is known of each attempt, ids included; the other fields are those of the
    last one. `retry_after_s` is how long the gateway asked to wait, None where it did not.
    """

    def __init__(
        self, what: str, *, hint: str, attempts: Sequence[Any], retry_after_s: float | None = None
    ) -> None:
        self.attempts, self.retry_after_s = tuple(attempts), retry_after_s
        last = self.attempts[-1] if self.attempts else None
        self.status_code: int | None = getattr(last, "status", None)
        self.code: str | None = getattr(last, "code", None)
        self.cause: str = getattr(last, "outcome", "")
        self.request_ids = tuple(each for one in self.attempts for each in one.request_ids)
        super().__init__(f"{what} {hint}")


class StoreError(RunbookError):
    """The lake cannot be read or written."""

    def __init__(self, folder: str | Path, what: str, *, hint: str) -> None:
        self.folder, self.what, self.hint = folder, what, hint
        super().__init__(f"The store {folder} {what}; {hint}.")


class RunError(RunbookError):
    """A notebook could not be run to its end."""

    def __init__(self, runbook: str, what: str, *, hint: str) -> None:
        self.runbook, self.what, self.hint = runbook, what, hint
        super().__init__(f"{runbook} {what}; {hint}.")


class StoppedError(RunbookError):
    """A notebook stopped with one of these errors: its sentence, and the exit code it had."""

    def __init__(self, sentence: str, code: int) -> None:
        self.code = code
        super().__init__(sentence)
