"""A module that cannot be imported."""

raise RuntimeError("a module of mine is broken")
