"""What the cloud keeps: a protocol in the domain's words, and SQLite behind it."""
