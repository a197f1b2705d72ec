"""Figures of the sandbox gateway: calls a second beside a bare route, and a long history.

Both servers run in processes of their own, one after the other, and are called by the same client
in the same way; the sandbox judges, charges, keeps its log and answers at once.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time

CALLS = 4_000
AT_ONCE = 8

BARE = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from runbook_lib.sandbox.front import listen

async def answer(request):
    await request.body()
    return JSONResponse({"id": "x", "object": "chat.completion", "choices": []})

held = listen(0)
print(held.getsockname()[1], flush=True)
app = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
config = uvicorn.Config(app, http="h11", log_config=None, access_log=False, lifespan="off")
uvicorn.Server(config).run(sockets=[held])
"""


def measure(rows: int = 0) -> list[tuple[str, float, str]]:
    """Measure throughput against a bare route, a million rows, and the first look at the sample.

    Args:
        rows: Not used; the history has a size of its own.
    """
    del rows
    bare, ours = _throughputs()
    return [
        ("sandbox calls", ours, "1/s"),
        ("sandbox calls / bare route", ours / bare, "x"),
        ("history of 1 M rows", *_history()),
        ("first open of the sample", *_first_open()),
    ]


def _first_open() -> tuple[float, str]:
    """Make, write and take in the sample, in a process of its own and an empty cache."""
    code = "from runbook_lib import open_store; open_store('sandbox')"
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        environment = {**os.environ, "XDG_CACHE_HOME": folder}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        return time.perf_counter() - start, "s"


def _throughputs() -> tuple[float, float]:
    with subprocess.Popen(
        [sys.executable, "-c", BARE], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            port = int(process.stdout.readline())
            bare = asyncio.run(_rate(f"http://127.0.0.1:{port}", "none"))
        finally:
            process.terminate()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "runbook_lib.cli", "sandbox", "--json", "--pace", "0"]
        with subprocess.Popen(
            [*command, "--data", folder], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                told = json.loads(process.stdout.readline())
                ours = asyncio.run(_rate(told["base_url"], told["keys"]["prod-web"]))
            finally:
                process.terminate()
                process.wait()
    return bare, ours


async def _rate(base_url: str, key: str) -> float:
    """Answered calls a second, several at once over kept connections, by the leanest client."""
    host, port = base_url.removeprefix("http://").split(":")
    body = b'{"model":"gpt-5.4-nano","messages":[{"role":"user","content":"ping"}]}'
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )

    async def calls(count: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(count):
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not answer.startswith(b"http/1.1 200"):
                raise SystemExit(answer.decode())
            await reader.readexactly(int(answer.split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.close()
        await writer.wait_closed()

    await calls(50)
    start = time.perf_counter()
    await asyncio.gather(*(calls(CALLS // AT_ONCE) for _ in range(AT_ONCE)))
    return CALLS / (time.perf_counter() - start)


def _history() -> tuple[float, str]:
    from runbook_lib.sandbox import history

    start = time.perf_counter()
    made = history.make(7, rows=1_000_000)
    took = time.perf_counter() - start
    count = len(made.console.gateway.rows)
    return took * 1_000_000 / count, "s"
