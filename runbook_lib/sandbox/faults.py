"""Faults by name, and the rules that say whom they hit, how often and how long.

The names are data (`faults.toml`). A rule comes with a request, in the header `x-sandbox-fault`, or
is posted to the sandbox and waits for requests that fit. Written out it is one line:
`NAME;times=2;for_s=30;p=0.1;model=…;key=…;path=…;run=…`.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from random import Random
from typing import Any

from runbook_lib.errors import ParameterError
from runbook_lib.sandbox import answers, fault_files, ticks, world
from runbook_lib.sandbox.answers import Problem
from runbook_lib.sandbox.channels import Protocol
from runbook_lib.sandbox.machine import Forced

HEADER = "x-sandbox-fault"
MOST_RULES = 1000
_REFUSED_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault; exactly one of its effects is set, see `faults.toml`.

    Attributes:
        leaves: What is left of a real answer: `good` is one that every client must read, `text` one
            whose whole text is there while a careful client may refuse it; empty for neither.
    """

    name: str
    what: str
    leaves: str = ""
    problem: str = ""
    upstream: int = 0
    refusal: Mapping[str, Any] | None = None
    answer: Mapping[str, Any] | None = None
    path: str = ""
    cut: bool = False
    spoil: str = ""
    streams: bool = False
    delay_s: float = 0.0
    socket: str = ""

    @property
    def forced(self) -> Forced | None:
        """What it does inside the gateway; None when it works on the wire."""
        if self.problem:
            problem = getattr(answers, self.problem)
            return Forced(lambda _: problem)
        if self.upstream:
            return Forced(partial(answers.upstream_failed, self.upstream))
        if self.refusal is not None:
            written = Problem(**self.refusal)
            return Forced(lambda protocol: _worded(written, protocol))
        return Forced(breaks="cuts") if self.cut else None


def _worded(problem: Problem, protocol: Protocol) -> Problem:
    """The words of a group's own refusal where it has some."""
    found = answers.no_channel(protocol)
    return found if (found.status, found.code) == (problem.status, problem.code) else problem


def read(text: str) -> tuple[list[Fault], list["Rule"]]:
    """Read faults and rules from TOML: `[[faults]]` and `[[rules]]`.

    Raises:
        ParameterError: it is no such TOML, or a fault has no effect that there is.
    """
    try:
        tables = tomllib.loads(text)
        made = [Fault(**table) for table in tables.get("faults", [])]
        rules = [rule(table) for table in tables.get("rules", [])]
        for fault in made:
            fault_files.check(fault)
    except (tomllib.TOMLDecodeError, TypeError, AttributeError, RecursionError) as error:
        raise ParameterError("faults", str(error)[:200], hint="[[faults]] and [[rules]]") from error
    return made, rules


CATALOGUE: dict[str, Fault] = {
    table["name"]: Fault(**table) for table in world.read("faults.toml")["faults"]
}
"""Every fault that comes with the package, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Whom a fault hits: only requests that fit every field that is given.

    Attributes:
        times: How often; 0 for always. for_s: Seconds from its first hit; 0 for always.
        p: Probability of each hit, above 0 to 1.
        model: Its model; with `!` before it, every other one.
        path: Start of the path. run: Value of the header `x-sandbox-run`.
    """

    name: str
    times: int = 0
    for_s: float = 0.0
    p: float = 1.0
    model: str = ""
    key: str = ""
    path: str = ""
    run: str = ""

    def fits(self, *, model: str, key: str, path: str, run: str) -> bool:
        """Tell whether a request is meant."""
        return (
            self.means(model)
            and self.key in ("", key)
            and path.startswith(self.path)
            and self.run in ("", run)
        )

    def means(self, model: str) -> bool:
        """Tell whether a model is meant: by its name, or by not having the one after `!`."""
        name = self.model
        return name != f"!{model}" if name.startswith("!") else name in ("", model)

    def line(self) -> str:
        """Write it as one line."""
        plain = Rule(name=self.name)
        given = [
            f"{item.name}={getattr(self, item.name):{'.12g' if item.type is float else ''}}"
            for item in fields(self)[1:]
            if getattr(self, item.name) != getattr(plain, item.name)
        ]
        return ";".join([self.name, *given])


def rule(table: object) -> Rule:
    """Read a rule from a table: `name` (or `fault`) and the fields of `Rule`.

    Raises:
        ParameterError: it is none.
    """
    if not isinstance(table, dict):
        raise ParameterError("fault", str(table)[:80], hint="NAME;times=2;for_s=30;p=0.1")
    name, *rest = (
        str(table.get("name", table.get("fault", ""))),
        *(f"{key}={value}" for key, value in table.items() if key not in ("name", "fault")),
    )
    return parse(";".join([name, *rest]))


def parse(text: str) -> Rule:
    """Read a rule from its line.

    Raises:
        ParameterError: a field is unknown or no number where it must be one.
    """
    name, *pairs = (part.strip() for part in text.split(";"))
    found: dict[str, Any] = {}
    for pair in filter(None, pairs):
        key, _, value = pair.partition("=")
        found[key.strip()] = value.strip()
    try:
        for key, kind in (("times", int), ("for_s", float), ("p", float)):
            if key in found:
                found[key] = kind(found[key])
        rule = Rule(name=name, **found)
    except (TypeError, ValueError) as error:
        raise ParameterError("fault", text[:80], hint="NAME;times=2;for_s=30;p=0.1") from error
    if not (rule.times >= 0 and rule.for_s >= 0 and 0 < rule.p <= 1):
        raise ParameterError("fault", text[:80], hint="times and for_s from 0 on, p above 0 to 1")
    return rule


