"""Code that several services share. Never imports a service."""
