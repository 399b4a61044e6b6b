"""The cloud: groups, leases, and the alarms on their way."""
