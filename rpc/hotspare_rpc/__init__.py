"""What any process needs to speak gRPC."""

import os

# The C core of gRPC writes to stderr past Python, in a form of its own: at every broken connection of a stranger, and
# also at every orderly end. It reads this variable when grpc is imported, so it is set here, before that.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
