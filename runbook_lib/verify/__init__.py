"""Drives a user's own client through faults, and judges it by what the server saw."""
