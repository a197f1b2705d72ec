"""Commands: runbooks, taking exports and logs into a store, and the sandbox gateway.

Exit codes: 0 clean, 1 findings at or above --fail-on, 2 wrong use, 3 partial, 4 could not run,
130 cancelled. Errors are one sentence on stderr. What is heavy is imported where it is needed.
"""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from runbook_lib import clock, redact
from runbook_lib.errors import InputError, ParameterError, RunbookError
from runbook_lib.version import __version__

if TYPE_CHECKING:
    from runbook_lib.runner.outcome import Outcome

CANCELLED = 130

_DATA = click.option(
    "--data",
    envvar="RUNBOOK_DATA",
    metavar="DIR",
    help="Folder of the store (also RUNBOOK_DATA).",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="runbook")
def commands() -> None:
    """Runbooks that answer for an AI gateway: offline, read-only, graded, citing their rows."""


@commands.command("list")
@_JSON
def list_(*, as_json: bool) -> int:
    """List the runbooks and the question each answers."""
    from runbook_lib.runner import notebooks

    found = [notebooks.find(name) for name in notebooks.names()]
    if as_json:
        _print_json([{"name": one.name, "question": one.question} for one in found])
    else:
        for one in found:
            click.echo(f"{one.name:<24}{one.question}")
    return 0


@commands.command()
@click.argument("name")
@_JSON
def describe(name: str, *, as_json: bool) -> int:
    """Show what a runbook answers and which parameters it takes."""
    from runbook_lib.runner import notebooks

    found = notebooks.find(name)
    if as_json:
        fields = ("name", "type", "default", "help")
        parameters = [
            {field: getattr(one, field) for field in fields} for one in found.parameters.values()
        ]
        _print_json({"name": name, "question": found.question, "parameters": parameters})
        return 0
    click.echo(
        f"{found.title}\n{found.question}\n\nParameters (-p name=value, or in a --parameters FILE):"
    )
    for one in found.parameters.values():
        head = f"  {one.name}: {one.type} = {json.dumps(one.default, ensure_ascii=False)}"
        click.echo(f"{head:<44}  {one.help}")
    return 0


@commands.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option(
    "-p", "--parameter", "given", multiple=True, metavar="NAME=VALUE", help="A parameter."
)
@click.option(
    "--parameters",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Parameters from a file, JSON or YAML; -p wins over it.",
)
@click.option(
    "--again",
    type=click.Path(path_type=Path),
    metavar="FINDINGS.json",
    help="Repeat an earlier run: its runbook, parameters and time; exit 3 on other input.",
)
@_DATA
@click.option("--sandbox", is_flag=True, help="Use made-up sample data.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for the files.")
@click.option(
    "--fail-on",
    metavar="LEVEL",
    help="Exit 1 from this severity on: critical, high (the default), medium, low, info, never.",
)
@click.option("--timezone", metavar="ZONE", help="Zone of the report, such as Europe/Berlin.")
@click.option("--now", metavar="TIME", help="Judge as of this time, not the clock's.")
@click.option(
    "--max-age-hours",
    type=float,
    metavar="H",
    help="Exit 3 when the newest row is older (default: 36).",
)
@click.option(
    "--timeout",
    type=click.IntRange(1),
    default=600,
    show_default=True,
    metavar="S",
    help="Seconds one cell may take.",
)
@_JSON
def run(
    names: Sequence[str],
    given: Sequence[str],
    file: Path | None,
    again: Path | None,
    data: str | None,
    out: Path | None,
    fail_on: str | None,
    timezone: str | None,
    now: str | None,
    max_age_hours: float | None,
    timeout: int,
    *,
    sandbox: bool,
    as_json: bool,
) -> int:
    """Run one or several runbooks; exit 1 on findings at or above --fail-on.

    Leaves report.html, report.ipynb, findings.json and the rows as CSV in --out, all or none. The
    same input and parameters give the same findings: pass on findings.json, and --again makes them.
    """
    from runbook_lib import runner

    if not names and again is None:
        raise click.UsageError("Which runbook? Give a NAME (see runbook list), or --again.")

    typed = _parameters(given, {"timezone": timezone, "now": now})
    asked = _asked(_once(names), typed, file, data, sandbox=sandbox)
    judged = {"fail_on": fail_on, "max_age_hours": max_age_hours}
    judged = {name: value for name, value in judged.items() if value is not None}
    asked = {**(asked if again is None else _again(again, asked)), **judged}
    result = runner.run(**asked, out=out, timeout_s=timeout)
    if as_json:
        _print_json(
            {"exit_code": result.exit_code, "runs": [_as_json(item) for item in result.outcomes]}
        )
        return result.exit_code
    for item in result.outcomes:
        _tell(item)
    if out is not None and len(result.outcomes) > 1:
        click.echo(f"All:  {redact.safe(out / 'index.html', limit=1000)}")
    return result.exit_code


