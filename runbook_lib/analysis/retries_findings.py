"""From marked attempts to findings: a finding for each rule and key, with its rows and its cost."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib import clock, money
from runbook_lib.analysis.diagnosis import cite, none_or
from runbook_lib.analysis.material import each
from runbook_lib.analysis.retries_attempts import Logged
from runbook_lib.analysis.retries_rules import Marked
from runbook_lib.analysis.retries_words import WORDINGS, Wording
from runbook_lib.analysis.words import counted
from runbook_lib.findings import (
    Evidence,
    Finding,
    Grade,
    Join,
    NextStep,
    Severity,
    Status,
    Subject,
)

SHOWN = 5
"""Attempts that a finding cites at most."""

MOST_SHARE = 0.05
"""Share of a day's calls on the fallback above which somebody should look."""

MOST_AMPLIFICATION = 1.1
"""Attempts a call at most, over a day: a retry budget of ten percent."""


def of_rule(mark: Marked, cost: pd.DataFrame) -> Iterator[Finding]:
    """Make the findings of one rule.

    Args:
        mark: What the rule marked.
        cost: `cost_usd` of every attempt, from `costs`.

    Yields:
        One finding that fails for each key, the costliest habit first; one that passes where
        nothing is marked, and one that is unknown where the log held nothing to judge.
    """
    words = WORDINGS[mark.rule]
    if mark.rows.empty:
        yield _clean(mark, words)
        return
    groups = mark.rows.groupby(["account", "key_name"], dropna=False, sort=False)
    for _, rows in sorted(groups, key=lambda item: -len(item[1])):
        yield _failing(mark, words, rows, cost)


def _clean(mark: Marked, words: Wording) -> Finding:
    looked = len(mark.judged)
    return Finding(
        rule=mark.rule,
        severity=Severity.INFO,
        status=Status.PASS if looked else Status.UNKNOWN,
        grade=Grade.CONFIRMED if looked else Grade.INCONCLUSIVE,
        title=f"{words.nothing} ({looked} {mark.unit})"
        if looked
        else f"Nothing to judge: the log holds no {mark.unit}",
        value=0 if looked else None,
        expected=0,
        unit="attempts",
        mark=words.mark,
    )


def _failing(mark: Marked, words: Wording, rows: pd.DataFrame, cost: pd.DataFrame) -> Finding:
    key, account = one_of(rows["key_name"]), str(rows["account"].iloc[0])
    judged = _same(mark.judged, {"key_name": key, "account": account})
    out_of = max(len(rows), len(judged))
    usd = known_sum(cost.loc[rows.index, "cost_usd"])
    return Finding(
        rule=mark.rule,
        severity=words.severity,
        subject=subject_of(rows),
        window=span_of(rows),
        title=f"{whose(key, account)}: {counted(len(rows), 'attempt')} in "
        f"{counted(rows['call'].nunique(), 'call')} {words.fact} ({_cases(rows)}), "
        f"from {rows['ts'].min():%Y-%m-%d %H:%M} UTC{_lost(mark.rule, rows)}",
        value=len(rows),
        expected=0,
        unit=f"attempts, of {out_of} {mark.unit}",
        impact_usd=usd,
        grade=_grade(mark.rule, rows),
        evidence=tuple(_evidence(rows)),
        next_step=NextStep(
            text=words.step,
            where=f"{words.where} ({', '.join(_services(rows)) or 'not named in the log'})",
            who="service owner",
            retry=words.retry,
        ),
        mark=words.mark,
    )


def of_fallback(by_day: pd.DataFrame, calls: pd.DataFrame) -> Iterator[Finding]:
    """Tell of each pair of models how often the second answered, and what that cost more.

    Args:
        by_day: `fallback_by_day`.
        calls: `fallback_calls`.

    Yields:
        One finding a pair: it fails on the day with the largest share.
    """
    by = ["account", "key_name", "model", "fallback_model"]
    for pair, days in by_day.groupby(by, dropna=False, sort=False):
        account, key, model, other = pair
        mine = _same(calls, dict(zip(by, pair, strict=True)))
        worst = days.sort_values("share", kind="stable").iloc[-1]
        usd, unpriced = known_sum(days["extra_usd"]), int(days["unpriced"].sum())
        share = none_or(worst["share"], float)
        alarming = share is not None and share > MOST_SHARE
        open_ones = f" ({unpriced} of them unpriced)" if unpriced else ""
        yield Finding(
            rule="client-fallback",
            severity=Severity.MEDIUM if alarming else Severity.LOW,
            subject=Subject(key_name=none_or(key, str), model=none_or(model, str)),
            window=span_of(mine),
            title=f"{whose(none_or(key, str), str(account))}: {counted(len(mine), 'call')} to "
            f"{model} {'was' if len(mine) == 1 else 'were'} answered by {other} with "
            f"{_other_key(mine)}, at most {_percent(share)} of a day's calls ({worst['day']}); "
            f"{_more(usd)}{open_ones}",
            value=share,
            expected=MOST_SHARE,
            unit="share of calls, worst day",
            impact_usd=usd,
            evidence=tuple(
                cite(row, "model", row.fallback_model) for row in each(mine.head(SHOWN))
            ),
            next_step=NextStep(
                text="Check that the share went back to nothing, and that callers were told.",
                where=f"client of {', '.join(_services(mine)) or 'the service'}",
                who="service owner",
            ),
            mark="M",
        )


