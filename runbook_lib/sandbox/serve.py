"""Runs the sandbox on loopback until it is told to end, and leaves its files."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runbook_lib.errors import InputError, ParameterError
from runbook_lib.sandbox import faults, front, lanes, leaving, live
from runbook_lib.sandbox.admin import Admin
from runbook_lib.sandbox.app import GatewayApp
from runbook_lib.sandbox.live import Live


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where a sandbox listens, and with what it can be called.

    Attributes:
        base_url: Root; OpenAI's SDK wants `/v1` behind it.
        keys: Name of the key → its secret.
        models: Models that some key may call.
        data_dir: Folder in which it leaves its files.
        tls_url: Address where every TLS handshake fails.
    """

    base_url: str
    keys: dict[str, str]
    models: list[str]
    data_dir: Path
    tls_url: str

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "base_url": self.base_url,
            "keys": self.keys,
            "models": self.models,
            "data_dir": str(self.data_dir),
            "tls_url": self.tls_url,
        }

    def lines(self) -> list[str]:
        """The same for people."""
        return [
            f"Listening on {self.base_url} until Ctrl-C.",
            f"  base URL: OpenAI {self.base_url}/v1, Anthropic {self.base_url}, "
            f"Gemini {self.base_url}/v1beta",
            *(f"  {name:<16}{secret}" for name, secret in self.keys.items()),
            f"  models: {', '.join(self.models)}",
            f"  faults: header x-sandbox-fault; names at {self.base_url}/sandbox/faults",
            f"  files at the end: {self.data_dir}",
        ]


class Sandbox:
    """One gateway on one port of loopback.

    Attributes:
        live: What it holds.
        listening: Where it listens.
    """

    def __init__(self, running: Live, folder: Path, *, port: int = 0, leaves: bool = True) -> None:
        """Take the port; nothing is answered before `run`.

        Args:
            running: The gateway.
            folder: Where it leaves its files.
            port: Port; 0 for a free one.
            leaves: Whether it leaves files at its end.

        Raises:
            ParameterError: the port cannot be had.
        """
        self.live, self.folder, self._leaves = running, folder, leaves
        try:
            self._listener = front.listen(port)
        except (OSError, OverflowError) as error:
            hint = "a free port, or 0 for any"
            raise ParameterError("--port", port, hint=hint) from error
        self._broken = front.listen(0)
        app = GatewayApp(running, Admin(running, leaving.write, folder).app())
        self.server = app.server = front.FrontServer(front.loopback_config(app), self._listener)
        self.listening = Listening(
            base_url=f"http://127.0.0.1:{self.server.port}",
            keys={key.name: key.secret for key in running.console.gateway.keys.values()},
            models=sorted(running.console.gateway.models),
            data_dir=folder,
            tls_url=f"https://127.0.0.1:{self._broken.getsockname()[1]}",
        )

    def stop(self) -> None:
        """End it soon; safe from another thread."""
        self.server.end()

    def run(self, told: Callable[[Listening], None] | None = None) -> None:
        """Serve until it is stopped, then leave the files.

        Args:
            told: Called once it listens.

        Raises:
            InputError: the files cannot be written.
        """
        asyncio.run(self.serve(told))

    async def serve(self, told: Callable[[Listening], None] | None = None) -> None:
        """Do the same within a running loop.

        Args:
            told: Called once it listens.

        Raises:
            InputError: the files cannot be written.
        """
        broken = await asyncio.start_server(_no_handshake, sock=self._broken)
        try:
            with self._until_signal():
                if told is not None:
                    told(self.listening)  # the port takes connections already
                await self.server.serve(sockets=[self._listener])
        finally:
            self.server.no_longer()
            broken.close()
            self._listener.close()
            if self._leaves:
                self._leave()

    def _leave(self) -> None:
        try:
            leaving.write(self.live, self.folder, to_the_end=True)
        except OSError as error:
            what = f"cannot be written ({error.strerror})"
            raise InputError(str(self.folder), what, hint="give another one with --data") from error

    @contextlib.contextmanager
    def _until_signal(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        caught = []
        for number in (signal.SIGINT, signal.SIGTERM):
            # Another thread than the main one, and some systems, have no signals.
            with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
                loop.add_signal_handler(number, self.stop)
                caught.append(number)
        try:
            yield
        finally:
            for number in caught:
                loop.remove_signal_handler(number)


async def _no_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Break every TLS handshake with an alert."""
    with contextlib.suppress(OSError):
        await reader.read(1)
        writer.write(lanes.ALERT)
        await writer.drain()
        writer.close()


def make(
    folder: Path,
    *,
    port: int = 0,
    seed: int = 7,
    pace: float = live.PACE,
    speed: float = 1.0,
    now: datetime | None = None,
    planted: Path | None = None,
    leaves: bool = True,
) -> Sandbox:
    """Make a sandbox.

    Args:
        folder: Where it leaves its files.
        port: Port; 0 for a free one.
        seed: Where chance begins.
        pace: Times the usual time of a model; 0 answers at once.
        speed: Seconds of the sandbox in one real second; 0 lets time pass only where calls wait.
        now: Instant at which it begins, aware; None for the machine's clock.
        planted: TOML file with faults and rules; None for none.
        leaves: Whether it leaves files at its end.

    Returns:
        The sandbox; it holds its port and answers once it runs.

    Raises:
        ParameterError: the port or the folder cannot be had, or the file cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParameterError("--data", str(folder), hint="a folder that can be written") from error
    running = live.begin(seed, now or datetime.now(UTC), pace=pace, speed=speed)
    if planted is not None:
        try:
            text = planted.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ParameterError("--faults", str(planted), hint="a TOML file") from error
        made, rules = faults.read(text)
        running.faults.known |= {fault.name: fault for fault in made}
        running.faults.add(rules)
    return Sandbox(running, folder, port=port, leaves=leaves)
