"""The lake and the few questions it answers."""
