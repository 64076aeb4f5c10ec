"""Learns the usual shape of each offer's chains from its clicks, and reports drift and the offer's health.

`shape` and `stats` are pure rules, `recorder` collects and flushes. Never alters an answer: no click waits for it.
"""
