"""Measurements of this system beside others, as ratios in one run.

Never imported by a service, and never a verdict in a test.
"""
