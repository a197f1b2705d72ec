"""The same seed, start and calls give the same bytes; hours of traffic pass in seconds."""

import hashlib
import json
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gateway_kit import BODIES, CHAT, GEMINI, KEYS, MESSAGES, RESPONSES, Running, serving

from runbook_lib.sandbox import serve, ticks

START = datetime(2026, 11, 18, 4, 0, 24, tzinfo=UTC)
STREAMED = GEMINI.replace("generateContent", "streamGenerateContent")
FAULTS = (
    *("", "", "key_cap_reached", "upstream_failed", "status_503;times=1", "status_500;p=0.5"),
    *("stream_cut_mid", "stream_broken_after_first_byte", "truncated_json", "bad_chunk_size"),
    *("retry_after_date_20", "wrong_model", "reset_in_body", "stream_error_mid", "garbage"),
)


def standing(folder: Path, **options: Any) -> serve.Sandbox:
    """A sandbox whose clock moves only where calls wait."""
    return serve.make(folder, speed=0, now=START, pace=1.0, **options)


def bytes_of(run: Running, method: str, path: str, body: object, **headers: str) -> bytes:
    """Send one request on a connection of its own and keep every byte of the answer."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: sandbox", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, f"content-length: {len(content)}", "", ""]).encode()
    parts = []
    with socket.create_connection(run.address, timeout=10) as held:
        held.sendall(head + content)
        try:
            while part := held.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            parts.append(b"(reset)")
    return b"".join(parts)


def calls(run: Running) -> Iterator[bytes]:
    """A day of a team in small: calls of every kind, faults, limits, acts of people."""
    for number, fault in enumerate(FAULTS * 2):
        for path, name in KEYS.items():
            body = dict(BODIES[path])
            stream = number % 2 == 1
            if stream and path != GEMINI:
                body["stream"] = True
            way = STREAMED if stream and path == GEMINI else path
            headers = {"authorization": f"Bearer {run.secret(name)}", "x-sandbox-run": f"r{number}"}
            if fault:
                headers["x-sandbox-fault"] = fault
            yield bytes_of(run, "POST", way, body, **headers)
    for key, path in (("dev-small", CHAT), ("ci-nightly", MESSAGES), ("plan-assistant", MESSAGES)):
        for _ in range(6):
            headers = {"authorization": f"Bearer {run.secret(key)}"}
            yield bytes_of(run, "POST", path, BODIES[path], **headers)
    acts = [
        ("POST", "keys", {"name": "prod-web-v2", "cap": "3"}),
        ("DELETE", "keys/prod-web", None),
        ("PATCH", "channels/openai-a", {"health": "down"}),
        ("POST", "clock", {"advance_s": 3600}),
        ("POST", "top_up", {"amount": "5"}),
        ("GET", "state", None),
        ("GET", "faults", None),
    ]
    for method, path, body in acts:
        yield bytes_of(run, method, f"/sandbox/{path}", body)
    headers = {"authorization": f"Bearer {run.secret('prod-web-v2')}"}
    for path in (CHAT, RESPONSES):
        yield bytes_of(run, "POST", path, BODIES[path], **headers)
    password = run.live.desk.password(run.live.console.gateway.accounts["team"])
    login = {"email": "team@example.com", "password": password}
    told = bytes_of(run, "POST", "/api/v1/auth/login", login)
    yield told
    token = re.search(rb'"access_token":"([^"]+)"', told)
    assert token is not None
    for path in ("usage?page_size=1000", "usage/stats", "keys", "usage/errors"):
        yield bytes_of(
            run, "GET", f"/api/v1/{path}", None, authorization=f"Bearer {token[1].decode()}"
        )
    yield bytes_of(run, "GET", "/sandbox/log", None)


def digests(folder: Path) -> dict[str, str]:
    """Digest of every file that was left."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_calls_give_the_same_bytes(tmp_path: Path) -> None:
    """Answers, log and files, however busy the machine: a demonstration can be repeated."""
    seen, left = [], []
    for number in range(2):
        folder = tmp_path / str(number)
        with serving(standing(folder)) as run:
            seen.append(list(calls(run)))
        left.append(digests(folder))
    assert len(seen[0]) > 150
    assert [one == other for one, other in zip(*seen, strict=True)].count(False) == 0
    assert left[0] == left[1]
    assert len(left[0]) == 6


