"""Fallback verification: a client played through faults, and what a call log says of the same."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from runbook_lib import clock, report
from runbook_lib.analysis import retries
from runbook_lib.analysis.rules import worst_first
from runbook_lib.clock import Window
from runbook_lib.errors import ParameterError
from runbook_lib.findings import Attachment, Exhibit, Grade, NextSteps, Report, Verdict
from runbook_lib.runbooks.logged import logged
from runbook_lib.runbooks.shared import finished
from runbook_lib.verify import cells, judge, play, vectors, verdicts
from runbook_lib.verify.records import Cell

if TYPE_CHECKING:
    from runbook_lib.store import Store
    from runbook_lib.verify.verdicts import Verified

LOG_DAYS = 28
"""Days of the call log, up to its end, that are judged."""

MOST_MODELS = 6


def verify_fallback(
    store: "Store",
    client: str = "openai",
    *,
    models: Sequence[str] = (),
    depth: str = "smoke",
    seed: int = 7,
    deadline_s: float = 0.0,
    cases: str = "",
    timezone: str = "UTC",
    now: str = "",
) -> Report:
    """Prove that a client survives refusals, cut streams and outages, before an incident does.

    The client runs in a process of its own against a sandbox gateway on loopback; nothing else is
    called. It is judged by what the server saw and by what its caller got.

    Args:
        store: The lake, from `open_store`: its call log is judged beside the client.
        client: `module:function`, called as `ask(prompt, *, base_url, api_key, models, stream,
            deadline_s)`, plain or async, giving the text or raising; or an adapter: openai,
            anthropic, google-genai, httpx, litellm, langchain, reference; or `command:WORDS`, which
            finds the same in its environment (`TOROUTER_BASE_URL` and so on).
        models: Models in order of preference, for every protocol; empty for the sandbox's own.
        depth: "smoke" (a case each in one way, under 15 s) or "full" (every case in every way).
        seed: Where chance begins: the same seed plays the same matrix.
        deadline_s: Seconds the client is given for a call; 0 for what each case says.
        cases: Path of a TOML file with cases of your own beside the built-in ones; empty for none.
        timezone: IANA zone of the report.
        now: Time the report is made for; empty is the clock, on sample data their end.

    Returns:
        The Report. `exhibits`: matrix, deviations, metrics, rehearsal, timings, and those of the
        call log where there is one; `attachments`: the verdicts as JUnit XML.

    Raises:
        ParameterError: a value cannot be used, or the client cannot be loaded.

    Source: contract §3, §6 (D, M); the reference policy is that of the cases.
    """
    report.install()
    clock.zone(timezone)
    _checked(models, deadline_s)
    known = vectors.load(cases)
    spec = play.find_client(client)
    named = {protocol: tuple(models) for protocol in spec.protocols} if models else None
    wanted = cells.cells(known, spec, depth=depth, seed=seed, models=named)
    wanted = [_given(cell, deadline_s) for cell in wanted]
    played = play.play(spec, wanted, seed=seed)
    verified = verdicts.judge_all(client, played, known, cells=wanted, seed=seed, depth=depth)
    log = _log(store, timezone)
    made = _report(verified, log, depth, sample=store.sample)
    given = {"client": client, "models": list(models), "depth": depth, "seed": seed}
    rest = {"deadline_s": deadline_s, "cases": cases, "timezone": timezone, "now": now}
    return finished(made, store, {**given, **rest})


def _checked(models: Sequence[str], deadline_s: float) -> None:
    if isinstance(models, str) or len(models) > MOST_MODELS or not all(models):
        raise ParameterError("models", models, hint="a list of names, the primary first")
    if not 0 <= deadline_s <= 600:
        raise ParameterError("deadline_s", deadline_s, hint="seconds from 0 to 600")


def _given(cell: Cell, deadline_s: float) -> Cell:
    return replace(cell, deadline_s=deadline_s) if deadline_s else cell


def _log(store: "Store", timezone: str) -> retries.Judged | None:
    """What the call log of the last weeks says; None where there is none."""
    span = store.span("calls")
    if span is None:
        return None
    start = max(span.start, span.end - timedelta(days=LOG_DAYS))
    asked, examples = logged(store, Window(start=start, end=span.end), timezone=timezone)
    return retries.judge_log(asked, examples)


def _report(
    verified: "Verified", log: retries.Judged | None, depth: str, *, sample: bool
) -> Report:
    """Put both judgements together; a made-up log is shown and counts for nothing."""
    told = log.exhibits if log is not None else {}
    logged_too = log.findings if log is not None and not sample else ()
    findings = worst_first([*verified.findings, *logged_too])
    return Report(
        runbook="fallback_verification",
        verdict=Verdict(
            title=_title(verified),
            grade=Grade.INCONCLUSIVE if verified.cause == "client_untested" else Grade.CONFIRMED,
            cause=verified.cause,
            domain=None if verified.cause == "client_passes" else "caller",
        ),
        findings=findings,
        exhibits={**_exhibits(verified), **told},
        next_steps=NextSteps(steps=verified.next_steps),
        summary=_summary(verified, log, depth),
        attachments=(Attachment(name="junit.xml", text=verified.junit),),
    )


def _title(verified: "Verified") -> str:
    cases = verified.matrix.loc[verified.matrix["verdict"] == "error", "case"].nunique()
    warned = verified.matrix.loc[verified.matrix["verdict"] == "warning", "case"].nunique()
    of = verified.matrix["case"].nunique()
    if verified.cause == "client_untested":
        return f"The client {verified.client} could not be tested"
    if verified.cause == "client_passes":
        return f"The client {verified.client} does what a correct one does, in all {of} cases"
    more = f", and {warned} with a warning" if warned else ""
    return f"The client {verified.client} goes wrong in {cases} of {of} cases{more}"


def _summary(verified: "Verified", log: retries.Judged | None, depth: str) -> list[tuple[str, str]]:
    verdict = judge.Verdict
    counts = [f"{verified.count(one):,} {one}" for one in verdict if verified.count(one)]
    told = [("Played", f"{len(verified.judged):,} cells ({depth}): {', '.join(counts)}")]
    if log is not None:
        told.append(
            ("Call log", f"{log.calls:,} calls, {log.attempts:,} attempts judged beside it")
        )
    return told


def _exhibits(verified: "Verified") -> dict[str, Exhibit]:
    made = (
        Exhibit(
            name="matrix",
            title="Every case, as it was played",
            frame=verified.matrix,
            chart="heat",
            note="A field holds all protocols and flavours of a case; 2/4 says that two of four "
            "went wrong.",
        ),
        Exhibit(
            name="deviations",
            title="What it does otherwise, dearest first",
            frame=verified.deviations.drop(columns=["rule", "change"]),
            note="Cost is what was sent or billed in vain in these cells, at the sandbox's prices.",
        ),
        Exhibit(name="metrics", title="In numbers", frame=verified.metrics),
        Exhibit(
            name="rehearsal",
            title="What the client wastes once its key is stopped",
            frame=verified.rehearsal,
            note="A real cap, window or balance of the sandbox runs out while it calls.",
        ),
        Exhibit(
            name="timings",
            title="How long every call took",
            frame=verified.timings,
            note="Measured, so never the same twice.",
        ),
    )
    return {item.name: item for item in made}
