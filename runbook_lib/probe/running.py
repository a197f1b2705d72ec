"""Sends what was planned, one call after the other, and never more than the limits allow."""

import asyncio
import os
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from runbook_lib import money, redact, schema
from runbook_lib.clock import stamp
from runbook_lib.contract import Domain
from runbook_lib.errors import RecordError
from runbook_lib.probe import reading
from runbook_lib.probe.asks import MODELS, PLAIN, USAGE, Ask
from runbook_lib.probe.planning import Plan, Step
from runbook_lib.probe.reading import Said
from runbook_lib.probe.target import Secret, secret
from runbook_lib.probe.wire import Heard, Wire, open_client, quiet
from runbook_lib.sources import gateway_answers

if TYPE_CHECKING:
    import pandas as pd

SOURCE = "live probe"

COLUMNS = (
    *("account", "key_name", "protocol", "model", "question", "asked_at", "status", "code"),
    *("cause", "retry", "supported", "response_model", "request_ids", "seconds", "worst_usd"),
    *("note", "source_file", "row_number"),
)
"""Columns of the answers: `supported` is a flag, null where nothing is decided; `seconds` (s),
`worst_usd` (USD the call was reckoned with)."""

Given = TypeVar("Given")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What the calls gave.

    Attributes:
        frame: A row a planned call, sent or not, in `COLUMNS`.
        key_state: What the keys answered of themselves, in the columns of `key_state`.
        calls: Calls sent. `worst_usd`: what they can have cost at most.
        notes: What people should know, a sentence each.
    """

    frame: "pd.DataFrame"
    key_state: "pd.DataFrame"
    calls: int
    worst_usd: Decimal
    notes: Sequence[str] = ()


@dataclass(slots=True, kw_only=True)
class _Run:
    """The state of a run: what was used, and what was heard."""

    plan: Plan
    now: datetime
    account: str
    begun: float
    calls: int = 0
    worst_usd: Decimal = money.ZERO
    rows: list[dict[str, Any]] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plain: dict[tuple[str, str], bool] = field(default_factory=dict)

    def keeps(self, step: Step) -> str:
        """Tell why a call may not be sent now; empty where it may."""
        limits = self.plan.limits
        if self.calls >= limits.calls:
            return f"not sent: the limit is {limits.calls} calls"
        if self.worst_usd + step.worst_usd > limits.usd:
            return f"not sent: it could go over {money.usd(limits.usd)}"
        if self.left_s <= 0:
            return f"not sent: {limits.total_s:g} s are over"
        ask = step.ask
        if ask.model and ask.question != PLAIN and not self.plain.get((ask.key_name, ask.model)):
            return "not sent: the model did not answer a plain question"
        return ""

    @property
    def left_s(self) -> float:
        """Seconds the next call may take."""
        left = self.plan.limits.total_s - (time.perf_counter() - self.begun)
        return max(0.0, min(self.plan.limits.call_s, left))

    @property
    def moment(self) -> datetime:
        """The time of the run, as its clock goes on."""
        return self.now + timedelta(seconds=time.perf_counter() - self.begun)


def run(
    plan: Plan, *, now: datetime, environ: Mapping[str, str] | None = None, account: str = ""
) -> Probed:
    """Send the calls of a plan.

    Args:
        plan: What was planned, and shown.
        now: The time, aware UTC.
        account: Account the keys belong to; empty where there is one.
        environ: Where keys come from; default the environment.

    Returns:
        The answers; a call that could not be sent or decided says why.

    Raises:
        MissingInputError: the environment holds no key that is needed; nothing was sent.
        ParameterError: what it holds is no key; nothing was sent.
    """
    names = plan.key_names
    held = os.environ if environ is None else environ
    keys = {name: secret(name, held, alone=len(names) == 1) for name in names}
    state = _Run(plan=plan, now=now, account=account, begun=time.perf_counter())
    with quiet(list(keys.values())):
        _finished(_calls(state, keys))
    return Probed(
        frame=_frame(state.rows),
        key_state=_states(state.states),
        calls=state.calls,
        worst_usd=state.worst_usd,
        notes=state.notes,
    )


async def _calls(state: _Run, keys: Mapping[str, Secret]) -> None:
    limits = state.plan.limits
    async with open_client(limits.call_s) as client:
        wire = Wire(
            target=state.plan.target,
            most_bytes=limits.answer_bytes,
            client=client,
        )
        for step in state.plan.steps:
            why = state.keeps(step)
            if why:
                state.rows.append(_row(step, Heard(), Said(supported=None, note=why), state))
                continue
            state.calls += 1
            state.worst_usd += step.worst_usd
            heard = await wire.send(step.ask, keys[step.ask.key_name], within_s=state.left_s)
            _take(step, heard, state)


def _take(step: Step, heard: Heard, state: _Run) -> None:
    """Keep what an answer says, of a key or of a model."""
    ask = step.ask
    if ask.question in (MODELS, USAGE):
        said = _of_key(ask, heard, state)
    else:
        said = reading.read(ask, heard)
        if ask.question == PLAIN:
            state.plain[ask.key_name, ask.model] = said.supported is True
    state.rows.append(_row(step, heard, said, state))


def _of_key(ask: Ask, heard: Heard, state: _Run) -> Said:
    """Keep the answer about a key as a saved one would be read."""
    said = reading.read(ask, heard)
    if heard.status is None or heard.text is None:
        return said
    name = f"{'v1_' if ask.question == USAGE else ''}{ask.question}_{ask.key_name or 'key'}.json"
    document = {
        "key_name": ask.key_name or None,
        "status": heard.status,
        "asked_at": stamp(state.moment),
        "body": dict(reading.document(heard.text)),
    }
    try:
        fields = gateway_answers.fields_of(document, source_file=name)
    except RecordError as error:
        state.notes.append(f"the answer about key {redact.safe(ask.key_name)}: {error}")
        return said
    shown = "models" if ask.question == MODELS else "mode"
    read = heard.status == 200 and fields[0].get(shown) is not None
    if read or said.domain in (Domain.KEY, Domain.ACCOUNT):
        state.states += [
            {**row, "account": state.account, "source_file": f"live {name}", "row_number": number}
            for number, row in enumerate(fields, start=1)
        ]
    return Said(supported=True, request_ids=said.request_ids) if read else said


def _row(step: Step, heard: Heard, said: Said, state: _Run) -> dict[str, Any]:
    ask = step.ask
    return {
        "account": state.account,
        "key_name": ask.key_name or None,
        "protocol": ask.protocol,
        "model": ask.model or None,
        "question": ask.question,
        "asked_at": state.moment,
        "status": heard.status,
        "code": said.code,
        "cause": said.cause,
        "retry": said.retry,
        "supported": said.supported,
        "response_model": said.model,
        "request_ids": ",".join(said.request_ids) or None,
        "seconds": round(heard.seconds, 3) if heard.status is not None else None,
        "worst_usd": step.worst_usd,
        "note": said.note or None,
        "source_file": SOURCE,
        "row_number": len(state.rows) + 1,
    }


def _frame(rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    import pandas as pd

    made = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    made["asked_at"] = pd.to_datetime(made["asked_at"], utc=True)
    kinds = {"status": "Int64", "supported": "boolean", "seconds": "float64", "row_number": "int64"}
    return made.astype(kinds)


def _states(rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Give live answers of keys the form of the stored ones."""
    import pandas as pd

    columns = schema.KEY_STATE.columns
    made = pd.DataFrame(rows, columns=[column.name for column in columns], dtype=object)
    for column in columns:
        if column.type == "instant":
            times = pd.to_datetime(made[column.name], utc=True)
            made[column.name] = times.astype("datetime64[us, UTC]")
        elif column.type == "int":
            made[column.name] = made[column.name].astype("Int64")
        else:
            made[column.name] = made[column.name].where(made[column.name].notna(), None)
    return made


def _finished(work: Coroutine[Any, Any, Given]) -> Given:
    """Run to its end, in a thread of its own where a notebook's loop runs already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
