"""AI Configs: what users pass as defaults, and what they get back."""
