"""Tools of the checks and of the build; no part of the distribution."""
