"""Counts the pool, forecasts its exhaustion and estimates its size. Never changes an IP."""
