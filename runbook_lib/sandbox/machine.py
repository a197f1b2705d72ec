"""The gateway as a state machine with a virtual clock: a request in, its answer and its row out.

Whoever calls it owns the clock: instants are ticks and never go back. A request is judged when it
arrives and charged when it ends, so caps overshoot and rows are dated by their end, as measured
(contract §1, §5, M). The history runs it through ten weeks in seconds; a server can run the same
machine in real time.
"""

import heapq
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import NamedTuple

from runbook_lib.sandbox import answers, door, prices, ticks
from runbook_lib.sandbox.answers import Answer, Problem, Surface
from runbook_lib.sandbox.channels import Channel, Group, Protocol
from runbook_lib.sandbox.door import Request
from runbook_lib.sandbox.keys import SLOT_WAIT, Account, Key
from runbook_lib.sandbox.models import Model, likeness
from runbook_lib.sandbox.prices import Cost, Tokens
from runbook_lib.sandbox.routing import route
from runbook_lib.sandbox.surfaces import is_api, surface_of
from runbook_lib.sandbox.wanted import Said

HANG = 60 * ticks.SECOND
"""How long nothing comes of a stream that hangs, before its connection ends (M)."""


class Row(NamedTuple):
    """One usage row, dated by its end."""

    end: int
    key: Key
    group: Group
    channel: Channel
    request: Request
    tokens: Tokens
    cost: Cost
    client_id: str
    ttft: int | None
    duration: int


class Refusal(NamedTuple):
    """One line of the console's list of failed requests: it has no id (contract §7, M)."""

    at: int
    key: Key
    request: Request
    problem: Problem


class Forced(NamedTuple):
    """What a planted fault does to one request, whatever the state says.

    Attributes:
        problem: Gives the refusal, in the protocol of the key's group; None for none.
        breaks: How its stream breaks after the first byte, a kind of `channels.STREAM_TROUBLES`;
            empty for not at all.
    """

    problem: Callable[[Protocol], Problem] | None = None
    breaks: str = ""


class _Call(NamedTuple):
    """One request on its way through."""

    request: Request
    surface: Surface
    key: Key | None
    at: int
    ids: tuple[str, ...]
    client_id: str
    breaks: str = ""


class _Served(NamedTuple):
    """Who serves a request, and how long it waited before."""

    key: Key
    group: Group
    channel: Channel
    model: Model
    waited: int
    pace: float


