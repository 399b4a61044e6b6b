"""An ARC's automation software and panels, for trials and tests; the demo."""
