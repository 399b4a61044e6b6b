"""What a receiver asks of its cloud."""
