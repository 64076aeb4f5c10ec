"""gRPC as all services speak it: server, client, TLS, status, health. Never SQL."""
