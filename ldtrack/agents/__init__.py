"""Managed models and agents: runs that measure themselves, and judges that look at their answers."""