@dataclass(slots=True)
class _Use:
    hits: int = 0
    since: int | None = None


@dataclass(slots=True)
class _Script:
    """Rules of one key, used up in order: an attempt meets the first that is not used up.

    Its chance is its own, so what one key meets does not hang on what others do meanwhile. An
    attempt that chance spares is clean; it does not fall through to the next rule.
    """

    rules: Sequence[Rule]
    chance: Random
    uses: list[_Use]

    def meets(self, model: str, at: int) -> Rule | None:
        """Tell which rule an attempt meets; None for none."""
        for rule, use in zip(self.rules, self.uses, strict=True):
            over = rule.for_s and use.since is not None
            over = over and at - (use.since or 0) >= rule.for_s * ticks.SECOND
            if not rule.means(model) or over or (rule.times and use.hits >= rule.times):
                continue
            if rule.p < 1 and self.chance.random() >= rule.p:
                return None
            use.hits += 1
            use.since = at if use.since is None else use.since
            return rule
        return None


@dataclass(slots=True, kw_only=True)
class Planted:
    """The rules that are in force, and how often each has hit.

    A rule in a header counts by its own text and the caller's `x-sandbox-run`; once a request has
    passed it unharmed, it begins anew, so the next call meets it again.
    """

    chance: Random
    known: dict[str, Fault] = field(default_factory=lambda: dict(CATALOGUE))
    rules: list[Rule] = field(default_factory=list)
    _uses: dict[int, _Use] = field(default_factory=dict)
    _by_header: dict[tuple[str, str], _Use] = field(default_factory=dict)
    _scripts: dict[str, _Script] = field(default_factory=dict)

    def script(self, key: str, rules: Sequence[Rule], chance: Random) -> None:
        """Let a key meet these rules in order, and no other rule.

        Args:
            key: Name of the key.
            rules: Only `name`, `times`, `for_s`, `p` and `model` count.
            chance: Where their probabilities are drawn from.

        Raises:
            ParameterError: there is no such fault.
        """
        for rule in rules:
            self.find(rule.name)
        self._scripts[key] = _Script(rules, chance, [_Use() for _ in rules])

    def add(self, rules: Iterable[Rule]) -> None:
        """Put rules in force.

        Raises:
            ParameterError: there is no such fault, or there are too many rules.
        """
        for rule in rules:
            self.find(rule.name)
            if len(self.rules) >= MOST_RULES:
                raise ParameterError("faults", len(self.rules), hint="DELETE /sandbox/faults first")
            self.rules.append(rule)

    def clear(self) -> None:
        """Take all rules out of force and forget all counts."""
        self.rules.clear()
        self._uses.clear()
        self._by_header.clear()
        self._scripts.clear()

    def find(self, name: str) -> Fault:
        """Find a fault.

        Raises:
            ParameterError: there is none of this name.
        """
        if name not in self.known:
            raise ParameterError("fault", name[:80], hint="a name of GET /sandbox/faults")
        return self.known[name]

    def hit(
        self, header: str, *, at: int, first: bool, model: str, key: str, path: str, run: str
    ) -> Fault | None:
        """Tell which fault a request meets.

        Args:
            header: Its own rule; empty for none.
            at: Tick it is.
            first: The caller says that this is the first attempt of its call.
            model: Model asked for.
            key: Name of its key.
            path: Its path.
            run: Its `x-sandbox-run`.

        Returns:
            The fault, with the span of a refused connection filled in; None for none.

        Raises:
            ParameterError: the header holds no rule.
        """
        if header:
            rule = parse(header)
            fault = self.find(rule.name)
            place = (header, run)
            if first or place not in self._by_header:
                self._forget()
                self._by_header[place] = _Use()
            if self._counts(rule, self._by_header[place], at):
                return _spanned(fault, rule)
            if rule.p >= 1:
                del self._by_header[place]
        if key in self._scripts:
            met = self._scripts[key].meets(model, at)
            return None if met is None else _spanned(self.known[met.name], met)
        for rule in self.rules:
            use = self._uses.setdefault(id(rule), _Use())
            if rule.fits(model=model, key=key, path=path, run=run) and self._counts(rule, use, at):
                return _spanned(self.known[rule.name], rule)
        return None

    def _forget(self) -> None:
        if len(self._by_header) >= MOST_RULES:
            self._by_header.pop(next(iter(self._by_header)))

    def _counts(self, rule: Rule, use: _Use, at: int) -> bool:
        if use.since is None:
            use.since = at
        over = bool(rule.for_s) and at - use.since >= rule.for_s * ticks.SECOND
        if over or (rule.times and use.hits >= rule.times):
            return False
        if rule.p < 1 and self.chance.random() >= rule.p:
            return False
        use.hits += 1
        return True


def _spanned(fault: Fault, rule: Rule) -> Fault:
    if fault.socket != "refused":
        return fault
    return replace(fault, delay_s=rule.for_s or _REFUSED_S)
