"""Fallback verification: a client played through faults, and what a call log says of the same."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd

from runbook_lib import clock, report
from runbook_lib.analysis import pair as audits
from runbook_lib.analysis import retries
from runbook_lib.analysis.rules import worst_first
from runbook_lib.clock import Window
from runbook_lib.errors import ParameterError
from runbook_lib.findings import Attachment, Exhibit, Grade, NextSteps, Report, Verdict
from runbook_lib.pricing import price_list
from runbook_lib.probe import Limits, Wanted
from runbook_lib.runbooks.logged import logged
from runbook_lib.runbooks.paired import paired, with_live
from runbook_lib.runbooks.probed import of_gateway, of_sandbox
from runbook_lib.runbooks.shared import finished, held, time_of
from runbook_lib.verify import cells, judge, play, vectors, verdicts
from runbook_lib.verify import client as clients
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
    live: bool = False,
    max_calls: int = 20,
    max_usd: float = 0.1,
    timezone: str = "UTC",
    now: str = "",
) -> Report:
    """Prove that a client survives refusals, cut streams and outages, before an incident does.

    The client runs in a process of its own against a sandbox gateway on loopback; nothing else is
    called unless *live* is set. It is judged by what the server saw and by what its caller got.

    Args:
        store: The lake, from `open_store`: its call log is judged beside the client.
        client: `module:function`, called as `ask(prompt, *, base_url, api_key, models, stream,
            deadline_s)`, plain or async, giving the text or raising; or an adapter: openai,
            anthropic, google-genai, httpx, litellm, langchain, reference; or `command:WORDS`, which
            finds the same in its environment (`TOROUTER_BASE_URL` and so on).
        models: Models in order of preference, for every protocol, each with the name of its key
            behind an @ where that is known: "gpt-5.4@prod-web". Empty for the sandbox's own, and
            for the pair that the log shows most.
        depth: "smoke" (a case each in one way, under 15 s) or "full" (every case in every way).
        seed: Where chance begins: the same seed plays the same matrix.
        deadline_s: Seconds the client is given for a call; 0 for what each case says.
        cases: Path of a TOML file with cases of your own beside the built-in ones; empty for none.
        live: Whether the real gateway is asked too what the models can, one token a question, with
            keys of the environment; the limits are said before and held.
        max_calls: Live calls at most.
        max_usd: USD that they may cost at most.
        timezone: IANA zone of the report.
        now: Time the report is made for; empty is the clock, on sample data their end.

    Returns:
        The Report. `exhibits`: matrix, deviations, metrics, rehearsal, timings, pair_audit, and
        those of the call log where there is one; `attachments`: the verdicts as JUnit XML.

    Raises:
        ParameterError: a value cannot be used, or the client cannot be loaded.

    Source: contract §3, §6 (D, M); the reference policy is that of the cases.
    """
    report.install()
    place = clock.zone(timezone)
    _checked(models, deadline_s)
    limits = Limits(calls=max_calls, usd=Decimal(str(max_usd)))
    known = vectors.load(cases)
    spec = play.find_client(client)
    bare = tuple(model.partition("@")[0] for model in models)
    named = dict.fromkeys(spec.protocols, bare) if models else None
    wanted = cells.cells(known, spec, depth=depth, seed=seed, models=named)
    wanted = [_given(cell, deadline_s) for cell in wanted]
    played = play.play(spec, wanted, seed=seed)
    verified = verdicts.judge_all(client, played, known, cells=wanted, seed=seed, depth=depth)
    log = _log(store, timezone)
    pairs = _pairs(models, log) or _pairs(clients.MODELS[spec.protocols[0]], None)
    at = time_of(store, now, place)
    audited = _audited(store, pairs, at, log, live=limits if live else None, seed=seed)
    made = _report(verified, log, audited, depth, sample=store.sample)
    given = {"client": client, "models": list(models), "depth": depth, "seed": seed}
    rest = {"deadline_s": deadline_s, "cases": cases, "timezone": timezone, "now": now}
    bounds = {"live": live, "max_calls": max_calls, "max_usd": max_usd}
    return finished(made, store, {**given, **rest, **bounds})


def _checked(models: Sequence[str], deadline_s: float) -> None:
    if isinstance(models, str) or len(models) > MOST_MODELS or not all(models):
        raise ParameterError("models", models, hint="a list of names, the primary first")
    if not 0 <= deadline_s <= 600:
        raise ParameterError("deadline_s", deadline_s, hint="seconds from 0 to 600")


def _given(cell: Cell, deadline_s: float) -> Cell:
    return replace(cell, deadline_s=deadline_s) if deadline_s else cell


def _recent(span: Window) -> Window:
    return Window(start=max(span.start, span.end - timedelta(days=LOG_DAYS)), end=span.end)


def _log(store: "Store", timezone: str) -> retries.Judged | None:
    """What the call log of the last weeks says; None where there is none."""
    span = store.span("calls")
    if span is None:
        return None
    asked, examples = logged(store, _recent(span), timezone=timezone)
    return retries.judge_log(asked, examples)


def _pairs(models: Sequence[str], log: retries.Judged | None) -> list[audits.Pair]:
    """The pairs that were named, else the one that the log shows most."""
    names = [model.partition("@")[::2] for model in models]
    keys = dict(names)
    if not models:
        moved = log.exhibits["fallback_by_day"].frame if log is not None else pd.DataFrame()
        return [] if moved.empty else [_most(moved)]
    return [
        replace(pair, primary_key=keys[pair.primary], fallback_key=keys[pair.fallback])
        for pair in audits.pairs_of([name for name, _ in names])
    ]


def _most(moved: pd.DataFrame) -> audits.Pair:
    """The pair of most calls that a fallback answered."""
    by = ["model", "key_name", "fallback_model", "fallback_key"]
    counts = moved.groupby(by, dropna=False)["by_fallback"].sum()
    names: Any = counts.idxmax()
    first = [name if isinstance(name, str) else "" for name in names]
    return audits.Pair(
        primary=first[0], primary_key=first[1], fallback=first[2], fallback_key=first[3]
    )


def _audited(
    store: "Store",
    pairs: Sequence[audits.Pair],
    now: datetime,
    log: retries.Judged | None,
    *,
    live: Limits | None,
    seed: int,
) -> list[audits.Audited]:
    """Audit each pair from files, and from probes where there is something to probe."""
    span = held(store)
    if span is None:
        return []
    window = _recent(span)
    moved = log.exhibits["fallback_calls"].frame if log is not None else None
    prices = price_list(store.table("prices"))
    made = []
    for pair in pairs:
        first = paired(store, pair, window, now, moved=moved)
        wanted = [
            Wanted(model=model, key_name=key)
            for model, key in (
                (first.pair.primary, first.pair.primary_key),
                (first.pair.fallback, first.pair.fallback_key),
            )
        ]
        if live is not None:
            probes = of_gateway(wanted, live, prices, now=now)
        elif store.sample:
            probes = of_sandbox(wanted, prices, seed=seed, now=now)
        else:
            made.append(audits.audit(first))
            continue
        made.append(
            audits.audit(
                replace(
                    first,
                    probes=probes.frame,
                    key_state=with_live(first.key_state, probes.key_state),
                )
            )
        )
    return made


def _pair_table(audited: Sequence[audits.Audited]) -> Exhibit:
    """The audit of all pairs, as wide as a page; one pair stands in the title."""
    made = audits.exhibit(audited)
    told = ["check", "result", "grade", "what", "missing", "evidence"]
    if len(audited) == 1:
        return replace(made, title=f"{made.title} {audited[0].pair.title}", frame=made.frame[told])
    return replace(made, frame=made.frame[["fallback", *told]])


def _report(
    verified: "Verified",
    log: retries.Judged | None,
    audited: Sequence[audits.Audited],
    depth: str,
    *,
    sample: bool,
) -> Report:
    """Put all judgements together; what a made-up log and its keys say counts for nothing."""
    told = log.exhibits if log is not None else {}
    logged_too = log.findings if log is not None and not sample else ()
    of_pairs = [] if sample else [item for one in audited for item in one.findings]
    findings = worst_first([*verified.findings, *logged_too, *of_pairs])
    return Report(
        runbook="fallback_verification",
        verdict=Verdict(
            title=_title(verified),
            grade=Grade.INCONCLUSIVE if verified.cause == "client_untested" else Grade.CONFIRMED,
            cause=verified.cause,
            domain=None if verified.cause == "client_passes" else "caller",
        ),
        findings=findings,
        exhibits={**_exhibits(verified), "pair_audit": _pair_table(audited), **told},
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
