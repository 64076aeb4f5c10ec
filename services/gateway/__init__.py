"""The gateway: what the visitor meets. Parses a click, traces its chain, merges parameters, answers, keeps the log."""
