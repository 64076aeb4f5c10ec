"""Telemetry, spans and metrics. Never alters what it observes."""
