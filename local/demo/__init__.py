"""The demo world of `make run`: proxies, redirect chains, landing pages, and how they are entered.

Never a service's code.
"""
