"""A PostgreSQL of its own as a child process. Never a schema."""
