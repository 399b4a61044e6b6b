"""Direct connection: panels that reach the host without the cloud between (D1 to D4)."""
