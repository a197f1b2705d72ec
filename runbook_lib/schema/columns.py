"""What a column and a table are, the types of the lake, and the columns many tables share."""

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


def text(name: str, meaning: str, **rest: str) -> Column:
    """Make a column of text."""
    return Column(name=name, type="text", meaning=meaning, **rest)  # type: ignore[arg-type]


def count(name: str, meaning: str, **rest: str) -> Column:
    """Make a column of token counts."""
    return Column(name=name, type="int", meaning=meaning, unit="tokens", **rest)  # type: ignore[arg-type]


def money(name: str, meaning: str, **rest: str) -> Column:
    """Make a column of USD."""
    return Column(name=name, type="money", meaning=meaning, unit="USD", **rest)  # type: ignore[arg-type]


def millis(name: str, meaning: str) -> Column:
    """Make a column of milliseconds."""
    return Column(name=name, type="real", meaning=meaning, unit="ms")


ACCOUNT = Column(
    name="account",
    type="text",
    nullable=False,
    focus="BillingAccountId",
    meaning="Account of the gateway; empty where there is one",
)
SLOT = Column(
    name="slot",
    type="int",
    nullable=False,
    unit="quarter hours",
    meaning="15-minute UTC slot of ts, counted from 1970; leads to local hours and days",
)
EXTRA = text("extra", "Unknown columns of the input, as a JSON object; secrets removed")
ORIGIN = (
    Column(name="source_file", type="text", nullable=False, meaning="Name of the file it came in"),
    Column(name="row_number", type="int", nullable=False, meaning="Number of the record in it"),
)
TOKENS = (
    count(
        "input_tokens",
        "Input, cached tokens not counted",
        otel="gen_ai.usage.input_tokens",
        focus="ConsumedQuantity",
    ),
    count("output_tokens", "Output, reasoning included", otel="gen_ai.usage.output_tokens"),
    count(
        "cache_read_tokens", "Input read from a cache", otel="gen_ai.usage.cache_read.input_tokens"
    ),
    count(
        "cache_write_tokens",
        "Input written to a cache, all lifetimes",
        otel="gen_ai.usage.cache_creation.input_tokens",
    ),
)
