"""The helpers of these tests make assertions too: let pytest explain theirs as it explains a test's."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("stage")


@pytest.fixture(autouse=True, scope="module")
def _old_objects_out_of_the_way() -> Iterator[None]:
    """Let the collector, which these tests call all the time, look only at what they made themselves."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
