"""The migrations of schema `pool`, applied in order; one that landed never changes."""
