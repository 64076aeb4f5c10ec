"""Granting, renewing and releasing leases, and the order of those who wait. Never generated code."""
