"""What users hold: trackers, runs and streams."""
