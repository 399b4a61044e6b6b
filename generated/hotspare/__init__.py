"""The contract's generated code; import from hotspare.v1."""
