"""Commands beside a running system: status, click, load, a certificate authority. Never starts a service."""
