"""Others, on the same work: Redis, NATS and PostgreSQL, as Debian packages them. One that is missing is left out.

Their clients are written here, for the few words that are needed of each protocol: none of their libraries is in this
repository, and what a client costs is part of the figures of all alike.
"""
