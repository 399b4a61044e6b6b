"""Generated from protos/hotspare/v1."""
