"""Records what an LLM run did, once, wherever the run ends, and brings it to LaunchDarkly."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
