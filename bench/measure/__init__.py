"""Clocks, CPU and memory counters, and reports. Never a word of what is measured."""
