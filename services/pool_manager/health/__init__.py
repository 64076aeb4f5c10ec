"""Probes that bring quarantined IPs back. Never grants a lease."""
