"""One file a gRPC service: decode, call, encode. Nothing is decided here."""
