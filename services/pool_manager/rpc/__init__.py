"""gRPC in: messages to requests, results to messages. Never SQL."""
