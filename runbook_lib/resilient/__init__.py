"""The reference client: the smallest correct retry and fallback around a client you have.

    calls = Resilient(OpenAI(base_url=…, api_key=…), models=["gpt-5.4", "claude-sonnet-4-6"])
    answer = calls.ask("…")
    answer.text, answer.model, answer.attempts

What it does, and most clients do not: a final refusal ends the call at once; one deadline stands
over all attempts and waits; `Retry-After` is obeyed or the next model asked, never slept through
beyond the deadline; retries have a budget, so an outage is not multiplied; a key that is refused is
not tried on another model; an answer is believed only when it is whole; after a streamed byte
nothing is sent again; the ids of all attempts are kept. Source: fault matrix, reference policy.

`clients` sends and waits, `calls` keeps one call, `policy` says what a failure allows, `reading`
what a whole answer is, `health` what is remembered between calls, `doors` how each SDK is asked.
"""

from runbook_lib.resilient.asking import Text, ask, ask_async
from runbook_lib.resilient.calls import Answer, Attempt
from runbook_lib.resilient.clients import AsyncParts, AsyncResilient, Parts, Resilient
from runbook_lib.resilient.health import Health

__all__ = [
    "Answer",
    "AsyncParts",
    "AsyncResilient",
    "Attempt",
    "Health",
    "Parts",
    "Resilient",
    "Text",
    "ask",
    "ask_async",
]