class Gateway:
    """Accounts, keys, groups and channels, and what happened to them.

    Attributes:
        rows: Usage rows in the order of their end.
        refusals: What the console lists of failed requests.
        broken: The gateway itself fails: every call with a key is answered 500.
    """

    def __init__(self, seed: str) -> None:
        self.models: dict[str, Model] = {}
        self.accounts: dict[str, Account] = {}
        self.groups: dict[str, Group] = {}
        self.channels: dict[str, Channel] = {}
        self.keys: dict[str, Key] = {}
        self.rows: list[Row] = []
        self.refusals: list[Refusal] = []
        self.broken = False
        self.chance = Random(seed)  # noqa: S311 (a simulation, no secret)
        self._bits = self.chance.getrandbits
        self._by_secret: dict[str, Key] = {}
        self._under_way: list[tuple[int, int, Row]] = []
        self._count = 0
        self._bad_keys = door.BadKeys()

    def add_key(self, key: Key) -> None:
        """Make a key usable; of several with one name the oldest that lives is found by it."""
        held = self.keys.get(key.name)
        if held is not None and held.deleted_at is not None:
            self.keys[f"{held.name}#{held.id}"] = held
        taken = held is not None and held.deleted_at is None
        self.keys[f"{key.name}#{key.id}" if taken else key.name] = key
        self._by_secret[key.secret] = key

    def drop_key(self, key: Key, at: int) -> None:
        """Delete a key: from now on its secret is unknown (contract §1, M)."""
        key.deleted_at = at
        self._by_secret.pop(key.secret, None)

    def find_key(self, secret: str | None) -> Key | None:
        """Find a live key by its secret."""
        return self._by_secret.get(secret) if secret else None

    def uuid(self) -> str:
        """Make the next UUID v4 of the seed."""
        bits = self._bits(128) & ~(0xF << 76) & ~(0x3 << 62) | 0x4 << 76 | 0x2 << 62
        text = f"{bits:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    # One request --------------------------------------------------------------------------------

    def handle(self, request: Request, at: int, forced: Forced | None = None) -> Answer:
        """Judge one request at its arrival.

        Args:
            request: The request.
            at: Tick of its arrival; never before that of the last request.
            forced: A planted fault; None for none.

        Returns:
            Its answer, with how long it takes. What it costs is charged once the clock passes
            its end, whether the caller still listens or not (contract §6, M).
        """
        self.settle(at)
        own = request.request_id
        ids = (own if own and len(own.encode()) <= 64 else self.uuid(),)
        surface = surface_of(request.path)
        if surface is None:
            return _astray(request, ids, self._moment())
        key = self.find_key(request.secret)
        breaks = forced.breaks if forced is not None else ""
        call = _Call(request, surface, key, at, ids, self.uuid(), breaks)
        if forced is not None and forced.problem is not None:
            protocol = key.group.protocol if key and key.group else surface.protocol
            return self._refuse(call, forced.problem(protocol))
        problem = self._door(call)
        if problem is not None or key is None:
            return self._refuse(call, problem or answers.KEY_UNKNOWN)
        key.last_used_at, key.last_used_ip = at, request.ip
        if surface.operation == "list":
            problem = door.lists(request, surface, key)
            return self._plain(call, key) if problem is None else self._refuse(call, problem)
        problem = door.form(request, surface, key)
        if problem is not None or key.group is None:
            return self._refuse(call, problem or answers.NO_GROUP)
        return self._serve(call, key, key.group)

    def settle(self, at: int) -> None:
        """Charge every request that has ended by a tick."""
        pending = self._under_way
        while pending and pending[0][0] <= at:
            row = heapq.heappop(pending)[2]
            paid_by = row.key.subscription
            if paid_by is not None:
                paid_by.charge(row.end, row.cost.billed)
            else:
                row.key.account.balance -= row.cost.billed
            row.key.charge(row.end, row.request.model, row.tokens, row.cost, row.duration)
            self.rows.append(row)

    def _door(self, call: _Call) -> Problem | None:
        request, key = call.request, call.key
        if request.flaw == "key_in_query" and call.surface.name != "gemini":
            return answers.KEY_IN_QUERY
        if self._bad_keys.blocks(request.ip, call.at):
            return answers.IP_BLOCKED
        if request.secret is None:
            return answers.KEY_REQUIRED
        if self.broken:
            return answers.INTERNAL
        if key is None:
            self._bad_keys.note(request.ip, call.at)
            return answers.KEY_UNKNOWN
        problem = door.identity(request, key)
        if problem is None and call.surface.name not in ("usage", "billing"):
            return door.means(key, call.at)
        return problem

    def _serve(self, call: _Call, key: Key, group: Group) -> Answer:
        at, request, account = call.at, call.request, key.account
        begin = account.begin(at)
        if begin is None:
            return self._refuse(call, answers.QUEUE_FULL)
        if begin > at + SLOT_WAIT:
            return self._refuse(call, answers.NO_SLOT, spent=SLOT_WAIT)
        problem = door.limits(key, group, begin)
        if problem is not None:
            return self._refuse(call, problem, spent=begin - at)
        model = group.aliases.get(request.model, request.model)
        way = route(group, model, request.model, begin, self.chance, stream=request.stream)
        waited = begin - at + way.spent
        if way.channel is None or way.problem is not None:
            account.occupy(at + waited)
            problem = way.problem or answers.no_channel(group.protocol)
            return self._refuse(call, problem, spent=waited)
        pace = way.channel.factor if way.trouble == "slow" else 1.0
        served = _Served(key, group, way.channel, self._model(model, group), waited, pace)
        breaks = call.breaks or ("" if way.trouble == "slow" else way.trouble)
        return self._answer(call, served, breaks if request.stream else "")

    def _model(self, name: str, group: Group) -> Model:
        """Find a model; one without a price is charged as its nearest relative (contract §7, M)."""
        known = self.models.get(name)
        if known is not None:
            return known
        relatives = [item for item in self.models.values() if item.protocol == group.protocol]
        nearest = max(relatives, key=lambda item: likeness(item.name, name))
        return replace(nearest, name=name, answers_as=name)

    # Its answer ---------------------------------------------------------------------------------

    def _moment(self) -> int:
        return 1_500 + self._bits(12)

    def _plain(self, call: _Call, key: Key) -> Answer:
        protocol = key.group.protocol if key.group else None
        form = answers.PASSED if call.surface.name == "gemini" else answers.JSON
        spent = self._moment()
        return Answer(200, call.ids, call.client_id, form, spent, call.surface, protocol)

    def _refuse(self, call: _Call, problem: Problem, *, spent: int = 0) -> Answer:
        key, request = call.key, call.request
        spent += self._moment()
        if key is not None and problem.category is not None:
            self.refusals.append(Refusal(call.at + spent, key, request, problem))
        protocol = key.group.protocol if key is not None and key.group else call.surface.protocol
        passed = problem.passed_on
        ids = call.ids
        if passed and protocol == "gemini":
            ids = (self._upstream_id(),)
        # Who waited for a slot with a stream has 200 and pings by then: the refusal comes inside.
        # Gemini's endpoints send no pings (F).
        inside = request.stream and problem is answers.NO_SLOT and call.surface.name != "gemini"
        headed = problem.as_stream and call.surface.name in ("messages", "responses")
        written = answers.PASSED if passed else answers.JSON
        return Answer(
            200 if inside else problem.status,
            ids,
            call.client_id,
            answers.STREAM if inside or headed else written,
            spent,
            call.surface,
            protocol,
            problem,
            stream_end="error_event" if inside else "",
        )

    def _answer(self, call: _Call, served: _Served, breaks: str) -> Answer:
        request, model, name = call.request, served.model, call.surface.name
        first, length = model.time(request.tokens.output, request.pace * served.pace, self.chance)
        if breaks:
            length = first + int((length - first) * self.chance.random())
            length += HANG if breaks == "hangs" else 0
        duration = served.waited + length
        served.key.account.occupy(call.at + duration)
        ttft = served.waited + first if request.stream else None
        origin = _origin(call.surface, served)
        end, code, seen, billed = _ending(name, request, breaks, origin)
        if billed is not None and call.surface.operation != "count":
            self._bill(call, served, billed, ttft, duration)
        if breaks and name == "messages":
            refusal = Refusal(call.at + duration, served.key, request, answers.CUT_MESSAGES)
            self.refusals.append(refusal)
        return Answer(
            200,
            self._upstream_ids(call, served.group),
            call.client_id,
            _content_type(name, request, origin),
            duration,
            call.surface,
            served.group.protocol,
            None,
            ttft,
            end,
            code,
            model.answers_as,
            self._response_id(name, origin),
            seen,
            Said(),
            breaks,
            origin,
        )

    def _bill(
        self, call: _Call, served: _Served, tokens: Tokens, ttft: int | None, duration: int
    ) -> None:
        key, group = served.key, served.group
        cost = prices.cost(served.model.price, tokens, group.multiplier)
        end = call.at + duration
        row = Row(
            end,
            key,
            group,
            served.channel,
            call.request,
            tokens,
            cost,
            call.client_id,
            ttft,
            duration,
        )
        self._count += 1
        heapq.heappush(self._under_way, (end, self._count, row))

    def _upstream_ids(self, call: _Call, group: Group) -> tuple[str, ...]:
        if group.protocol == "anthropic":
            return call.ids
        upstream = self._upstream_id()
        if group.protocol == "openai":
            return (call.ids[0], upstream)
        return (upstream,) if call.surface.name == "messages" else (upstream, upstream)

    def _upstream_id(self) -> str:
        return f"req_{self._bits(96):024x}"

    def _response_id(self, surface: str, origin: str) -> str:
        """What is translated keeps the id of its upstream; a chat out of Gemini gets Claude's."""
        if surface == "messages" or (surface == "chat" and origin in ("anthropic", "gemini")):
            return f"msg_01{self._bits(88):022x}"
        if surface == "responses" or origin == "responses":
            return f"resp_{self._bits(128):032x}"
        return f"chatcmpl-{self._bits(80):020x}" if surface == "chat" else ""


