"""Clients to verify the verifier with: correct ones written differently, and each way to be wrong.

They stand for what users write, so they share nothing with the reference client of the package.
"""