def _asked(
    names: Sequence[str],
    typed: dict[str, str],
    file: Path | None,
    data: str | None,
    *,
    sandbox: bool,
) -> dict[str, Any]:
    """What is asked of the runner: names, and parameters with those typed over those of a file."""
    from runbook_lib.runner import given

    written = {} if file is None else given.read(file)
    folder = written.pop("data_dir", None)
    typed["data_dir"] = _data(typed.get("data_dir"), data, folder, sandbox=sandbox)
    return {"names": names, "parameters": {**written, **typed}}


def _again(path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked of the runner for an earlier run; tells in what its input was another."""
    from runbook_lib import session
    from runbook_lib.runner import again

    earlier = again.read(path)
    names = again.chosen(asked["names"], earlier)
    parameters = again.parameters(earlier, asked["parameters"])
    with session.open_store(parameters["data_dir"]) as store:
        partial = again.differences(earlier, store.intake.inputs)
    for line in filter(None, [again.by_another(earlier), *partial]):
        click.echo(line, err=True)
    judged = {"fail_on": earlier.fail_on, "max_age_hours": earlier.max_age_hours}
    return {"names": names, "parameters": parameters, "partial": partial, **judged}


def _parameters(given: Sequence[str], options: Mapping[str, str | None]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ParameterError("-p", redact.safe(pair), hint="name=value")
        if name in found:
            raise ParameterError("-p", redact.safe(name), hint="each name once")
        found[name] = value
    for name, option in options.items():
        if option is not None and name in found:
            raise ParameterError("-p", name, hint=f"it or --{name}, not both")
        if option is not None:
            found[name] = option
    return found


def _once(names: Sequence[str]) -> list[str]:
    once = list(dict.fromkeys(names))
    for name in once:
        if names.count(name) > 1:
            click.echo(f"{redact.safe(name)} was named more than once; it runs once.", err=True)
    return once


def _data(
    parameter: str | None, option: str | None, written: object = None, *, sandbox: bool
) -> str:
    """Settle which data a run is on; what was typed must not contradict itself.

    What was typed goes before the file of parameters, and that before the environment.
    """
    from runbook_lib import session

    source = click.get_current_context().get_parameter_source("data")
    typed = option if source is ParameterSource.COMMANDLINE else None
    asked = {"--sandbox": session.SANDBOX if sandbox else None, "--data": typed}
    told = {name: value for name, value in asked.items() if value}
    if parameter:
        told["-p data_dir"] = parameter
    if len(set(told.values())) > 1:
        raise click.UsageError(f"Which data? {' and '.join(told)} contradict each other; give one.")
    data = next(iter(told.values()), str(written or "") or option)
    if not data and not sandbox:
        raise click.UsageError("Which data? Give --data DIR, set RUNBOOK_DATA, or say --sandbox.")
    if sandbox or data == session.SANDBOX:
        if sys.stderr.isatty() and not session.sample_folder().is_dir():
            click.echo("Making the sample data, once; this takes some seconds.", err=True)
        return session.SANDBOX
    return str(session.folder(str(data)).resolve())


def _as_json(item: "Outcome") -> dict[str, Any]:
    folder = None if item.folder is None else str(item.folder)
    rest = {"error": item.error, "folder": folder, "findings": item.report}
    return {"name": item.name, "exit_code": item.exit_code, **rest}


def _tell(item: "Outcome") -> None:
    from runbook_lib.report import words

    if item.report is None:
        click.echo(f"{item.name}: {item.error}", err=True)
        return
    for line in words.lines({**item.report, "next_steps": item.next_steps}):
        click.echo(line)
    if item.folder is not None:
        click.echo(f"Page: {redact.safe(item.folder / 'report.html', limit=1000)}")


@commands.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@_DATA
@click.option(
    "--map",
    "map_",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Fields of a log: column to field.",
)
@click.option("--zone", metavar="ZONE", help="Zone of times without an offset.")
@click.option("--account", default="", metavar="NAME", help="Account the rows belong to.")
@_JSON
def intake(
    files: Sequence[str],
    data: str | None,
    map_: Path | None,
    zone: str | None,
    account: str,
    *,
    as_json: bool,
) -> int:
    """Take exports, logs and tables into the store, from files and folders.

    What cannot be read is told with its reason. Exit 3 when a row was rejected or one of several
    files could not be read, 2 when none could.
    """
    from runbook_lib import session
    from runbook_lib.report import taken as told

    if not data:
        raise click.UsageError("Into which store? Give --data DIR or set RUNBOOK_DATA.")
    taken = session.take_in(
        files,
        data,
        account=account,
        field_map=None if map_ is None else _field_map(map_),
        zone=None if zone is None else clock.zone(zone, parameter="--zone"),
    )
    if as_json:
        _print_json(told.content(taken))
        return taken.exit_code
    for line in told.lines(taken):
        click.echo(line)
    if not taken.intakes:
        click.echo("Nothing was taken in.", err=True)
    return taken.exit_code


def _field_map(path: Path) -> dict[str, str]:
    try:
        held = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        what = f"cannot be read as JSON ({redact.safe(error)})"
        raise InputError(redact.safe(path), what, hint='give {"column": "field"}') from error
    pairs = held.items() if isinstance(held, dict) else [(None, None)]
    if not all(isinstance(field, str) for _, field in pairs):
        hint = 'give {"column": "field"}'
        raise InputError(redact.safe(path), "is no map of texts to texts", hint=hint)
    return dict(held)


@commands.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; 0 for a free one.")
@click.option("--seed", type=int, default=7, show_default=True, help="Where chance begins.")
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="Folder of its files.")
@click.option("--faults", type=click.Path(path_type=Path), metavar="FILE.toml", help="Planted.")
@click.option("--pace", type=click.FloatRange(0, 100), default=0.1, help="Times a model's time.")
@click.option("--speed", type=click.FloatRange(0, 1e5), default=1.0, help="Times real time.")
@click.option("--now", metavar="TIME", help="When it begins (default: the clock's time).")
@_JSON
def sandbox(
    port: int, data: Path | None, now: str | None, *, as_json: bool, **settings: Any
) -> int:
    """Start a gateway on loopback that answers and fails like the real one, until Ctrl-C.

    Leaves its usage export, audit log and keys.csv in --data (default: a new temporary folder).
    With --speed 0 time passes only where calls wait: with --now, every run is the same to the byte.
    """
    from runbook_lib.sandbox import serve

    folder = Path(tempfile.mkdtemp(prefix="runbook-sandbox-")) if data is None else data
    begins = None if now is None else _instant(now)
    planted = settings.pop("faults")
    made = serve.make(folder.resolve(), port=port, planted=planted, now=begins, **settings)
    made.run(lambda at: click.echo(json.dumps(at.as_json()) if as_json else "\n".join(at.lines())))
    if not as_json:
        click.echo(f"Its export and audit log are in {made.folder}.")
    return 0


def _instant(text: str) -> datetime:
    found = clock.parse(text)
    if found is None:
        hint = "a time with its offset, such as 2026-11-18T13:00:00Z"
        raise ParameterError("--now", redact.safe(text), hint=hint)
    return found


def _print_json(content: Any) -> None:
    click.echo(json.dumps(content, ensure_ascii=False, indent=2, default=str))


def main() -> None:
    """Run a command and end with its exit code; no error of ours shows a traceback."""
    try:
        code = commands.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except RunbookError as error:
        click.echo(str(error), err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Cancelled; nothing more was written.", err=True)
        code = CANCELLED
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
