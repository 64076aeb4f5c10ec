"""The gateway's schema `clicks` in PostgreSQL: one file a table, the statements in `queries.sql`.

Rows are translated where the driver is called. Never a policy: the rooms that call decide what is stored,
kept or given up.
"""
