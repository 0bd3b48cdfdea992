"""Runners: one file per provider, imported when a config of that provider is run for the first time."""
