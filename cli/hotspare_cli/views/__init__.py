"""What the commands show on a terminal, made from the messages of the contract."""
