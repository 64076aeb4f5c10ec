"""Walks a redirect chain through a proxy and reports each hop. Never leases an IP, never decides about a click."""
