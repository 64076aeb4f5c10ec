"""Connections, what their failures mean, named statements, LISTEN, migrations and functions. Never gRPC."""
