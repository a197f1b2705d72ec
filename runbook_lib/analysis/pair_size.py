"""Can the fallback take what the primary takes: size of input and output, tools, schema, vision."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from runbook_lib import pricing
from runbook_lib.analysis.diagnosis import none_or
from runbook_lib.analysis.oddities import same_model
from runbook_lib.analysis.pair_checks import Check, likely, unknown
from runbook_lib.analysis.pair_material import PairMaterial, cited
from runbook_lib.findings import Evidence, Grade, Severity, Status

ABILITIES = {
    "tools": ("fallback-lacks-tools", "tools?", "tool calls"),
    "json_schema": ("fallback-lacks-schema", "JSON schema?", "answers in a JSON schema"),
    "vision": ("fallback-lacks-vision", "vision?", "pictures"),
    "stream": ("fallback-lacks-stream", "streaming?", "streams"),
}
"""Question of a probe → rule, question in words, what it is about."""

_INPUT = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
_TOOL_ENDS = ("tool_calls", "tool_use", "function_call")


def sizes(material: PairMaterial) -> Iterator[Check]:
    """Whether the requests and answers of the primary fit."""
    yield context(material)
    yield output(material)


def context(material: PairMaterial) -> Check:
    """The largest request of the primary must fit into the window of the fallback."""
    rule, asks, pair = "fallback-small-context", "context window?", material.pair
    window, first = (pricing.context_window(n) for n in (material.answering, pair.primary))
    largest, evidence = _largest(material, _INPUT)
    if window is None:
        return unknown(rule, asks, f"the context window of {pair.fallback}", where="price list")
    if largest is None and (first is None or window < first):
        missing = f"usage rows of {pair.primary}, to see if its requests fit {window:,} tokens"
        return unknown(rule, asks, missing)
    short = largest is not None and largest > window
    seen = _seen(largest, material)
    sure = short or (first is not None and window >= first)
    return Check(
        rule=rule,
        asks=asks,
        status=Status.FAIL if short else Status.PASS,
        severity=Severity.HIGH,
        grade=Grade.CONFIRMED if sure else Grade.LIKELY,
        title=f"{pair.fallback} takes {window:,} tokens of input, {pair.primary} "
        f"{f'{first:,}' if first is not None else 'a number not known here'}{seen}",
        value=window,
        expected=largest if largest is not None else first,
        unit="tokens",
        evidence=evidence,
        step="Choose a fallback with a larger window, or shorten what is sent to it.",
        where="settings of the client",
        who="service owner",
        mark="D",
    )


def _seen(largest: int | None, material: PairMaterial) -> str:
    if largest is None:
        return ""
    of = len(material.largest)
    dearest = f" of the {of:,} dearest" if material.largest_left_out else ""
    return f"; the largest request{dearest} had {largest:,}"


def output(material: PairMaterial) -> Check:
    """No list says how much a model writes at most: only answers it gave can tell."""
    rule, asks, pair = "fallback-small-output", "output size?", material.pair
    need, evidence = _largest(material, ("output_tokens",))
    given = material.answers["output_tokens"].dropna()
    done = int(given.max()) if len(given) else None
    if need is None or done is None or done < need:
        seen = f", whose answers so far had at most {done:,}" if done is not None else ""
        wanted = f"; {pair.primary} wrote up to {need:,}" if need is not None else ""
        return unknown(rule, asks, f"the most output tokens of {pair.fallback}{seen}{wanted}")
    at: Any = given.idxmax()
    row = material.answers.loc[at]
    return Check(
        rule=rule,
        asks=asks,
        status=Status.PASS,
        title=f"{pair.fallback} has written {done:,} tokens in one answer, {pair.primary} "
        f"{need:,} at most",
        value=done,
        expected=need,
        unit="tokens",
        evidence=[*evidence, cited(row, "output_tokens")],
        mark="M",
    )


def _largest(material: PairMaterial, names: tuple[str, ...]) -> tuple[int | None, list[Evidence]]:
    """The most tokens of a request of the primary, with its row; None where none is known."""
    rows = material.largest
    known = rows[rows[list(names)].notna().any(axis=1)]
    if known.empty:
        return None, []
    sums = known[list(names)].fillna(0).astype("int64").sum(axis=1)
    at: Any = sums.idxmax()
    return int(sums[at]), [
        cited(known.loc[at], name) for name in names if _has(known.loc[at], name)
    ]


def _has(row: Any, name: str) -> bool:
    return none_or(row[name], int) is not None


def abilities(material: PairMaterial) -> Iterator[Check]:
    """Tools, JSON schema, vision and streams: from probes, else from answers that show them."""
    for question in ABILITIES:
        yield ability(material, question)


def ability(material: PairMaterial, question: str) -> Check:
    """Tell whether the fallback can do one thing.

    Args:
        material: Holds the probes, if there are any, and answers of the fallback.
        question: One of `ABILITIES`.

    Returns:
        The check. A refusal fails only where the primary can do it, or nobody asked the primary.
    """
    rule, asks, about = ABILITIES[question]
    pair = material.pair
    row = _probe(material, pair.fallback, pair.fallback_key, question)
    can = None if row is None else none_or(row["supported"], bool)
    if row is None or can is None:
        shown = _shown(material, question)
        if shown is not None:
            title = f"Answers of {pair.fallback} in the log carry {about}"
            return likely(rule, asks, title, [shown])
        more = " (the last one decided nothing)" if row is not None else ""
        return unknown(
            rule, asks, f"a probe of {about} on {pair.fallback}{more}", where="live probe"
        )
    first = _probe(material, pair.primary, pair.primary_key, question)
    neither = not can and first is not None and none_or(first["supported"], bool) is False
    return Check(
        rule=rule,
        asks=asks,
        status=Status.PASS if can or neither else Status.FAIL,
        severity=Severity.HIGH,
        title=f"{pair.fallback} takes {about}"
        if can
        else f"{pair.fallback} refuses {about} ({none_or(row['status'], int)})"
        + (f", as {pair.primary} does" if neither else ""),
        value=none_or(row["status"], int),
        evidence=[cited(row, "supported")],
        step=f"Choose a fallback that takes {about}, or keep such requests off it.",
        where="settings of the client",
        who="service owner",
        mark="M",
    )


def _probe(material: PairMaterial, model: str, key: str, question: str) -> Any | None:
    """The newest probe of a model and key; a key that is not known fits any."""
    frame = material.probes
    if frame is None or frame.empty:
        return None
    mine = frame[(frame["model"] == model) & (frame["question"] == question)]
    mine = mine[mine["key_name"] == key] if key else mine
    if mine.empty:
        return None
    return mine.sort_values("asked_at", kind="stable").iloc[-1]


def _shown(material: PairMaterial, question: str) -> Evidence | None:
    """An answer in the log that shows the ability."""
    rows = material.answers
    if question == "stream":
        streamed = rows["stream"].astype("boolean").fillna(value=False).astype(bool)
        rows, field = rows[streamed & (rows["stream_end"] == "complete")], "stream_end"
    elif question == "tools":
        ends = rows["finish_reasons"].fillna("").str.split(",")
        calls = [any(end.strip() in _TOOL_ENDS for end in one) for one in ends]
        rows, field = rows[pd.Series(calls, index=rows.index, dtype=bool)], "finish_reasons"
    else:
        return None
    theirs = [same_model(material.pair.fallback, str(name)) for name in rows["model"].fillna("")]
    rows = rows[pd.Series(theirs, index=rows.index, dtype=bool)]
    return cited(rows.iloc[0], field) if len(rows) else None
