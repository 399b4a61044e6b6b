"""What a receiver keeps: its settings, outputs and tokens, and its configuration with the line of its revisions."""
