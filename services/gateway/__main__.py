"""Runs the gateway: `python -m services.gateway [serve|migrate]`."""

from services.gateway.main import main

main()
