"""How many IPs there are, will be and should be. Never changes an IP."""
