"""The version of the package: what a run writes down and the sample data are keyed by."""

__version__ = "0.1.0"
