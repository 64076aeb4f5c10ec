"""What becomes of a click: admission, trace, answer, record. Never generated code, SQL or HTTP."""
