"""Connections, named statements and migrations. Never gRPC."""
