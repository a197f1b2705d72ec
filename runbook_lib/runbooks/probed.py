"""Live probes of a pair: against the sandbox, or against the gateway when that was asked for."""

import logging
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from runbook_lib import contract, probe
from runbook_lib.pricing import PriceList, vendor
from runbook_lib.probe import Limits, Probed, Wanted
from runbook_lib.sandbox import serve

BASE_URL = "TOROUTER_BASE_URL"
"""Environment variable of the gateway's address; without it the documented one."""

ALLOW_HOSTS = "TOROUTER_ALLOW_HOSTS"
"""Environment variable of hosts beside the gateway's own that may receive a key, with commas."""

_LOG = logging.getLogger(__name__)


def of_gateway(
    wanted: Sequence[Wanted], limits: Limits, prices: PriceList, *, now: datetime
) -> Probed:
    """Probe the real gateway, within limits that are said before the first call.

    Args:
        wanted: Models and keys to ask about.
        limits: Most calls and USD.
        prices: What a call can cost.
        now: The time, aware UTC.

    Returns:
        The answers.

    Raises:
        ParameterError: the address may not receive a key, or a limit cannot be used.
        MissingInputError: the environment holds no key.
    """
    address = os.environ.get(BASE_URL, contract.BASE_URLS["openai"])
    hosts = [name.strip() for name in os.environ.get(ALLOW_HOSTS, "").split(",") if name.strip()]
    planned = probe.plan(
        probe.target(address, allow_hosts=hosts), wanted, limits=limits, prices=prices, at=now
    )
    _LOG.warning("%s", planned)
    return probe.run(planned, now=now)


def of_sandbox(wanted: Sequence[Wanted], prices: PriceList, *, seed: int, now: datetime) -> Probed:
    """Probe a sandbox that is started for it: what the sample's models can.

    Args:
        wanted: Models and keys to ask about.
        prices: What a call can cost; nothing is paid.
        seed: Where chance of the sandbox begins.
        now: The time, aware UTC.

    Returns:
        The answers.
    """
    with _running(seed) as (address, keys):
        named = {one.model: one.key_name for one in wanted}
        planned = probe.plan(
            probe.target(address, sandbox=True),
            [replace(one, key_name=_key(one, keys)) for one in wanted],
            limits=Limits(calls=40, usd=Decimal(1)),
            prices=prices,
            at=now,
        )
        held = {f"{probe.KEY_VARIABLE}__{name}": secret for name, secret in keys.items()}
        made = probe.run(planned, now=now, environ=held)
    told = made.frame.assign(key_name=made.frame["model"].map(named))
    return replace(made, frame=told)


def _key(wanted: Wanted, keys: Mapping[str, str]) -> str:
    """The sandbox's key of that name, else one that serves models of that maker."""
    makers = {"anthropic": "prod-assistant", "google": "prod-vision"}
    fitting = makers.get(vendor(wanted.model) or "", "prod-web")
    return wanted.key_name if wanted.key_name in keys else fitting


@contextmanager
def _running(seed: int) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Give the address and the keys of a sandbox that answers for the length of a block."""
    made = serve.make(Path(tempfile.gettempdir()), seed=seed, pace=0.0, leaves=False)
    listening = threading.Event()
    thread = threading.Thread(target=made.run, args=(lambda _: listening.set(),))
    thread.start()
    try:
        listening.wait(30)
        yield made.listening.base_url, made.listening.keys
    finally:
        made.stop()
        thread.join(30)
