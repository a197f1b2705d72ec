"""The clock of a running sandbox: real time by default, faster or moved ahead when asked."""

import asyncio
import time

from runbook_lib.sandbox import ticks

_SHORT_S = 0.05
"""Waits below this are not interrupted."""


class Clock:
    """Ticks that never go back.

    Attributes:
        speed: Seconds of the sandbox that pass in one real second.
    """

    def __init__(self, start: int, *, speed: float = 1.0) -> None:
        self.speed = speed
        self._base, self._since = start, time.monotonic()
        self._changed: asyncio.Event | None = None

    def now(self) -> int:
        """Give the tick it is now."""
        passed = (time.monotonic() - self._since) * self.speed
        return self._base + int(passed * ticks.SECOND)

    def change(self, *, advance_s: float = 0.0, speed: float | None = None) -> None:
        """Move ahead at once, or run at another speed; who waits is woken.

        Args:
            advance_s: Seconds to move ahead; not negative.
            speed: New speed, above 0; None leaves it.
        """
        self._base = self.now() + int(advance_s * ticks.SECOND)
        self._since = time.monotonic()
        self.speed = speed or self.speed
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def until(self, at: int) -> None:
        """Wait for a tick."""
        while (left := (at - self.now()) / ticks.SECOND / self.speed) > 0:
            if left < _SHORT_S:
                await asyncio.sleep(left)
                continue
            if self._changed is None:
                self._changed = asyncio.Event()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                continue
