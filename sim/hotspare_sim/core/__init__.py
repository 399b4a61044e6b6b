"""The deciding parts of the simulators: pure, time is an argument."""
