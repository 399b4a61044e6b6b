"""The deciding parts of the cloud: state, event and `now` in, new state and effects out. No I/O and no clock."""
