"""The words every stage speaks: taxa, tables, settings, units of work. Imports no stage."""

__version__ = "0.1.0"
