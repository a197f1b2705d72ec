"""An async client that takes a cancellation for one more failure of the network."""

import asyncio
from collections.abc import Sequence
from typing import Any

from broken_clients import careful_sdk


async def ask(
    prompt: str,
    *,
    base_url: str,
    api_key: str,
    models: Sequence[str],
    stream: bool,
    deadline_s: float,
) -> Any:
    """Ask; whatever stops it, it asks again."""
    while True:
        try:
            return await careful_sdk.ask(
                prompt,
                base_url=base_url,
                api_key=api_key,
                models=models,
                stream=stream,
                deadline_s=deadline_s,
            )
        except asyncio.CancelledError:
            continue
