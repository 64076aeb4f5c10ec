"""Decides what a response leads to, as browsers do, and walks the chain. Never knows libcurl, gRPC or a socket."""
