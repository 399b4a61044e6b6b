"""Real processes of the product and the peers around them, for the acceptance tests."""
