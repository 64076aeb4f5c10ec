"""Serves clicks: admission, trace, answer, record. Never generated code, SQL or HTTP."""