def _astray(request: Request, ids: tuple[str, ...], spent: int) -> Answer:
    """Answer what is no endpoint: 404 as text, or the web page under 200 (contract §2, M)."""
    if is_api(request.path):
        return Answer(404, ids, None, answers.TEXT, spent)
    return Answer(200, ids, None, answers.PAGE, spent)


def _origin(surface: Surface, served: _Served) -> str:
    """Name the protocol that the gateway translates into that of the endpoint; empty for none."""
    if surface.name == "chat" and served.channel.responses:
        return "responses"
    protocol = served.group.protocol
    return "" if surface.protocol == protocol else protocol


def _content_type(surface: str, request: Request, origin: str) -> str:
    if request.stream:
        return answers.STREAM
    # What it translates, the gateway writes itself; a chat out of Gemini is told otherwise (M).
    return answers.PASSED if not origin or (origin, surface) == ("gemini", "chat") else answers.JSON


def _ending(
    surface: str, request: Request, breaks: str, origin: str
) -> tuple[str, str, Tokens | None, Tokens | None]:
    """How the answer ends: stream end, code inside it, tokens seen, tokens billed (contract §4)."""
    tokens = request.tokens
    if not request.stream:
        return "", "", tokens, tokens
    if not breaks:
        return "complete", "", tokens, tokens
    own = {"messages": "stream_read_error", "responses": "stream_read_error"}.get(surface, "")
    own = "upstream_stream_read_error" if origin == "responses" else own
    code = "upstream_error" if breaks == "errs" else own
    end = "error_event" if code else "truncated"
    if surface == "messages":
        return end, code, tokens._replace(output=1), tokens._replace(output=0)
    return end, code, None, None if surface == "responses" else door.NOTHING
