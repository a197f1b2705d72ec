"""Triage: why a request failed, or what failed in a window."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pandas as pd

from runbook_lib import clock, redact, report
from runbook_lib.analysis import acts, case
from runbook_lib.analysis import triage as analysis
from runbook_lib.analysis.material import Matched, Material
from runbook_lib.clock import Window
from runbook_lib.errors import InputError, MissingInputError, ParameterError
from runbook_lib.findings import Report
from runbook_lib.runbooks.shared import ORIGIN, finished, held
from runbook_lib.schema import ROWS
from runbook_lib.store import Filter, Found

if TYPE_CHECKING:
    from runbook_lib.store import Store

Equals = Mapping[str, Sequence[str]]
"""Column → names, one of which a row must have."""

SAMPLE_ID = "req-cap-reached"
"""What the notebook asks by default: an id of the sample data, and of no others."""

MOST_IDS = 10_000
"""Ids asked at once at most."""

NEAR = timedelta(minutes=10)
"""Single attempts are loaded this far on either side; minutes are counted for the whole window."""

EARLIER = timedelta(minutes=5)
"""A usage row carries its end, an attempt its start: attempts are loaded from this much before."""

MOST_NEAR = 100_000
"""Single attempts loaded at most; above it only the failed ones are."""

MOST_KEYS = 30
"""Keys whose id is looked for at most, to name those that an act touched."""

AFTERWARDS = timedelta(days=7)
"""How long after the window the end of a failure is looked for, by hour."""

MINUTES_BY = (
    "key_name",
    "environment",
    "service",
    "provider",
    "model",
    "status",
    "code",
    "outcome",
    "stream_end",
)
"""What the roll-up by minute is split by."""


def triage(
    store: "Store",
    request_id: str | Sequence[str] = "",
    *,
    start: str = "",
    end: str = "",
    window_hours: float = 2.0,
    timezone: str = "UTC",
    now: str = "",
) -> Report:
    """Say why a request failed, whose side it is on, who else was hit, and what to do now.

    Args:
        store: The lake, from `open_store`.
        request_id: One or several ids with blanks or commas between (any value of an id header,
            of a usage row, a call or a response), `@FILE` with an id a line, or "newest" for the
            newest failure.
        start: Start of a window to look through instead of ids; without an offset it is meant in
            *timezone*.
        end: Its end; open means the end of the data.
        window_hours: Hours searched on either side of a request, above 0 and at most 168.
        timezone: IANA zone of the report.
        now: Time the report is made for; empty is the clock, on sample data their end.

    Returns:
        The Report: `verdict`, `findings`, `exhibits`, `next_steps`, `to_dict()`. An id that no
        data hold gives an inconclusive verdict that names the exports to fetch.

    Raises:
        ParameterError: a value cannot be used. MissingInputError: there is nothing to look at.

    Source: contract §3-§6 (D, D!, M).
    """
    report.install()
    place = clock.zone(timezone)
    if not 0 < window_hours <= 168:
        raise ParameterError("window_hours", window_hours, hint="hours above 0 and at most 168")
    margin = timedelta(hours=window_hours)
    if start or end:
        made = _window(store, start, end, place, margin)
    else:
        made = _ids(store, _asked(request_id), margin, place)
    asked = {"request_id": request_id if isinstance(request_id, str) else list(request_id)}
    given = {"start": start, "end": end, "window_hours": window_hours}
    around = next((item.window for item in made.findings), None)
    rest = {"timezone": timezone, "now": now}
    return finished(made, store, {**asked, **given, **rest}, asked=around)


def _asked(request_id: str | Sequence[str]) -> list[str]:
    if isinstance(request_id, str):
        text = request_id.strip()
        words = _from_file(Path(text[1:])) if text.startswith("@") else re.split(r"[\s,]+", text)
    else:
        words = [part for text in request_id for part in re.split(r"[\s,]+", text)]
    ids = list(dict.fromkeys(word for word in words if word))
    if not ids:
        raise ParameterError(
            "request_id", request_id, hint="an id, @FILE, newest, or start and end"
        )
    if len(ids) > MOST_IDS:
        raise ParameterError("request_id", f"{len(ids)} ids", hint=f"at most {MOST_IDS:,} ids")
    return ids


def _from_file(path: Path) -> list[str]:
    if not path.is_file():
        raise InputError(
            redact.safe(path), "is no file", hint="give a text file with an id a line after the @"
        )
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise InputError(redact.safe(path), "holds no id", hint="put an id on each of its lines")
    return ids


def _ids(store: "Store", ids: list[str], margin: timedelta, place: ZoneInfo) -> Report:
    if [word.lower() for word in ids] == ["newest"]:
        newest = _newest(store)
        if not newest:
            return _window(store, "", "", place, margin)
        ids = [newest]
    found = store.find(ids)
    if found.calls.empty and found.usage.empty:
        if ids == [SAMPLE_ID] and not store.sample:
            raise ParameterError(
                "request_id", SAMPLE_ID, hint="an id of your own data, newest, or start and end"
            )
        material = _material(store, None, margin, found, zone=place.key)
        return analysis.nowhere(ids, material, store.intake.inputs)
    spans = [frame["ts"] for frame in (found.calls, found.usage) if len(frame)]
    hit = Window(
        start=min(times.min() for times in spans).to_pydatetime(),
        end=max(times.max() for times in spans).to_pydatetime(),
    )
    material = _material(store, hit, margin, found, zone=place.key)
    cases = _cases(ids, found, material)
    if len(_subjects(cases)) == 1 and not found.missing:
        return analysis.one(cases[0])
    return analysis.many(cases, found.missing, material)


def _subjects(cases: Sequence[case.Case]) -> set[object]:
    """The requests behind the cases: several ids of one answer, as SDKs show them, are one."""
    return {(one.attempt is None, one.subject.Index) for one in cases}


def _newest(store: "Store") -> str:
    """An id of the newest failed attempt, empty when none failed."""
    rows = store.rows("calls", Filter(failed=True), limit=1, order="newest").frame
    if rows.empty:
        return ""
    newest = rows.iloc[0]
    names = ("client_request_id", "request_ids", "call_id")
    known = [newest[name] for name in names if isinstance(newest[name], str)]
    if not known:
        raise MissingInputError("The newest failure has no id", hint="give start and end instead")
    return str(known[0]).split(",")[0]


def _cases(ids: Sequence[str], found: Found, material: Material) -> list[case.Case]:
    """Make one case an id: its attempts where a log has them, else its usage row."""
    attempts = _picked(material.attempts, found.calls)
    rows = _picked(material.rows, found.usage)
    ids_of = enumerate(material.attempts["client_request_id"])
    joined = {name: place for place, name in ids_of if isinstance(name, str)}
    cases = []
    for asked in ids:
        row = material.row(rows[asked][0]) if asked in rows else None
        places = attempts.get(asked, [])
        if not places and row is not None and row.join_id in joined:
            places = [joined[row.join_id]]
        if places:
            mine = [material.attempt(place) for place in places]
            cases.append(case.of_attempts(asked, mine, material))
        elif row is not None:
            cases.append(case.of_row(asked, row, material))
    return cases


def _picked(prepared: pd.DataFrame, asked: pd.DataFrame) -> dict[str, list[int]]:
    """The places in the prepared frame of the rows of every asked id, in order."""
    places = prepared[ORIGIN].assign(place=range(len(prepared)))
    both = asked[["asked_id", *ORIGIN]].merge(places, on=ORIGIN)
    return {str(name): sorted(set(group)) for name, group in both.groupby("asked_id")["place"]}


def _material(
    store: "Store", hit: Window | None, margin: timedelta, found: Found, *, zone: str = "UTC"
) -> Material:
    """Ask the store for everything around: single rows near, minutes for the whole window."""
    window = hit or Window(
        start=datetime(1970, 1, 1, tzinfo=UTC), end=datetime(1970, 1, 1, tzinfo=UTC)
    )
    wide = _around(window, margin)
    near = _near(store, window, {})
    audit = store.table("audit")
    return Material(
        calls=_with(near.calls, found.calls),
        usage=_with(near.usage, found.usage),
        minutes=_by_minute(store, wide, {}),
        later=store.roll_up("calls", MINUTES_BY, grain="hour", where=Filter(window=_after(wide))),
        matched=_matched(store, wide),
        keys=store.table("keys"),
        audit=audit,
        refusals=store.table("refusals"),
        key_state=store.table("key_state"),
        window=wide,
        data_end=pd.Timestamp(span.end) if (span := store.span("calls")) else None,
        whole=near.whole,
        notes=near.notes,
        loaded=near.loaded,
        key_ids=_key_ids(store, audit, wide, near.usage, found),
        timezone=zone,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Near:
    """Single rows around a window; see `Material` for `whole`, `notes` and `loaded`."""

    calls: pd.DataFrame
    usage: pd.DataFrame
    loaded: Window
    whole: bool
    notes: tuple[str, ...]


def _near(store: "Store", window: Window, equals: Equals) -> _Near:
    near = _around(window, NEAR)
    logged = Window(start=near.start - EARLIER, end=near.end)
    where = Filter(window=logged, equals=equals)
    calls = store.rows("calls", where, limit=MOST_NEAR, order="oldest")
    notes: tuple[str, ...] = ()
    frame = calls.frame
    if calls.left_out:
        failed = Filter(window=logged, equals=equals, failed=True)
        frame = store.rows("calls", failed, limit=MOST_NEAR, order="oldest").frame
        notes = ("too many attempts around the request: only failed ones were looked at singly",)
    billed = Filter(window=near, equals=equals)
    usage = store.rows("usage", billed, limit=MOST_NEAR, order="oldest")
    return _Near(
        calls=frame, usage=usage.frame, loaded=logged, whole=not calls.left_out, notes=notes
    )


def _by_minute(store: "Store", window: Window, equals: Equals) -> pd.DataFrame:
    where = Filter(window=window, equals=equals)
    return store.roll_up("calls", MINUTES_BY, grain="minute", where=where)


def _key_ids(
    store: "Store", audit: pd.DataFrame, window: Window, usage: pd.DataFrame, found: Found
) -> dict[str, str]:
    """Name the keys that acts around a window touch by their id alone, where *usage* does not.

    Any key inside the window; after it only those that were asked about, whose recovery an act
    may explain.
    """
    known = acts.names_of_keys(usage)
    unnamed = audit[audit["key_name"].isna() & ~audit["key_id"].isin(known.keys())]
    near = unnamed["ts"].between(window.start - acts.BEFORE, window.end)
    wanted: set[str] = set()
    if near.any():
        wanted |= set(store.table("keys")["key_name"].dropna())
    if near.any() or unnamed["ts"].between(window.end, window.end + AFTERWARDS).any():
        wanted |= set(found.calls["key_name"].dropna())
    rows = [
        store.rows("usage", Filter(equals={"key_name": [name]}), limit=1).frame
        for name in sorted(wanted - set(known.values()))[:MOST_KEYS]
    ]
    return acts.names_of_keys(pd.concat(rows)) if rows else {}


def around_all(store: "Store", window: Window, *, equals: Equals | None = None) -> Material:
    """Ask the store for the attempts and rows of a window, such as a week.

    Args:
        store: The lake.
        window: The span.
        equals: Column that both tables have → names that count; None for all.

    Returns:
        The material of what was billed and tried; acts, refusals and what came later are left out.
        `notes` say when there were too many attempts to look at singly.
    """
    wide, near = _around(window, timedelta(0)), _near(store, window, equals or {})
    minutes = _by_minute(store, wide, equals or {})
    return Material(
        calls=near.calls,
        usage=near.usage,
        minutes=minutes,
        later=minutes.iloc[:0],
        keys=store.table("keys"),
        audit=store.table("audit"),
        refusals=store.table("refusals"),
        key_state=store.table("key_state"),
        window=wide,
        whole=near.whole,
        notes=near.notes,
        loaded=near.loaded,
    )


def _matched(store: "Store", window: Window) -> Matched:
    found = store.reconcile(window)
    return Matched(
        both=found.both,
        only_usage=found.only_usage,
        only_usage_usd=found.only_usage_usd,
        only_calls=found.only_calls,
        failed=found.only_calls_failed,
    )


def _after(window: Window) -> Window:
    return Window(start=window.end, end=window.end + AFTERWARDS)


def _around(window: Window, margin: timedelta) -> Window:
    return Window.around(window.start, window.end + timedelta(microseconds=1), margin)


def _with(frame: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """Rows around, and the asked rows where they are not among them."""
    both = pd.concat(
        [part for part in (frame, asked.drop(columns="asked_id")) if len(part)] or [frame]
    )
    return both.drop_duplicates(ORIGIN, ignore_index=True)


def _window(store: "Store", start: str, end: str, place: ZoneInfo, margin: timedelta) -> Report:
    span = held(store)
    if span is None:
        raise MissingInputError("There are no rows here", hint="take in a usage export or call log")
    first = clock.from_parameter("start", start, place) if start else span.start
    last = clock.from_parameter("end", end, place) if end else span.end
    asked = Window(start=first, end=last)
    failed = store.rows("calls", Filter(window=asked, failed=True), limit=MOST_IDS, order="newest")
    if failed.frame.empty:
        material = _material(store, asked, timedelta(0), _nothing(store), zone=place.key)
        return analysis.quiet(asked, material, store.intake.inputs)
    frame = failed.frame.assign(asked_id=_names(failed.frame))
    found = replace(_nothing(store), calls=frame)
    material = _material(store, asked, margin, found, zone=place.key)
    cases = _cases(list(dict.fromkeys(frame["asked_id"])), found, material)
    made = analysis.many(cases, [], material, noun="attempt")
    if failed.left_out:
        more = f"{failed.left_out} more failed attempts of the window were not judged"
        made = replace(made, coverage=replace(made.coverage, gaps=[*made.coverage.gaps, more]))
    return made


def _names(frame: pd.DataFrame) -> "pd.Series":
    """A name for every attempt: its client id, else its ids, its call, or its place."""
    place = frame["source_file"] + ":" + frame["row_number"].astype(str)
    call = frame["call_id"] + "#" + frame["attempt"].astype("string").fillna("?").astype(object)
    first = frame["request_ids"].str.split(",").str[0]
    return frame["client_request_id"].fillna(first).fillna(call).fillna(place)


def _nothing(store: "Store") -> Found:
    """What no id stands for: no rows, in the columns of the tables."""
    frames = [store.rows(name, Filter(), limit=0).frame.assign(asked_id="") for name in ROWS]
    return Found(usage=frames[0], calls=frames[1], missing=[])
