"""The console: one live page for operators, on the internal port."""
