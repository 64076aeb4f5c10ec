"""Which proxies there are, and what operators do with them. Never leases."""
