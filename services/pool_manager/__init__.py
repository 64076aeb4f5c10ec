"""The pool manager: grants egress IPs to one holder at a time. Never sees a click's chain."""
