"""The clock of a running sandbox: real time by default, faster, moved ahead, or standing still.

A clock that stands still moves only when somebody waits for a tick, and then to that tick at once:
the same calls one after the other then happen at the same ticks, however busy the machine is.
"""

import asyncio
import time

from runbook_lib.sandbox import ticks

_SHORT_S = 0.05
"""Waits below this are not interrupted."""


class Clock:
    """Ticks that never go back.

    Attributes:
        speed: Seconds of the sandbox that pass in one real second; 0 stands still.
    """

    def __init__(self, start: int, *, speed: float = 1.0) -> None:
        self.speed = speed
        self._base, self._since = start, time.monotonic()
        self._changed: asyncio.Event | None = None

    def now(self) -> int:
        """Give the tick it is now."""
        if not self.speed:
            return self._base
        passed = (time.monotonic() - self._since) * self.speed
        return self._base + int(passed * ticks.SECOND)

    def change(self, *, advance_s: float = 0.0, speed: float | None = None) -> None:
        """Move ahead at once, or run at another speed; who waits is woken.

        Args:
            advance_s: Seconds to move ahead; not negative.
            speed: New speed, from 0 on; None leaves it.
        """
        self._base = self.now() + int(advance_s * ticks.SECOND)
        self._since = time.monotonic()
        self.speed = self.speed if speed is None else speed
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def until(self, at: int) -> None:
        """Wait for a tick."""
        while (left := at - self.now()) > 0:
            if not self.speed:
                self._base = max(self._base, at)
                return
            seconds = left / ticks.SECOND / self.speed
            if seconds < _SHORT_S:
                await asyncio.sleep(seconds)
                continue
            if self._changed is None:
                self._changed = asyncio.Event()
            try:
                await asyncio.wait_for(self._changed.wait(), seconds)
            except TimeoutError:
                continue
