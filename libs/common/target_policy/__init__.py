"""Decides which hosts and addresses a service may be made to contact on somebody else's behalf. Never does I/O."""
