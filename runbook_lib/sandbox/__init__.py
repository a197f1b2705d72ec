"""A gateway in a box: one state machine, a seeded history, faults."""
