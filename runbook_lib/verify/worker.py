"""The process in which a client runs: `python -I worker.py FD`, started by the verifier.

Started by its path, in any Python from 3.11 on, with nothing but the standard library: the client
may live in an environment that lacks this package.
"""

import importlib
import importlib.util
import inspect
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook_lib.verify import asking, watch
else:

    def _beside(name: str) -> Any:
        """Load a file that lies beside this one, whatever packages this Python has."""
        path = Path(__file__).with_name(f"{name}.py")
        spec = importlib.util.spec_from_file_location(f"torouter_{name}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    watch = _beside("watch")
    asking = _beside("asking")


class _Context:
    """What says which call runs here, and from where it draws."""

    call = watch.CALL
    chance = watch.CHANCE


def load(settings: dict[str, Any]) -> "asking.Client":
    """Load a client.

    Args:
        settings: `kind` (`function`, `adapter`, `command`), `name`, and `file` of an adapter.

    Raises:
        ImportError: it cannot be; its text says what to give instead.
    """
    if settings["kind"] == "command":
        return asking.of_command(settings["words"])
    if settings["kind"] == "adapter":
        return _adapter(settings["name"], Path(settings["file"]))
    return asking.of_function(_function(settings["name"]))


def _function(name: str) -> Any:
    module_name, _, path = name.partition(":")
    found: Any = _imported(module_name)
    for part in path.split("."):
        if not hasattr(found, part):
            raise ImportError(f"a function that exists: {module_name} has no {path}")
        found = getattr(found, part)
    if not callable(found):
        raise ImportError(f"a function: {path} is a {type(found).__name__}")  # noqa: TRY004
    try:
        inspect.signature(found).bind(
            "", base_url="", api_key="", models=[], stream=False, deadline_s=1.0
        )
    except TypeError as error:
        wanted = "ask(prompt, *, base_url, api_key, models, stream, deadline_s)"
        raise ImportError(f"a function that can be called as {wanted}: {error}") from error
    except ValueError:  # some built-in callables show no signature
        pass
    return found


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ImportError(
                f"a module that can be found from here: there is no {name}"
            ) from error
        raise ImportError(f"a module that can be imported: {name} needs {error.name}") from error
    except BaseException as error:  # whatever stands in a user's module
        raise ImportError(
            f"a module that can be imported: {name} raised {type(error).__name__}: {error}"
        ) from error


def _adapter(name: str, file: Path) -> "asking.Client":
    spec = importlib.util.spec_from_file_location(f"torouter_adapter_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError("the name of an adapter")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        module.load()
    except BaseException as error:  # whatever a package does when it is imported
        needs = getattr(error, "name", None) or str(error)[:200]
        raise ImportError(
            f"a Python that has {module.__dict__.get('NEEDS', name)} "
            f"({type(error).__name__}: {needs}); TOROUTER_CLIENT_PYTHON names another one"
        ) from error
    return asking.Client(plain=module.ask, coroutine=module.ask_async)


class _Worker:
    def __init__(self, channel: "watch.Channel") -> None:
        self._channel = channel
        self._jobs: dict[int, asking.Job] = {}
        self._client = asking.Client()
        self._watch = watch.Watch(channel)

    def serve(self) -> None:
        """Do what the verifier says until it closes the channel."""
        orders = self._channel.lines()
        settings = next(orders, None)
        if settings is None:
            return
        self._watch.commands = settings["kind"] == "command"
        sys.path[:0] = settings["first_paths"]
        sys.path += [path for path in settings["paths"] if path not in sys.path]
        self._watch.begin()
        try:
            self._client = load(settings)
        except ImportError as error:
            self._channel.tell("failed", str(error)[:600])
            return
        self._channel.tell(
            "loaded", self._client.plain is not None, self._client.coroutine is not None
        )
        for order in orders:
            self._obey(order)

    def _obey(self, order: dict[str, Any]) -> None:
        if "drop" in order:
            job = self._jobs.pop(order["drop"], None)
            if job is not None:
                job.drop()
            return
        if "ping" in order:
            self._channel.tell("pong", order["ping"])
            return
        if "forget" in order:
            self._jobs.pop(order["forget"], None)
            self._watch.ports.pop(order["port"], None)
            self._watch.refusing.discard(order["port"])
            return
        self._watch.ports[order["port"]] = order["job"]
        if order["refusing"]:
            self._watch.refusing.add(order["port"])
        job = asking.Job(order, self._client, self._watch, _Context)
        self._jobs[job.number] = job
        job.start()


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a client can send it to its own process
    leave = os._exit
    _Worker(watch.Channel(socket.socket(fileno=int(sys.argv[1])))).serve()
    leave(0)  # threads of the client may still be under way


if __name__ == "__main__":
    _main()
