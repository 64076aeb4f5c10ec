"""The schema `pool` in PostgreSQL, and what a failure of it means. Never a policy."""
