"""What stands around the measured processes: chains, proxies, stacks of services. Never measured itself."""
