"""The schema `pool` in PostgreSQL, its statements, and what their rows are read as. Never a policy."""
