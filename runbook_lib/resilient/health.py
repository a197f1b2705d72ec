"""What a client remembers of each model between calls: a retry budget and a breaker.

The budget is a bucket: a retry takes a token, a success puts one back. While calls succeed now and
then it stays filled; in an outage it runs dry, and load on the gateway is not multiplied.

The breaker opens after calls that failed in a row. An open model is not left out, it is asked last:
no call fails for it that could have been answered. After a while one call asks it first again.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

BUDGET = 20
"""Retries on one model that nothing has earned yet."""

FAILED_CALLS = 3
"""Failed calls in a row that open the breaker of a model."""

PROBE_S = 5.0
"""Seconds until an open model is asked first again, by one call and once."""


@dataclass(slots=True)
class _State:
    tokens: float = BUDGET
    failed: int = 0
    probe_at: float | None = None


class Health:
    """Budget and breaker of every model; safe in threads, and shared by the clients it is given."""

    def __init__(self, *, budget: int = BUDGET, probe_s: float = PROBE_S) -> None:
        self._budget, self._probe_s = budget, probe_s
        self._states: dict[str, _State] = {}
        self._lock = threading.Lock()

    def order(self, models: Sequence[str], now: float) -> tuple[list[str], str]:
        """Put models in the order to ask them: open ones last.

        Args:
            models: By preference.
            now: Seconds of the client's clock.

        Returns:
            The models, and the one that is asked first only to see whether it is back; "" for none.
        """
        with self._lock:
            opened = [each for each in models if self._of(each).probe_at is not None]
            due = [each for each in opened if (self._of(each).probe_at or 0) <= now]
            probe = due[0] if due else ""
            if probe:
                self._of(probe).probe_at = now + self._probe_s
                opened.remove(probe)
            return [each for each in models if each not in opened] + opened, probe

    def may_retry(self, model: str) -> bool:
        """Take a retry out of the budget of a model; False when there is none left."""
        with self._lock:
            state = self._of(model)
            if state.tokens < 1:
                return False
            state.tokens -= 1
            return True

    def answered(self, model: str) -> None:
        """Note that a model answered."""
        with self._lock:
            state = self._of(model)
            state.tokens = min(self._budget, state.tokens + 1)
            state.failed, state.probe_at = 0, None

    def failed(self, model: str, now: float) -> None:
        """Note that a call found a model down, after all its attempts."""
        with self._lock:
            state = self._of(model)
            state.failed += 1
            if state.failed >= FAILED_CALLS and state.probe_at is None:
                state.probe_at = now + self._probe_s

    def _of(self, model: str) -> _State:
        return self._states.setdefault(model, _State(tokens=self._budget))
