"""The deciding parts of a receiver, pure: state, event and now give new state and effects."""
