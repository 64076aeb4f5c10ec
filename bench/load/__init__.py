"""Callers and visitors that cost the measured processes nothing. Never a measurement."""
