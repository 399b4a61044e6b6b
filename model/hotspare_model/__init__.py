"""What all parts of the hot-spare system share: the domain, pure, without I/O, clocks or randomness."""
