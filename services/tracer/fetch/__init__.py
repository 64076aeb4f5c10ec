"""Fetches single URLs with libcurl, each walk isolated from all others. Never decides where a response leads."""
