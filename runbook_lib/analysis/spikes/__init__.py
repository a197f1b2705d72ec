"""Spikes of spend: found by the key's own past, priced, and told once."""

from runbook_lib.analysis.spikes.band import expected_band
from runbook_lib.analysis.spikes.find import FLOOR_USD, Spikes, find_spikes
from runbook_lib.analysis.spikes.first_seen import first_seen
from runbook_lib.analysis.spikes.marks import HOUR, MINUTE
from runbook_lib.analysis.spikes.span import exact_span

__all__ = [
    "FLOOR_USD",
    "HOUR",
    "MINUTE",
    "Spikes",
    "exact_span",
    "expected_band",
    "find_spikes",
    "first_seen",
]
