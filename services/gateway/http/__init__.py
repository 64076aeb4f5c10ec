"""HTTP in: requests to clicks, decisions to responses. Never generated code, never SQL."""
