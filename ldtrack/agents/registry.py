"""Who makes runners, by provider.

Rule for this file: which candidates there are, in which order, and why each was passed over. What a runner
does is known to its factory alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from ldtrack.exceptions import NoRunnerError

__all__ = ["RunnerRegistry", "candidates_of"]

T = TypeVar("T")

GROUP: Final = "ldtrack.runners"
FALLBACK: Final = "langchain"
"""Speaks to nearly every provider, so it is asked when the config's own has no runner."""


def candidates_of(default_ai_provider: str | None, provider: str, *, is_only: bool = True) -> tuple[str, ...]:
    """Whom to ask, in order: the caller's choice, alone or not, the config's provider, and then LangChain."""
    chosen = (default_ai_provider or "").lower()
    if chosen and is_only:
        return (chosen,)
    return tuple(dict.fromkeys(name for name in (chosen, provider.lower(), FALLBACK) if name))


class RunnerRegistry:
    """The factories of one client: those it was given, then those that are installed."""

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        self._factories: dict[str, Any] = {}
        for name, factory in (given or {}).items():
            if not callable(getattr(factory, "create_model", None)) or isinstance(factory, type):
                raise TypeError(
                    f"runners[{name!r}] must be a factory with create_model(config), not {factory!r:.80}; "
                    "was the class given instead of an instance?"
                )
            self._factories[name.lower()] = factory

    def create(self, candidates: tuple[str, ...], make: Callable[[Any], T | None], what: str) -> T:
        """What the first candidate makes that can; raises ``NoRunnerError`` if none can."""
        reasons = []
        for name in candidates:
            try:
                made = make(self._factory(name))
            except ImportError as error:
                reasons.append(f"{name}: a package is missing ({error}).")
            except Exception as error:  # noqa: BLE001 - the next one may fit
                reasons.append(f"{name}: {str(error) or type(error).__name__}.")
            else:
                if made is not None:
                    return made
                reasons.append(f"{name}: its factory declined.")
        raise NoRunnerError(
            f"No runner fits {what}. {' '.join(reasons)} Install one of them, name another provider in the "
            "config or with default_ai_provider, or give your own: AIClient(..., runners={...})."
        )

    def _factory(self, name: str) -> Any:
        if name not in self._factories:
            from importlib.metadata import entry_points  # noqa: PLC0415 - slow, and few ask for it

            found = next(iter(entry_points(group=GROUP, name=name)), None)
            if found is None:
                raise LookupError(f"nobody offers a runner under this name (entry points {GROUP!r})")
            loaded = found.load()
            self._factories[name] = loaded() if isinstance(loaded, type) else loaded
        return self._factories[name]

    async def aclose(self) -> None:
        """Close what the factories hold; cancelling leaves the rest to the garbage collector."""
        for factory in self._factories.values():
            close = getattr(factory, "aclose", None)
            closing = None if close is None else close()
            if inspect.isawaitable(closing):
                await closing
