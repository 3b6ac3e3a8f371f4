"""The version of the engine, the one place where it is written."""

__version__ = "0.4.0"
