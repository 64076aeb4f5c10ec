"""The migrations of schema `clicks`, applied in order; one that landed never changes."""
