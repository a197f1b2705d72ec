"""Clients as people write them, ready to be verified; each a file that needs only its own SDK.

Each has `NEEDS` (what must be installed), `PROTOCOLS` (what it speaks), `load()` (imports it),
and `ask`, `ask_async`: one call with the defaults of the SDK, a client made for it, the first model
only unless the SDK itself knows fallbacks.
"""
