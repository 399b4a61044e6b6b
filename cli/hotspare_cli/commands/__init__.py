"""The commands, one module a noun. They import no grpc, protobuf, rich or yaml outside of their functions."""
