"""The process of a client: `python -I worker.py FD`, started by the verifier.

It loads the client once and forks processes, in which cells are played: one each for the user's own
code, so that no cell sees what another one has left in memory (a breaker, a budget of retries), and
each can hang, crash and fork by itself. Adapters keep nothing, so their processes are used again.

Started by its path, in any Python from 3.11 on, with nothing but the standard library: the client
may live in an environment that lacks this package.
"""

import asyncio
import contextlib
import ctypes
import gc
import importlib
import importlib.util
import inspect
import json
import os
import random
import selectors
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator
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
    module = _loaded(file)
    try:
        module.load()
    except BaseException as error:  # whatever a package does when it is imported
        needs = getattr(error, "name", None) or str(error)[:200]
        raise ImportError(
            f"a Python that has {getattr(module, 'NEEDS', name)} "
            f"({type(error).__name__}: {needs}); TOROUTER_CLIENT_PYTHON names another one"
        ) from error
    return asking.Client(plain=module.ask, coroutine=module.ask_async)


def _loaded(file: Path) -> Any:
    """Load an adapter by its file."""
    spec = importlib.util.spec_from_file_location(f"torouter_adapter_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"an adapter: {file.name} is none")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_SDKS = {"openai": "openai", "anthropic": "anthropic", "google.genai": "google_genai"}
"""Module of an SDK → its adapter."""


def _warm_up(settings: dict[str, Any]) -> None:
    """Let SDKs do once, before any fork, what they do at their first call and never again.

    It is done with the SDKs alone: the user's own code makes no call here, so it remembers none.
    """
    files = [Path(settings["file"])] if settings["kind"] == "adapter" else []
    folder = Path(__file__).with_name("adapters")
    files += [folder / f"{name}.py" for module, name in _SDKS.items() if module in sys.modules]
    for file in dict.fromkeys(files):
        with contextlib.suppress(Exception):
            _warm_one(_loaded(file), settings["warm"])


def _warm_one(adapter: Any, calls: dict[str, Any]) -> None:
    if not getattr(adapter, "FORKS", True):
        return  # it would start threads, which no fork takes along
    for protocol in adapter.PROTOCOLS:
        for stream in (False, True) if protocol in calls else ():
            call = asking.Call(**calls[protocol], stream=stream)
            adapter.ask(call)
            asyncio.run(adapter.ask_async(call))


class _Worker:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._channel = watch.Channel(control)
        self._pids: dict[int, int] = {}
        self._fds: deque[int] = deque()
        self._verifier = 0
        self._client = asking.Client()
        self._watch = watch.Watch(self._channel, commands=False)

    def serve(self) -> None:
        """Do what the verifier says until it closes the channel."""
        lines = self._lines()
        settings = next(lines, None)
        if settings is None:
            return
        self._watch = watch.Watch(self._channel, commands=settings["kind"] == "command")
        self._verifier = settings["verifier"]
        sys.path[:0] = settings["first_paths"]
        sys.path += [path for path in settings["paths"] if path not in sys.path]
        self._watch.begin()
        try:
            self._client = load(settings)
        except ImportError as error:
            self._channel.tell("failed", str(error)[:600])
            return
        _warm_up(settings)
        gc.collect()
        gc.freeze()  # what is never collected is not copied into every process of a cell
        self._channel.tell(
            "loaded", self._client.plain is not None, self._client.coroutine is not None
        )
        for order in lines:
            self._obey(order)

    def _obey(self, order: dict[str, Any]) -> None:
        if "drop" in order:
            self._end(order["drop"])
            return
        channel = socket.socket(fileno=self._fds.popleft())
        pid = os.fork()
        if pid == 0:
            self._child(order["mark"], watch.Channel(channel))
        channel.close()
        self._pids[pid] = order["child"]
        self._channel.tell("began", order["child"], pid)

    def _end(self, child: int) -> None:
        for pid, running in self._pids.items():
            if running == child:
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)

    def _child(self, mark: str, channel: "watch.Channel") -> None:
        """Be the process of a cell, or of several, one after the other."""
        os.setsid()
        _die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._control.close()
        leave, ours = os._exit, os.environ[mark]
        self._watch.begin_child(channel)
        self._watch.spared = (os.getppid(), self._verifier)
        for order in channel.lines():
            os.environ[mark] = f"{ours}-{order['job']}"
            random.seed(f"{order['seed']} {order['cell']}")
            self._watch.begin_cell(order["port"], refusing=order["refusing"])
            with contextlib.suppress(KeyboardInterrupt):
                asking.Job(order, self._client, self._watch).run()
        leave(0)  # threads of the client may still be under way

    # What comes in --------------------------------------------------------------------------------

    def _lines(self) -> Iterator[dict[str, Any]]:
        """Read orders, and tell of children that have ended, until the verifier is gone."""
        woken, wake = socket.socketpair()
        for end in (woken, wake):
            end.settimeout(0)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        waiting = selectors.DefaultSelector()
        waiting.register(self._control, selectors.EVENT_READ)
        waiting.register(woken, selectors.EVENT_READ)
        rest = b""
        while True:
            for key, _ in waiting.select():
                if key.fileobj is woken:
                    woken.recv(4096)
                    self._reap()
                    continue
                part, fds, _, _ = socket.recv_fds(self._control, 1 << 16, 64)
                for fd in fds:
                    os.set_inheritable(fd, False)  # noqa: FBT003
                self._fds += fds
                if not part:
                    return
                *lines, rest = (rest + part).split(b"\n")
                yield from map(json.loads, lines)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                child = self._pids.pop(found[0], None)
                if child is not None:
                    self._channel.tell("gone", child, os.waitstatus_to_exitcode(found[1]))

    def leave(self) -> None:
        """End every cell."""
        for pid in self._pids:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)


def _die_with_parent() -> None:
    """Ask the system to end this process with its parent, where it can (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        set_option: Callable[[int, int], int] = ctypes.CDLL(None).prctl
        set_option(1, signal.SIGKILL)


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a client can send it to its own process
    leave = os._exit
    worker = _Worker(socket.socket(fileno=int(sys.argv[1])))
    worker.serve()
    worker.leave()
    leave(0)


if __name__ == "__main__":
    _main()
