"""Checks of values that several services take. Never I/O."""
