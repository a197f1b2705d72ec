"""The tables: every column with its type, unit, meaning and the names others give it.

OpenTelemetry names are those of the GenAI semantic conventions 1.37, FOCUS names those of 1.2.
`ts` is an aware UTC instant; null is unknown, zero is measured. `input_tokens` never contains
cached tokens. `source_file` and `row_number` lead a row back to its line: the number of the record
in its file, the header not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

OTEL_VERSION = "1.37"
FOCUS_VERSION = "1.2"

Type = Literal["text", "int", "money", "instant", "flag", "real", "date"]

SQL_TYPES: dict[str, str] = {
    "text": "VARCHAR",
    "int": "BIGINT",
    "money": "DECIMAL(18, 10)",
    "instant": "TIMESTAMPTZ",
    "flag": "BOOLEAN",
    "real": "DOUBLE",
    "date": "DATE",
}
"""The type of each kind of column in the lake: those that stay equal on every engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    name: str
    type: Type
    meaning: str
    unit: str = ""
    nullable: bool = True
    otel: str = ""
    focus: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table: its columns in order, and what one row is."""

    name: str
    row: str
    columns: tuple[Column, ...]
    by_name: dict[str, Column] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {column.name: column for column in self.columns})

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return [column.name for column in self.columns]

    def check(self, columns: Sequence[str]) -> list[str]:
        """List what keeps these columns from being this table; empty when nothing does."""
        held = set(columns)
        missing = [f"no column {name}" for name in self.names if name not in held]
        return missing + [f"unknown column {name}" for name in columns if name not in self.by_name]


def _text(name: str, meaning: str, **rest: str) -> Column:
    return Column(name=name, type="text", meaning=meaning, **rest)  # type: ignore[arg-type]


def _count(name: str, meaning: str, **rest: str) -> Column:
    return Column(name=name, type="int", meaning=meaning, unit="tokens", **rest)  # type: ignore[arg-type]


def _money(name: str, meaning: str, **rest: str) -> Column:
    return Column(name=name, type="money", meaning=meaning, unit="USD", **rest)  # type: ignore[arg-type]


def _millis(name: str, meaning: str) -> Column:
    return Column(name=name, type="real", meaning=meaning, unit="ms")


_ACCOUNT = Column(
    name="account",
    type="text",
    nullable=False,
    focus="BillingAccountId",
    meaning="Account of the gateway; empty where there is one",
)
_SLOT = Column(
    name="slot",
    type="int",
    nullable=False,
    unit="quarter hours",
    meaning="15-minute UTC slot of ts, counted from 1970; leads to local hours and days",
)
_EXTRA = _text("extra", "Unknown columns of the input, as a JSON object; secrets removed")
_ORIGIN = (
    Column(name="source_file", type="text", nullable=False, meaning="Name of the file it came in"),
    Column(name="row_number", type="int", nullable=False, meaning="Number of the record in it"),
)
_TOKENS = (
    _count(
        "input_tokens",
        "Input, cached tokens not counted",
        otel="gen_ai.usage.input_tokens",
        focus="ConsumedQuantity",
    ),
    _count("output_tokens", "Output, reasoning included", otel="gen_ai.usage.output_tokens"),
    _count(
        "cache_read_tokens", "Input read from a cache", otel="gen_ai.usage.cache_read.input_tokens"
    ),
    _count(
        "cache_write_tokens",
        "Input written to a cache, all lifetimes",
        otel="gen_ai.usage.cache_creation.input_tokens",
    ),
)

USAGE = Table(
    name="usage",
    row="a billed request, from the gateway",
    columns=(
        _ACCOUNT,
        Column(
            name="ts",
            type="instant",
            nullable=False,
            focus="ChargePeriodEnd",
            meaning="End of the request (contract §5, M)",
        ),
        _SLOT,
        _text("request_id", "Id of the row as stored, such as client:<X-Client-Request-ID>"),
        _text(
            "key_name",
            "Name of the key; null when blank or not exported",
            otel="torouter.key.name",
            focus="SubAccountName",
        ),
        _text("model", "Model as billed", otel="gen_ai.request.model", focus="SkuId"),
        _text("endpoint", "Inbound endpoint", otel="url.path"),
        _text("ip_address", "Address the gateway saw", otel="client.address"),
        _text("user_agent", "Agent the gateway saw", otel="user_agent.original"),
        _text("group_name", "Group of the key"),
        _text("request_type", "Sync, Stream, WS, Live, Cyber or Unknown, lower case"),
        _text("billing_mode", "Billing mode, as exported"),
        _text("reasoning_effort", "Reasoning effort asked", otel="gen_ai.request.reasoning.effort"),
        *_TOKENS,
        _count("cache_write_5m_tokens", "Of these, with a lifetime of five minutes"),
        _count("cache_write_1h_tokens", "Of these, with a lifetime of one hour"),
        Column(
            name="rate_multiplier",
            type="money",
            unit="factor",
            meaning="billed = original × rate multiplier",
        ),
        _money("cost_usd", "Billed", focus="BilledCost"),
        _money("original_cost_usd", "Before the rate multiplier", focus="ListCost"),
        _millis("ttft_ms", "Time to the first token, streams only"),
        _millis("duration_ms", "Length of the request"),
        Column(
            name="status",
            type="int",
            meaning="HTTP status, where failed ones are listed",
            otel="http.response.status_code",
        ),
        _text("code", "Code of the gateway, where failed ones are listed"),
        _EXTRA,
        *_ORIGIN,
    ),
)

CALLS = Table(
    name="calls",
    row="an attempt, from the client's own log",
    columns=(
        _ACCOUNT,
        Column(name="ts", type="instant", nullable=False, meaning="Start of the attempt"),
        _SLOT,
        _text("call_id", "Logical call the attempt belongs to", otel="torouter.call.id"),
        Column(
            name="attempt",
            type="int",
            otel="torouter.attempt",
            meaning="Number of the attempt in its call, from 1, fallback included",
        ),
        Column(
            name="resend_count",
            type="int",
            otel="http.request.resend_count",
            meaning="Retries the SDK had made before",
        ),
        _text(
            "request_ids",
            "All values of x-request-id, joined by a comma",
            otel="http.response.header.x-request-id",
        ),
        _text(
            "client_request_id",
            "Value of x-client-request-id: joins with usage rows",
            otel="http.response.header.x-client-request-id",
        ),
        _text("response_id", "Id in the answer's body", otel="gen_ai.response.id"),
        _text("key_name", "Name of the key used", otel="torouter.key.name"),
        _text("environment", "Environment of the caller", otel="torouter.environment"),
        _text("service", "Service that called", otel="torouter.service"),
        _text(
            "provider", "Protocol spoken: openai, anthropic, gemini", otel="gen_ai.provider.name"
        ),
        _text("operation", "chat, embeddings …", otel="gen_ai.operation.name"),
        _text("model", "Model asked", otel="gen_ai.request.model"),
        _text("response_model", "Model that answered", otel="gen_ai.response.model"),
        _text("server", "Host called", otel="server.address"),
        _text("path", "Path called", otel="url.path"),
        _text("user_agent", "Client and its version", otel="user_agent.original"),
        Column(
            name="stream", type="flag", meaning="A stream was asked", otel="gen_ai.request.stream"
        ),
        Column(
            name="status",
            type="int",
            otel="http.response.status_code",
            meaning="HTTP status; null when no answer came",
        ),
        _text(
            "content_type", "Content type of the answer", otel="http.response.header.content-type"
        ),
        _text(
            "code",
            "Code of the gateway; null when there was none or nobody read it",
            otel="torouter.error.code",
        ),
        _text("error_type", "Status, code or exception that ended it", otel="error.type"),
        Column(
            name="outcome",
            type="text",
            nullable=False,
            meaning="ok, refused (status), broken (200, not whole), no_answer or abandoned",
        ),
        _text("retry", "Retry rule: never, window, after, backoff; null when undecided"),
        Column(
            name="retry_after_s",
            type="real",
            unit="s",
            otel="torouter.retry_after_s",
            meaning="Retry-After of the answer",
        ),
        _text(
            "stream_end",
            "complete, truncated, error_event, empty, reset, timeout, cancelled",
            otel="torouter.stream.end",
        ),
        _text(
            "finish_reasons",
            "Finish reasons, joined by a comma",
            otel="gen_ai.response.finish_reasons",
        ),
        _millis("ttft_ms", "Time to the first byte, streams only"),
        _millis("duration_ms", "Length of the attempt"),
        *_TOKENS,
        _text("traceparent", "W3C trace context of the caller"),
        _EXTRA,
        *_ORIGIN,
    ),
)

REFUSALS = Table(
    name="refusals",
    row="a failed request of the console's list; it has no id",
    columns=(
        _ACCOUNT,
        Column(name="ts", type="instant", nullable=False, meaning="Time of the refusal"),
        _text("key_name", "Name of the key"),
        _text("model", "Model asked; null where the door refused before reading it"),
        _text("endpoint", "Inbound endpoint"),
        Column(name="status", type="int", meaning="Status, of the upstream where it answered"),
        _text("category", "Category of the console: auth, other …"),
        _text("provider", "Protocol of the group"),
        _text("ip_address", "Address the gateway saw"),
        _text("user_agent", "Agent the gateway saw"),
        _text("group_name", "Group of the key"),
        *_ORIGIN,
    ),
)

KEYS = Table(
    name="keys",
    row="a cap of a key in the user's own inventory; a key can stand on several",
    columns=(
        _ACCOUNT,
        Column(name="key_name", type="text", nullable=False, meaning="Name of the key"),
        _text("environment", "Environment it is for"),
        _text("owner", "Team or person that owns it", focus="x_Owner"),
        _text("service", "Services that use it, parted by ;"),
        _text("group", "Group of the gateway it belongs to"),
        Column(name="created_at", type="instant", meaning="Creation"),
        Column(name="expires_at", type="instant", meaning="Expiry; null for none"),
        Column(name="cap_amount", type="money", meaning="Cap; null for none"),
        _text("cap_currency", "USD or CNY"),
        _text("cap_window", "total, 5h, 1d, 7d or month"),
        _text("ip_allowlist", "Addresses and ranges, parted by ;"),
        _text("model_allowlist", "Models, parted by ;"),
        _text("replaced_by", "Successor after rotation"),
        _text("note", "Note"),
        *_ORIGIN,
    ),
)

KEY_STATE = Table(
    name="key_state",
    row="a live answer of GET /v1/usage or /v1/models for one key",
    columns=(
        _ACCOUNT,
        _text("key_name", "Name of the key asked"),
        Column(name="asked_at", type="instant", meaning="When it was asked"),
        _text("question", "usage or models"),
        Column(name="status", type="int", meaning="Status of the answer"),
        _text("code", "Code of a refusal"),
        _text("mode", "quota_limited or unrestricted"),
        _text("window", "total, 5h, 1d, 7d; one row each; null for models and refusals"),
        _money("limit_usd", "Limit of that window"),
        _money("used_usd", "Used of it; the total lags up to five minutes (M)"),
        _money("remaining_usd", "Left of it"),
        Column(name="reset_at", type="instant", meaning="When the window rolls over"),
        Column(name="expires_at", type="instant", meaning="Expiry of the key"),
        _money("balance_usd", "Balance of the account, where it is answered"),
        _money("cost_usd", "Billed on this key so far; does not lag (M)"),
        _text("models", "Models listed, joined by a comma"),
        *_ORIGIN,
    ),
)

AUDIT = Table(
    name="audit",
    row="an act on a key, by whom and when",
    columns=(
        _ACCOUNT,
        Column(name="ts", type="instant", nullable=False, meaning="Time of the act"),
        _text("action", "keys.create, keys.update, keys.delete, auth.login …"),
        _text("actor", "Masked actor"),
        _text("key_id", "Id of the key in the console, where the act names one"),
        _text("key_name", "Name of the key, where the act or an earlier one names it"),
        _text("method", "HTTP method"),
        _text("path", "Path of the console"),
        _text("request_id", "Id of the console's request"),
        _text("ip_address", "Address of the actor"),
        _text("change", "What was set, as a JSON object; secrets removed"),
        Column(name="status", type="int", meaning="Status of the act"),
        *_ORIGIN,
    ),
)

LEDGER = Table(
    name="ledger",
    row="a top-up, refund or reading of the balance",
    columns=(
        _ACCOUNT,
        Column(name="ts", type="instant", nullable=False, meaning="Time"),
        _text("kind", "top_up, refund or reading"),
        Column(name="amount", type="money", meaning="Amount; null for a reading"),
        _text("currency", "USD or CNY"),
        Column(name="balance", type="money", meaning="Balance after it, where known"),
        *_ORIGIN,
    ),
)

BUDGET = Table(
    name="budget",
    row="a budget of an environment or a key for a month",
    columns=(
        _ACCOUNT,
        _text("environment", "Environment, or null"),
        _text("key_name", "Key, or null"),
        _text("month", "Month as YYYY-MM"),
        Column(name="amount", type="money", nullable=False, meaning="Budget"),
        _text("currency", "USD or CNY"),
        *_ORIGIN,
    ),
)

PRICES = Table(
    name="prices",
    row="a price the user knows better than the list",
    columns=(
        _ACCOUNT,
        Column(name="model", type="text", nullable=False, meaning="Model"),
        Column(
            name="token_kind",
            type="text",
            nullable=False,
            meaning="input, output, cache_read, cache_write, cache_write_1h",
        ),
        Column(
            name="usd_per_million",
            type="money",
            nullable=False,
            unit="USD",
            meaning="Price of a million tokens",
        ),
        Column(name="from", type="instant", meaning="Valid from"),
        Column(name="to", type="instant", meaning="Valid until"),
        *_ORIGIN,
    ),
)

PLANNED = Table(
    name="planned",
    row="activity that is planned and no surprise",
    columns=(
        _ACCOUNT,
        Column(name="start", type="instant", nullable=False, meaning="Start"),
        Column(name="end", type="instant", nullable=False, meaning="End"),
        _text("key_name", "Key, or null for all"),
        Column(name="factor", type="real", unit="factor", meaning="Times the usual load"),
        _text("note", "What is planned"),
        *_ORIGIN,
    ),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (USAGE, CALLS, REFUSALS, KEYS, KEY_STATE, AUDIT, LEDGER, BUDGET, PRICES, PLANNED)
}
"""Every table by its name."""

ROWS = ("usage", "calls")
"""The big tables: they live as Parquet behind the questions of the store; the rest are small."""

OUTCOMES = ("ok", "refused", "broken", "no_answer", "abandoned")
"""How an attempt can end; all but the first and the last are failures."""


def slot_of(epoch_seconds: int) -> int:
    """Number of the 15-minute slot that holds an instant."""
    return epoch_seconds // 900