def test_another_seed_gives_other_bytes(tmp_path: Path) -> None:
    """Or the test above would compare constants."""
    told = []
    for seed in (7, 8):
        with serving(standing(tmp_path / str(seed), seed=seed)) as run:
            headers = {"authorization": f"Bearer {run.secret('prod-web')}"}
            told.append(bytes_of(run, "POST", CHAT, BODIES[CHAT], **headers))
    assert told[0] != told[1]


def test_time_stands_still_until_a_call_waits(tmp_path: Path) -> None:
    """Between calls nothing passes; each call takes what its model takes."""
    with serving(standing(tmp_path)) as run:
        begun = run.live.clock.now()
        run.post(fault="upstream_failed")
        refused = run.live.clock.now()
        run.post()
        assert begun == ticks.tick(START)
        assert refused - begun < ticks.SECOND
        row = settled(run)[-1]
        assert run.live.clock.now() == row.end
        assert row.duration > ticks.SECOND // 5


def settled(run: Running) -> list[Any]:
    """Usage rows so far."""
    gateway = run.live.console.gateway
    gateway.settle(run.live.clock.now())
    return gateway.rows


def test_five_hours_of_traffic_pass_in_seconds(tmp_path: Path) -> None:
    """A window is used up, refuses for hours, and opens again five hours after its first charge."""
    with serving(standing(tmp_path)) as run:
        body = {**BODIES[MESSAGES], "model": "claude-haiku-4-5"}
        headers = {"x-api-key": run.secret("ci-nightly"), "anthropic-version": "2023-06-01"}
        seen: list[tuple[int, int]] = []
        for _ in range(6 * 60):
            found = run.client.post(MESSAGES, headers=headers, json=body)
            seen.append((run.live.clock.now(), found.status_code))
            run.act("POST", "clock", advance_s=60)
        first = next(row.end for row in settled(run) if row.key.name == "ci-nightly")
        refused = [at for at, status in seen if status == 429]
        opened = next(at for at, status in seen if status == 200 and at > refused[0])
    assert {status for _, status in seen} == {200, 429}
    assert refused[0] < first + ticks.HOUR
    assert first + 5 * ticks.HOUR <= opened < first + 5 * ticks.HOUR + 2 * ticks.MINUTE


def test_a_fast_clock_is_a_fast_gateway(tmp_path: Path) -> None:
    """At a thousandfold speed a minute of waiting for an upstream takes a blink."""
    made = serve.make(tmp_path, speed=1000.0, pace=1.0)
    with serving(made) as run:
        run.act("PATCH", "channels/gemini-a", health="unavailable")
        begun = run.live.clock.now()
        headers = {"x-goog-api-key": run.secret("prod-vision")}
        found = run.client.post(GEMINI, headers=headers, json=BODIES[GEMINI])
        assert found.status_code == 502
        assert run.live.clock.now() - begun >= 64 * ticks.SECOND
        assert found.elapsed.total_seconds() < 20


def test_the_export_of_a_longer_span_takes_the_place_of_the_shorter(tmp_path: Path) -> None:
    """Its name tells the days: after midnight the old one would stand beside the new one."""
    with serving(standing(tmp_path)) as run:
        run.post()
        run.act("POST", "export")
        one = {path.name for path in tmp_path.glob("usage_2*.csv")}
        run.act("POST", "clock", advance_s=86_400)
        run.act("POST", "export")
        other = {path.name for path in tmp_path.glob("usage_2*.csv")}
    assert one == {"usage_2026-11-18_to_2026-11-18.csv"}
    assert other == {"usage_2026-11-18_to_2026-11-19.csv"}


@pytest.mark.parametrize("speed", [0.0, 1.0, 50_000.0])
def test_the_clock_never_goes_back(tmp_path: Path, speed: float) -> None:
    """However it is changed, ticks only grow."""
    with serving(standing(tmp_path)) as run:
        seen = [run.live.clock.now()]
        for act in ({"advance_s": 5}, {"speed": speed}, {"advance_s": 0.5}, {"speed": 0}):
            run.act("POST", "clock", **act)
            seen.append(run.live.clock.now())
    assert seen == sorted(seen)
