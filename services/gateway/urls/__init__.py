"""Parameters, URL templates and destinations: pure. Never I/O."""
