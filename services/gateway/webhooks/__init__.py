"""Delivers late results to the webhooks of their offers: signed, retried with growing pauses, dead-lettered in the end.

Never in a visitor's way: a delivery starts after the visitor was answered.
"""
