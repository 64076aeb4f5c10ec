"""Provisions, changes and watches proxies for operators. Never leases."""
