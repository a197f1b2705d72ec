"""Spikes of spend: found by the key's own past, priced, and told once."""
