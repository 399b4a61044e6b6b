"""The demo of `make run`: real processes, a failover, the return, and the balance."""
