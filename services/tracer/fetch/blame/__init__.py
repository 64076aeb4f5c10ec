"""Decides what a broken transfer means and who caused it, as a table of rules. Never touches a handle of libcurl."""
