"""The command `hotspare`: how technicians look at a receiver and its group, and change them.

A thin client: it decides nothing, and all of its words come from the contract. Modules below `commands` are
loaded by every call and import neither grpc nor protobuf nor rich, so that `--help` is instant; the rest is
imported by the command that needs it.
"""
