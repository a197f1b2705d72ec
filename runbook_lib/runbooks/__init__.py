"""One public function a notebook: ask the store, hand small frames to the analysis, report.

Each lives in a module of its own, so that a notebook pays for what it uses.
"""
