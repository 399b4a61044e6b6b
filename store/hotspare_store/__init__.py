"""A durable SQLite database with one writer and group commit, and the data folder it lives in."""
