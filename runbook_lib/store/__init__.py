"""The lake and the few questions it answers."""

from runbook_lib.store.answers import Added, Found, Reconciled, Rows
from runbook_lib.store.card import Card, TableCard
from runbook_lib.store.lake import Store
from runbook_lib.store.questions import BANDS, Filter

__all__ = ["BANDS", "Added", "Card", "Filter", "Found", "Reconciled", "Rows", "Store", "TableCard"]
