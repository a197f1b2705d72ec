"""Makes the cells of a verification: every case in every way that the client can be called."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from runbook_lib.errors import ParameterError
from runbook_lib.verify.records import Cell, Step
from runbook_lib.verify.vectors import Case

DEPTHS = ("smoke", "full")

_TIMES = {"once": 1, "twice": 2}
_SPANS = {"5s": 5.0}


class Speaker(Protocol):
    """What must be known of a client; see `client.ClientSpec`."""

    @property
    def protocols(self) -> Sequence[str]:
        """Protocols it speaks."""

    @property
    def plain(self) -> bool:
        """It can be called plainly."""

    @property
    def asynchronous(self) -> bool:
        """It can be called as a coroutine."""

    @property
    def stream(self) -> bool:
        """It can stream."""


Way = tuple[str, bool, bool]
"""Protocol, streaming, async."""


def cells(
    cases: Sequence[Case],
    spec: Speaker,
    *,
    depth: str = "full",
    seed: int = 0,
    models: Mapping[str, Sequence[str]] | None = None,
) -> list[Cell]:
    """Make the cells of cases for one client.

    Args:
        cases: The cases.
        spec: What the client speaks, and how it can be called.
        depth: `full` plays every case in every way; `smoke` plays the smoke cases, each in one
            way, for the shortest and the longest of its durations.
        seed: Turns which way a smoke case is played.
        models: Models of each protocol, in order of preference; left out, the engine's own.

    Returns:
        The cells in the order of the cases.

    Raises:
        ParameterError: *depth* is unknown, or the client can be called in no way.
    """
    if depth not in DEPTHS:
        raise ParameterError("depth", depth, hint=" or ".join(DEPTHS))
    if not ways(spec):
        raise ParameterError("client", "no protocol", hint="a client that speaks a known protocol")
    named = models or {}
    made = _smoke(cases, spec, seed) if depth == "smoke" else _full(cases, spec)
    return [replace(cell, models=tuple(named.get(cell.protocol, ()))) for cell in made]


def ways(spec: Speaker) -> list[Way]:
    """List the ways a client can be called: plain before async, whole before streaming."""
    modes = [False] * spec.plain + [True] * spec.asynchronous
    streams = [False] + [True] * spec.stream
    return [
        (protocol, stream, mode)
        for protocol in spec.protocols
        for stream in streams
        for mode in modes
    ]


def _fitting(case: Case, spec: Speaker) -> list[Way]:
    """List the ways in which a case can be played."""
    fits = [way for way in ways(spec) if _fits(case, way)]
    if case.flavour == "all":
        return fits
    firsts = {protocol: (protocol, stream, mode) for protocol, stream, mode in reversed(fits)}
    each = [firsts[protocol] for protocol in spec.protocols if protocol in firsts]
    return each[:1] if case.flavour == "first" else each


def _fits(case: Case, way: Way) -> bool:
    protocol, stream, mode = way
    streams = {"both": (True, False), "only": (True,), "no": (False,)}[case.stream]
    modes = {"both": (True, False), "sync": (False,), "async": (True,)}[case.sync]
    return protocol in case.protocols and stream in streams and mode in modes


def _full(cases: Sequence[Case], spec: Speaker) -> Iterator[Cell]:
    for case in cases:
        for duration in case.durations or ("",):
            for way in _fitting(case, spec):
                yield _cell(case, duration, way)


def _smoke(cases: Sequence[Case], spec: Speaker, seed: int) -> Iterator[Cell]:
    """One way a case, each in its turn, so that together they show all of them."""
    turn = seed
    for case in (one for one in cases if one.depth == "smoke"):
        fits = _fitting(case, spec)
        if _plain(case):
            yield from (_cell(case, "", way) for way in fits)
            continue
        spans = case.durations or ("",)
        for duration in dict.fromkeys((spans[0], spans[-1])) if fits else ():
            yield _cell(case, duration, fits[turn % len(fits)])
            turn += 1


def _plain(case: Case) -> bool:
    """Tell whether nothing is done to the client: what every way is measured by."""
    return not case.steps and not case.situation and case.place == "gateway"


def _cell(case: Case, duration: str, way: Way) -> Cell:
    protocol, stream, mode = way
    parts = (case.name, duration or "-", protocol)
    kinds = ("stream" if stream else "whole", "async" if mode else "sync")
    return Cell(
        id="/".join((*parts, *kinds)),
        case=case.name,
        duration=duration,
        protocol=protocol,
        stream=stream,
        asynchronous=mode,
        steps=tuple(_lasting(step, duration) for step in case.steps),
        deadline_s=case.deadline_s,
        patience_s=case.patience_s,
        place=case.place,
        calls=case.calls,
        at_once=case.at_once,
        every_s=case.every_s,
        cancel_after_s=case.cancel_after_s,
        situation=case.situation,
    )


def _lasting(step: Step, duration: str) -> Step:
    """Let a step last as the duration says, unless it says so itself."""
    if step.times or step.for_s or step.p < 1:
        return step
    return replace(step, times=_TIMES.get(duration, 0), for_s=_SPANS.get(duration, 0.0))
