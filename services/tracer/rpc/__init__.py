"""Serves `clicktrace.tracer.v1`: messages to and from the model, admission, grouping. Never walks or fetches itself."""
