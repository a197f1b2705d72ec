"""Print the figures of the benchmark: `make bench`, or `python tests/perf/bench.py --help`.

Every other file of this folder with a `measure(rows)` is asked for its figures. What depends on the
machine is a ratio of two things measured in the same run. Ends with 1 where a figure falls short.
"""

import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

Figure = tuple[str, float, str]
"""Name, value, unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a figure must reach, and what is wished for; *least* where more is better."""

    reach: float
    wished: float | None = None
    least: bool = False


TARGETS = {
    "runbook --help": Target(reach=0.3),
    "triage run / empty notebook": Target(reach=2.4, wished=1.8),
    "find one id": Target(reach=0.05),
    "find one id / DuckDB by hand": Target(reach=3.0),
    "add CSV / plain COPY rate": Target(reach=0.5, wished=0.7, least=True),
    "add CSV memory": Target(reach=1.0),
    "recorder: added to a call": Target(reach=0.15),
    "recorder: share of a 10 ms call": Target(reach=3.0),
    "sandbox calls / bare route": Target(reach=0.25, least=True),
    "history of 1 M rows": Target(reach=60.0),
    "spikes, 1,000 keys x 90 days of hours": Target(reach=10.0),
    "caps, 1,000 keys x 90 days": Target(reach=20.0),
    "caps memory": Target(reach=1.5),
    "roll-up / hand-written SQL": Target(reach=1.2),
    "roll-up memory": Target(reach=1.0),
    "bridge, 1,000 pairs: parts from change": Target(reach=1e-8),
    "drill-down, whole headless run": Target(reach=15.0),
    "drill-down memory": Target(reach=2.0),
    "short test run": Target(reach=4.0),
    "sticky 429: attempts, reference": Target(reach=1.0),
    "sticky 429: added, reference": Target(reach=0.1),
    "outage of 1,000 calls: attempts, reference": Target(reach=1.1),
    "time to fallback: primary answering 5xx": Target(reach=2.0),
    "time to fallback: primary resetting": Target(reach=2.0),
    "time to fallback: primary refusing connections": Target(reach=2.0),
    "time to fallback: primary refusing a model": Target(reach=0.05),
    "wrong retries, reference": Target(reach=0.0),
    "silent failures, reference": Target(reach=0.0),
    "calls over the deadline, reference": Target(reach=0.0),
}


WIDTHS = (40, 8, 6, 6, 5, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table: a figure beside what it must reach."""

    name: str
    figure: float
    unit: str
    reach: float | None
    wished: float | None
    result: str


def judge(figure: Figure) -> Line:
    """Put a figure beside its target: PASS, or by how much it falls short."""
    name, value, unit = figure
    target = TARGETS.get(name)
    if target is None:
        return Line(name=name, figure=value, unit=unit, reach=None, wished=None, result="")
    gap = (target.reach - value) if target.least else (value - target.reach)
    result = "PASS" if gap <= 0 else f"short by {gap:.3g} ({gap / (target.reach or 1):.0%})"
    return Line(
        name=name,
        figure=value,
        unit=unit,
        reach=target.reach,
        wished=target.wished,
        result=result,
    )


def figures(rows: int, only: str) -> Iterator[Figure]:
    """Ask every measuring file whose name holds *only*, one after the other."""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem == "bench" or only not in path.stem:
            continue
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            continue
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        if hasattr(module, "measure"):
            yield from module.measure(rows)


def row(cells: Sequence[str]) -> str:
    """Lay one line of the table out."""
    return "  ".join(map(str.ljust, cells, WIDTHS)).rstrip()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rows", default=10_000_000, show_default=True, help="Usage rows in the store.")
@click.option("--only", default="", help="Only the measuring files with this in their name.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(rows: int, only: str, *, as_json: bool) -> None:
    """Measure, and print each figure beside what it must reach."""
    lines = []
    if not as_json:
        click.echo(row(("name", "figure", "reach", "wished", "unit", "result")))
    for figure in figures(rows, only):
        lines.append(line := judge(figure))
        if not as_json:  # at once: some figures take minutes
            numbers = map(_number, (line.figure, line.reach, line.wished))
            click.echo(row((line.name, *numbers, line.unit, line.result)))
    if as_json:
        click.echo(json.dumps([asdict(line) for line in lines], indent=2))
    sys.exit(any(line.result.startswith("short") for line in lines))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
