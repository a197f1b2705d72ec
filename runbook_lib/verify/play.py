"""Plays cells of a client against the sandbox, over real sockets, and tells what both sides saw."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from runbook_lib.verify import client as clients
from runbook_lib.verify.client import MODELS, ClientSpec
from runbook_lib.verify.gateway import Gateway
from runbook_lib.verify.pool import Pool
from runbook_lib.verify.process import Process
from runbook_lib.verify.records import Cell, Played

Found = TypeVar("Found")

_FILES = 8192


def find_client(text: str) -> ClientSpec:
    """Find a client by its name, load it, and see what it speaks.

    Args:
        text: `module:function` (called as `ask(prompt, *, base_url, api_key, models, stream,
            deadline_s)`, plain or async), the name of an adapter, or `command:WORDS`.

    Returns:
        The client. What a function or a command speaks is what its first calls spoke: one with
        models of each maker.

    Raises:
        ParameterError: there is none of this name, or it cannot be loaded or called so.
    """
    spec = clients.named(text)
    return _apart(lambda _: _found(spec))


def play(
    client: str | ClientSpec,
    cells: Sequence[Cell],
    *,
    seed: int,
    folder: Path | None = None,
    told: Callable[[int, int], None] | None = None,
) -> list[Played]:
    """Play cells.

    Args:
        client: The client, or its name.
        cells: What to play; a cell without models gets those of its protocol.
        seed: Where chance begins: keys, answers, faults, and the client's own jitter.
        folder: Where the sandbox leaves its files (usage export and others); None leaves none.
        told: Is told now and then how many cells were played, and of how many.

    Returns:
        What was seen, in the order of the cells.

    Raises:
        ParameterError: the client cannot be found or loaded, or a cell names an unknown fault.
    """
    spec = clients.named(client) if isinstance(client, str) else client
    ready = [cell if cell.models else replace(cell, models=MODELS[cell.protocol]) for cell in cells]

    async def main(progress: Callable[[int], None]) -> list[Played]:
        gateway = Gateway(seed, folder)
        async with gateway.running():
            return await Pool(spec, gateway, ready, progress).play()

    with _many_files():
        return _apart(main, None if told is None else lambda done: told(done, len(ready)))


async def _found(spec: ClientSpec) -> ClientSpec:
    if spec.kind == "adapter":
        process = Process(spec.settings())
        try:
            await process.start()
        finally:
            await process.end()
        return spec
    cells = [
        Cell(id=f"first/{protocol}", case="first", protocol=protocol, models=MODELS[protocol])
        for protocol in ("openai", "anthropic", "gemini")
    ]
    gateway = Gateway(0)
    async with gateway.running():
        pool = Pool(
            spec, gateway, [replace(cell, deadline_s=3.0, patience_s=1.0) for cell in cells]
        )
        await pool.play()
        seen = [one.line["path"] for door in pool.doors.values() for one in door.lane.seen]
    spoken = clients.spoken(seen)
    return replace(
        spec,
        plain=pool.ways["plain"],
        asynchronous=pool.ways["asynchronous"],
        protocols=spoken or ("openai",),
        silent=not spoken,
    )


def _apart(
    main: Callable[[Callable[[int], None]], Coroutine[Any, Any, Found]],
    told: Callable[[int], None] | None = None,
) -> Found:
    """Run in a thread with a loop of its own: the caller may be inside a loop, as in a notebook.

    Args:
        main: What to run; it is given a function that tells how far it is.
        told: Is told so, in the thread of the caller.
    """
    news: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    found: list[Found] = []
    errors: list[BaseException] = []
    ready: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    async def inside() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(main(news.put))
        ready.put(lambda: loop.call_soon_threadsafe(task.cancel))
        found.append(await task)

    def run() -> None:
        try:
            asyncio.run(inside())
        except BaseException as error:  # noqa: BLE001 (it is raised in the thread of the caller)
            errors.append(error)
        news.put(None)

    thread = threading.Thread(target=run, name="verification")
    thread.start()
    try:
        while (done := news.get()) is not None:
            if told is not None:
                told(done)
    except BaseException:
        ready.get()()
        raise
    finally:
        thread.join()
    if errors:
        raise errors[0]
    return found[0]


@contextlib.contextmanager
def _many_files() -> Iterator[None]:
    """Allow more open files for a while: every cell has a port and connections of its own."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
