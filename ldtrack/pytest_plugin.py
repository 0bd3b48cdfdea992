"""Fixtures for testing code that uses ldtrack. pytest finds them by itself once ldtrack is installed.

    async def test_answer(ldtrack_recording):
        ldtrack_recording.set_flag("support-chat", {"_ldMeta": {"enabled": True}})
        await answer(ldtrack_recording.ai)
        assert "generation:success" in ldtrack_recording.names()

Rule for this file: imports stay inside the fixtures, since pytest loads this file in every project of the
environment. It needs no plugin for asynchronous tests, and works with any.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ldtrack.testing import Recording

__all__ = ["ldtrack_flags", "ldtrack_options", "ldtrack_recording", "ldtrack_strict"]


@pytest.fixture
def ldtrack_flags() -> dict[str, Any]:
    """The flags that ``ldtrack_recording`` starts with: override this fixture to set them for many tests."""
    return {}


@pytest.fixture
def ldtrack_options() -> dict[str, Any]:
    """The options of ``ldtrack_recording``'s client: override this fixture to set them for many tests."""
    return {}


@pytest.fixture
def ldtrack_recording(ldtrack_flags: dict[str, Any], ldtrack_options: dict[str, Any]) -> Iterator[Recording]:
    """An ``AIClient`` over fakes: hand ``.ai`` to your code, then look at ``.events``, ``.names()``."""
    import asyncio  # noqa: PLC0415 - the rule of this file

    from ldtrack.testing import recording  # noqa: PLC0415 - the rule of this file

    recorded = recording(ldtrack_flags, **ldtrack_options)
    yield recorded
    # A loop of its own, which becomes nobody's current one: the test's may be gone.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(recorded.aclose())


@pytest.fixture
def ldtrack_strict() -> Iterator[None]:
    """Let the test fail with ``DuplicateError`` where a once-only metric is tracked twice."""
    from ldtrack.testing import strict  # noqa: PLC0415 - the rule of this file

    with strict():
        yield
