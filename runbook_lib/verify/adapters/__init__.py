"""Clients as people write them, ready to be verified; each a file that needs only its own SDK.

Each has `NEEDS` (what must be installed), `PROTOCOLS` (what it speaks), `load()` (imports it), may
have `FORKS` (False: no call may come before a fork), and `ask`, `ask_async`: one call with the
defaults of the SDK, a client made for it, the first model only unless the SDK itself knows
fallbacks.
"""
