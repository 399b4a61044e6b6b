"""The outputs of a receiver: its connections to the ARC's automation software."""
