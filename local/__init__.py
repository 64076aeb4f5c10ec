"""What `make run` starts: PostgreSQL, the three services and a demo world of proxies and redirect chains."""
