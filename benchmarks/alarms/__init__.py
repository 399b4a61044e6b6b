"""P5 to P9: the way of an alarm at full speed, beside Redis, NATS and PostgreSQL. Run by `make bench-alarms`."""
