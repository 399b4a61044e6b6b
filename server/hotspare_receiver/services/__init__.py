"""The gRPC services of a receiver: decode, call, encode."""