def of_aliases(pairs: pd.DataFrame, examples: pd.DataFrame) -> Iterator[Finding]:
    """Tell of each model that another answered than was asked.

    Args:
        pairs: `aliases`: `account`, `key_name`, `model`, `response_model`, `attempts`, `answered`
            (attempts of that key and model that name who answered).
        examples: Attempts to cite, in the columns of `calls`; can be empty.

    Yields:
        One finding a pair.
    """
    for row in each(pairs):
        named = {
            "account": row.account,
            "key_name": row.key_name,
            "model": row.model,
            "response_model": row.response_model,
        }
        cited = _same(examples, named).head(SHOWN)
        yield Finding(
            rule="model-alias",
            severity=Severity.LOW,
            subject=Subject(key_name=none_or(row.key_name, str), model=none_or(row.model, str)),
            title=f"{whose(none_or(row.key_name, str), row.account)}: "
            f"{counted(int(row.attempts), 'answer')} to {row.model} came from {row.response_model}",
            value=int(row.attempts),
            expected=0,
            unit=f"answers, of {int(row.answered)} that name their model",
            evidence=tuple(cite(one, "response_model", one.response_model) for one in each(cited)),
            next_step=NextStep(
                text="Ask for the model by its own name, or confirm that the group maps it.",
                where="client of the service",
                who="service owner",
            ),
            mark="M",
        )


def of_log(logged: Logged, days: pd.DataFrame) -> Iterator[Finding]:
    """Say how many attempts a call took, and what the log does not tell.

    Args:
        logged: The log.
        days: `attempts_by_day`.

    Yields:
        The worst day's amplification, attempts that name no call, and what was not loaded.
    """
    if not logged.called:
        yield _nothing(logged)
        return
    known = days.dropna(subset=["amplification"])
    if len(known):
        yield _amplified(known.sort_values("amplification", kind="stable").iloc[-1])
    unnamed = int((~logged.attempts["named"]).sum())
    if unnamed:
        yield _gap(
            f"{counted(unnamed, 'failed attempt')} name no call, so what was sent again is not "
            "known of them",
            "Log an id for each call and the number of each attempt.",
        )
    if logged.left_out:
        yield _gap(
            f"{counted(logged.left_out, 'failed attempt')} of the window were not judged: the "
            "newest ones were",
            "Ask for a shorter window.",
        )


def _amplified(worst: Any) -> Finding:
    times = float(worst["amplification"])
    high = times > MOST_AMPLIFICATION
    return Finding(
        rule="retry-amplification",
        severity=Severity.LOW if high else Severity.INFO,
        status=Status.FAIL if high else Status.PASS,
        title=f"{worst['day']}: {int(worst['attempts'])} attempts for "
        f"{counted(int(worst['calls']), 'call')}, {times:.2f} a call, the most of any day; "
        f"{int(worst['useless'])} of them could not help",
        value=round(times, 4),
        expected=MOST_AMPLIFICATION,
        unit="attempts a call",
        next_step=NextStep(
            text="Give the client a retry budget: one retry for ten calls, over all calls.",
            where="client of the service",
            who="service owner",
        )
        if high
        else None,
        mark="D",
    )


def _nothing(logged: Logged) -> Finding:
    stamps = f"{clock.stamp(logged.window.start)} to {clock.stamp(logged.window.end)}"
    return Finding(
        rule="input-gap",
        severity=Severity.LOW,
        status=Status.UNKNOWN,
        title=f"No call log covers {stamps}: how clients retry is not known",
        window=logged.window,
        grade=Grade.INCONCLUSIVE,
        next_step=NextStep(
            text="Take in the clients' call logs, an attempt a line.",
            where="runbook intake",
            who="on call",
        ),
    )


