"""The offers that clicks are served from, kept in memory.

Never clicks: an offer does not know what becomes of them.
"""
