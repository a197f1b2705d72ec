"""A kernel that is started before anything heavy is imported, and that always ends.

Imports are most of a short run. So the kernel gets its own process at once and loads what the
notebook needs while this process loads papermill and nbconvert. It talks over sockets in a private
folder (over loopback where these cannot be), gets no key and no other secret of the environment,
runs no start-up file of the user and keeps no history. It ends with this process, whatever happens.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runbook_lib import redact

KEY_VARIABLE = "TOROUTER_API_KEY"
"""Start of the names of environment variables that hold keys."""

LONGEST_SOCKET = 90
"""Characters a socket's path may have; systems allow from 103 on."""

_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
_DROPPED = ("PYTHONSTARTUP", "IPYTHON_CONFIG", "PYTHONINSPECT")


def environment(home: Path) -> dict[str, str]:
    """The environment of an offline kernel: this one without secrets and start-up files.

    Args:
        home: Private folder that stands for the user's IPython folder.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(KEY_VARIABLE)
        and not redact.is_secret_name(name)
        and name not in _DROPPED
    }
    ours = {
        "IPYTHONDIR": str(home / "ipython"),
        "JPY_PARENT_PID": str(os.getpid()),
        "MPLBACKEND": "agg",
        "PYTHONHASHSEED": "0",
    }
    return {**kept, **ours}


class Kernel:
    """One kernel process; a context manager that ends it.

    Attributes:
        connection: File that says how to talk to it.
        process: The process itself.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="runbook-")
        home = Path(self._folder.name)
        self.connection = home / "kernel.json"
        self.connection.write_text(json.dumps(_connection(home)), encoding="utf-8")
        self.process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-P", "-m", "runbook_lib.runner.inside", "-f", str(self.connection)],
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def ask_to_end(self) -> None:
        """Ask the kernel to end by itself; it keeps on ending while this goes on."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def end(self, *, patience_s: float = 3.0) -> None:
        """End the kernel and all it started, gently at first."""
        self.ask_to_end()
        try:
            self.process.wait(timeout=patience_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._kill()
            self._folder.cleanup()

    def _kill(self) -> None:
        group = getattr(os, "killpg", None)
        try:
            if group is not None:
                group(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        except (ProcessLookupError, PermissionError):
            pass
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(patience_s=3.0 if error is None else 0.5)


def _connection(home: Path) -> dict[str, Any]:
    """Content of a connection file: sockets in *home*, or free ports of loopback."""
    ipc = hasattr(socket, "AF_UNIX") and len(str(home / "k-1")) <= LONGEST_SOCKET
    numbers = range(1, len(_PORTS) + 1) if ipc else _free_ports(len(_PORTS))
    return {
        **dict(zip(_PORTS, numbers, strict=True)),
        "transport": "ipc" if ipc else "tcp",
        "ip": str(home / "k") if ipc else "127.0.0.1",
        "key": secrets.token_hex(32),
        "signature_scheme": "hmac-sha256",
        "kernel_name": "python3",
    }


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()
