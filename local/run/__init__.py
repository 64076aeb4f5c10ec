"""One run of the whole system: checks, processes, readiness, what the terminal shows. Never the demo's content."""
