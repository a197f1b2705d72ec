"""The lake: a folder of Parquet files that answers a few questions and takes in more."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib import clock, schema
from runbook_lib.errors import InputError, ParameterError, StoreError
from runbook_lib.sources.engine import MEMORY_MB
from runbook_lib.sources.intake import Intake
from runbook_lib.store import lookup, manifest, questions, writer
from runbook_lib.store.answers import Added, Found, Reconciled, Rows
from runbook_lib.store.card import Card, card, exports, micros
from runbook_lib.store.locks import Reading
from runbook_lib.store.questions import Filter, Grain, Order
from runbook_lib.store.reader import Reader
from runbook_lib.store.views import SLOT_US

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_SMALL = tuple(name for name in schema.TABLES if name not in ("usage", "calls"))


class Store:
    """The rows taken in, under one folder.

    A Store sees the state of the lake at the time it was opened, whatever a writer does since, and
    its own additions. Any number of readers and one writer work at once.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        read_only: bool = True,
        memory_mb: int = MEMORY_MB,
        timezone: str = "UTC",
    ) -> None:
        """Open the lake in a folder.

        Args:
            folder: The lake. With `read_only=False` it is made when it is not there.
            read_only: Whether nothing will be added.
            memory_mb: Memory the engine may use, in MiB.
            timezone: IANA zone in which the intake card tells times; answers are in UTC.

        Raises:
            InputError: the folder holds no lake, or is none.
            StoreError: the lake is broken or of an unknown version.
        """
        self.folder, self.read_only = Path(folder), read_only
        self._memory_mb, self._timezone = memory_mb, timezone
        self._reader: Reader | None = None
        if read_only and not (self.folder / manifest.FILE).is_file():
            raise InputError(
                folder,
                "holds no rows that were taken in",
                hint="name the folder that was given to --data when files were taken in",
            )
        if not read_only:
            _make(self.folder)
        self._reading = Reading(self.folder)
        self._state = manifest.read(self.folder)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the lake."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._reading.close()

    @property
    def intake(self) -> Card:
        """What the lake holds: rows, span, rejected rows and files."""
        return card(self._state, timezone=self._timezone)

    @property
    def sample(self) -> bool:
        """Whether the data are made up."""
        return self._state.sample

    @property
    def generation(self) -> int:
        """Number of the state this Store sees; it grows with every addition."""
        return self._state.generation

    def span(self, table: str) -> clock.Window | None:
        """Give the span of the rows of a table, None when it holds none.

        The end is half-open: just after the last row.
        """
        from datetime import timedelta

        held = next((t for t in self.intake.tables if t.table == table), None)
        if held is None or held.first_at is None or held.last_at is None:
            return None
        return clock.Window(start=held.first_at, end=held.last_at + timedelta(microseconds=1))

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Give readers of files a folder in the lake for what they stage.

        Raises:
            StoreError: the Store was opened for reading only.
        """
        self._writable()
        with tempfile.TemporaryDirectory(
            prefix="staging-", dir=self.folder / writer.TMP, ignore_cleanup_errors=True
        ) as name:
            yield Path(name)

    def add(self, intakes: Sequence[Intake], *, sample: bool | None = None) -> list[Added]:
        """Take in what readers staged; all of it becomes visible at once, or nothing.

        What is held already is not doubled: the same file twice, overlapping exports, an attempt
        in several logs. The result does not depend on the order of the files.

        Args:
            intakes: What was read. Their staged files are used up.
            sample: Whether the lake holds made-up data; None leaves it as it was.

        Returns:
            What it did, a record an intake.

        Raises:
            StoreError: read only, another process is writing, or the disk does not take it.
        """
        self._writable()
        self._reading.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        try:
            added = writer.add(self.folder, intakes, sample=sample, memory_mb=self._memory_mb)
        except OSError as error:
            raise StoreError(
                self.folder, f"could not be written ({error})", hint="nothing was added; make room"
            ) from None
        finally:
            self._reading = Reading(self.folder)
            self._state = manifest.read(self.folder)
        return added

    def find(self, ids: Sequence[str]) -> Found:
        """Find the usage rows and attempts that ids stand for.

        Args:
            ids: Any of `usage.request_id` (as stored or without its prefix), `calls.call_id`,
                each of `calls.request_ids`, `calls.client_request_id`, `calls.response_id`.
                Exact and case-sensitive. A call id leads to all its attempts.
        """
        return lookup.find(self._open(), ids)

    def rows(
        self, table: str, where: Filter, *, limit: int = 10_000, order: Order = "newest"
    ) -> Rows:
        """Give single rows of usage or calls, the newest, oldest or dearest first.

        Raises:
            ParameterError: a column, table or order that is none.
        """
        reader = self._open()
        frame = reader.answer(questions.single(table, where, limit=limit, order=order))
        counted = reader.answer(questions.counted(table, where))
        total = int(counted["rows"][0])
        left_usd = None
        if table == "usage":
            billed = counted["cost_usd"][0] or Decimal(0)
            left_usd = billed - sum((c for c in frame["cost_usd"] if c is not None), Decimal(0))
        return Rows(frame=frame, total=total, left_out=total - len(frame), left_out_usd=left_usd)

    def roll_up(
        self,
        table: str,
        by: Sequence[str],
        *,
        grain: Grain | None = None,
        where: Filter | None = None,
        zone: str = "UTC",
    ) -> "pd.DataFrame":
        """Count and sum usage or calls by columns and by minute, hour or day.

        Args:
            table: "usage" or "calls".
            by: Columns to split by; a row of unknown value is a group of its own.
            grain: Span of time to split by: adds `bucket`, the instant it begins (UTC), and for
                hours `hour_local`, for days `day_local` in *zone*.
            where: Which rows.
            zone: IANA zone of hours and days.

        Returns:
            One row a group that has rows, in order of the group. usage: `requests`, `failed`,
            sums of tokens, `cost_usd`, `original_cost_usd`, `max_cost_usd`, `first_ts`,
            `last_ts`. calls: `attempts`, `failed`, one count an outcome, sums of tokens,
            `duration_ms` (sum), `max_duration_ms`, `first_ts`, `last_ts`. A sum of nothing but
            unknown values is unknown.

        Raises:
            ParameterError: a column, table or zone that is none.
        """
        question = questions.rolled(table, by, grain=grain, where=where)
        if grain in ("hour", "day"):
            days = self._calendar(table, (where or Filter()).window, zone)
            return self._open().answer(question, calendar=days)
        return self._open().answer(question)

    def spread(
        self, where: Filter | None = None, measure: questions.Measure = "request"
    ) -> "pd.DataFrame":
        """Count usage rows by what each cost, or by another measure.

        Args:
            where: Which rows are meant; None for all.
            measure: "request" (USD of each), "tokens" (of each), "output" (USD of 1,000 output
                tokens) or "cached" (share of the input that was read from cache).

        Returns:
            One row a band that holds rows: `from_usd`, `to_usd` (Decimal, half-open, in the unit of
            the measure: `from_tokens`, `from_share` …; None for no bound), `requests` (count),
            `cost_usd` (Decimal USD). Rows that lack the measure are left out.
        """
        unit = {"tokens": "tokens", "cached": "share"}.get(measure, "usd")
        frame = self._open().answer(questions.banded(where or Filter(), measure))
        bounds = [None, *questions.BANDS[measure], None]
        bands = frame["band"].astype(int)
        frame.insert(0, f"from_{unit}", [bounds[band] for band in bands])
        frame.insert(1, f"to_{unit}", [bounds[band + 1] for band in bands])
        return frame.drop(columns="band")

    def exports(self) -> "pd.DataFrame":
        """Tell of each file of usage rows what it brought.

        Returns:
            One row a file: `account`, `source_file`, `kind`, `rows` (used), `rejected`, `elsewhere`
            (of the rows, those that another file holds as well and that count once; unknown after
            small files were merged), `first_at`, `last_at` (aware UTC), `notes` (text).
        """
        return exports(self._state)

    def repeated(self, where: Filter | None = None) -> "pd.DataFrame":
        """Find usage rows without an id that stand more than once in one file; they all count.

        Args:
            where: Which rows are meant; None for all.

        Returns:
            One row each: `account`, `source_file`, `ts` (aware UTC), `cost_usd` of one of them
            (Decimal USD), `copies` (count, two and more).
        """
        return self._open().answer(questions.repeated(where or Filter()))

    def reconcile(self, window: clock.Window | None = None) -> Reconciled:
        """Hold usage rows and attempts against each other, by the id both know.

        Args:
            window: Usage rows that end in it, and attempts that start in it and have no usage
                row; None for all.
        """
        sides = self._open().answer(questions.reconciled(window)).set_index("side")
        found = {name: row for name, row in sides.iterrows()}  # noqa: C416
        names = {"both": "both", "usage": "only_usage", "calls": "only_calls"}
        given: dict[str, int | Decimal] = {}
        for side, row in found.items():
            given[names[str(side)]] = int(row["rows"])
            if side != "calls":
                given[f"{names[str(side)]}_usd"] = row["cost_usd"] or Decimal(0)
                given["usage_without_id"] = int(row["without_id"])
            if side != "usage":
                given[f"{names[str(side)]}_failed"] = int(row["failed"])
            if side == "calls":
                given["calls_without_id"] = int(row["without_id"])
        return Reconciled(**given)  # type: ignore[arg-type]

    def reconcile_by(self, by: Sequence[str], window: clock.Window | None = None) -> "pd.DataFrame":
        """Hold usage rows and attempts against each other, for each value of some columns.

        Args:
            by: Columns that both tables have, such as `key_name`.
            window: As `reconcile` takes it.

        Returns:
            One row a side and value: `side` ("both", "usage", "calls"), *by*, `rows` (count),
            `failed` (attempts), `without_id` (rows no id can join), `cost_usd` (Decimal USD; null
            for attempts without a row).

        Raises:
            ParameterError: a column that one of the two tables does not have.
        """
        return self._open().answer(questions.reconciled(window, by))

    def table(self, name: str) -> "pd.DataFrame":
        """Give one of the small tables whole: keys, audit, refusals, key_state, ledger ….

        Returns:
            Its rows, in the columns of the table; empty when nobody gave it.

        Raises:
            ParameterError: no such table, or a large one.
        """
        if name not in _SMALL:
            raise ParameterError("table", name, hint=f"one of {', '.join(_SMALL)}")
        return self._open().ask(f"SELECT * FROM {name}")

    def _open(self) -> Reader:
        if self._reader is None:
            self._reader = Reader(self.folder, self._state, memory_mb=self._memory_mb)
        return self._reader

    def _writable(self) -> None:
        if self.read_only:
            raise StoreError(self.folder, "was opened for reading", hint="open it for writing")

    def _calendar(self, table: str, window: clock.Window | None, zone: str) -> "pa.Table":
        from runbook_lib.store.calendars import calendar

        span = self.span(table)
        if span is None:
            return calendar(0, -1, clock.zone(zone))
        start, end = span.start, span.end
        if window is not None:
            start, end = max(start, window.start), min(end, window.end)
        return calendar(micros(start) // SLOT_US, micros(end) // SLOT_US, clock.zone(zone))


def _make(folder: Path) -> None:
    try:
        for inner in (folder, folder / manifest.PARTS, folder / writer.TMP):
            inner.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(folder, f"cannot be a store ({error})", hint="name a folder") from None
