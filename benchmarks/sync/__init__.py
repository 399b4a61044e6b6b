"""P10: what it costs to keep the configuration of the host at the cloud and at the spares."""
