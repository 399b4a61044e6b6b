"""P1 to P4: how the work moves, at a loss and as planned."""
