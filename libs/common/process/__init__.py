"""The life of a process: settings, commands, logs, background jobs, graceful stop. Never a word of the domain."""