def _gap(title: str, step: str) -> Finding:
    return Finding(
        rule="input-gap",
        severity=Severity.LOW,
        status=Status.UNKNOWN,
        title=title,
        grade=Grade.INCONCLUSIVE,
        next_step=NextStep(text=step, where="client of the service", who="service owner"),
    )


def subject_of(rows: pd.DataFrame) -> Subject:
    """Say who some attempts are about.

    Args:
        rows: Attempts: `key_name`, `model`, `environment` (text, null unknown).

    Returns:
        What all of them share; null where they differ.
    """
    return Subject(
        key_name=one_of(rows["key_name"]),
        model=one_of(rows["model"]),
        environment=one_of(rows["environment"]),
    )


def one_of(values: "pd.Series[Any]") -> str | None:
    """The value that all share, None where they differ or it is unknown."""
    names = set(values.dropna())
    return str(names.pop()) if len(names) == 1 and not values.isna().any() else None


def whose(key: str | None, account: str = "") -> str:
    """Name a key in a title, with its account where there are several."""
    named = f"Key {key}" if key else "An unnamed key"
    return f"{named} of account {account}" if account else named


def span_of(rows: pd.DataFrame) -> clock.Window:
    """Say when some attempts were.

    Args:
        rows: Attempts, at least one: `ts` (aware UTC).

    Returns:
        From the first to just after the last.
    """
    last = rows["ts"].max() + pd.Timedelta(microseconds=1)
    return clock.Window(start=rows["ts"].min().to_pydatetime(), end=last.to_pydatetime())


def known_sum(amounts: "pd.Series[Any]") -> Decimal | None:
    """Sum the known amounts; None where none is known."""
    known = [amount for amount in amounts if isinstance(amount, Decimal)]
    return money.total(known) if known else None


def _grade(rule: str, rows: pd.DataFrame) -> Grade:
    """A code that was borrowed, or a caller that may have looked closer, makes it likely only."""
    if rule == "silent-failure":
        return Grade.LIKELY
    if rule == "missing-retry":
        counted_by_sdk = (rows["resend_count"] == 0).fillna(value=False)
        return Grade.CONFIRMED if counted_by_sdk.all() else Grade.LIKELY
    borrowed = rows["before_borrowed"].fillna(value=False).astype(bool)
    return Grade.LIKELY if borrowed.all() else Grade.CONFIRMED


def _cases(rows: pd.DataFrame) -> str:
    counts = rows["kind"].value_counts().items()
    ordered = sorted(counts, key=lambda item: (-item[1], str(item[0])))
    return ", ".join(f"{count} {kind}" for kind, count in ordered)


def _lost(rule: str, rows: pd.DataFrame) -> str:
    """Seconds that attempts which could not help made callers wait."""
    if rule not in ("sticky-retried", "wasted-retries"):
        return ""
    took = rows["wait_s"].clip(lower=0).fillna(0) + rows["duration_ms"].fillna(0) / 1000
    return f"; callers waited {took.sum():.0f} s for nothing"


def _evidence(rows: pd.DataFrame) -> Iterator[Evidence]:
    for row in each(rows.head(SHOWN)):
        if none_or(row.before_row, int) is not None:
            code = none_or(row.before_code, str)
            status = none_or(row.before_status, int)
            yield Evidence(
                source=str(row.before_file),
                row=int(row.before_row),
                field="code" if code else "status",
                value=code or status,
                join=Join.WINDOW if none_or(row.before_borrowed, bool) else Join.ID,
            )
            yield cite(row, "attempt", row.attempt)
        else:
            field = "stream_end" if none_or(row.stream_end, str) else "status"
            yield cite(row, field, getattr(row, field))


def _services(rows: pd.DataFrame) -> list[str]:
    return sorted(set(rows["service"].dropna()))


def _same(frame: pd.DataFrame, named: Mapping[str, Any]) -> pd.DataFrame:
    """The rows that have these values; unknown equals unknown."""
    fits = pd.Series(data=True, index=frame.index)
    for name, value in named.items():
        known = none_or(value, str)
        fits &= frame[name].isna() if known is None else frame[name] == known
    return frame[fits]


def _other_key(calls: pd.DataFrame) -> str:
    keys = sorted(set(calls["fallback_key"].dropna()))
    return f"key {', '.join(keys)}" if keys else "a key that is not named"


def _more(usd: Decimal | None) -> str:
    if usd is None:
        return "what that cost more is not known"
    return f"it cost {money.usd(abs(usd))} {'less' if usd < 0 else 'more'} than the first model"


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{share:.1%}"
