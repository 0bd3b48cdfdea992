"""Contexts of all shapes, and references to what is in them, for hypothesis.

Rule for this file: strategies only. Attributes have few names, so that references meet them.
"""

from __future__ import annotations

from hypothesis import strategies as st
from ldclient import Context

__all__ = ["contexts", "references"]

_steps = st.sampled_from(["a", "b", "name", "key", "/", "~", "x/y"])
_escaped = _steps.map(lambda step: step.replace("~", "~0").replace("/", "~1"))
references = (
    _steps
    | st.lists(_escaped, min_size=1, max_size=3).map(lambda steps: "/" + "/".join(steps))
    | st.sampled_from(["", "/", "//", "/a/", "/a~2", "/a~", "a~", "/~", "a/b"])
)
_values = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(_steps, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def contexts(draw: st.DrawFn) -> Context:
    """Contexts of one or two kinds, with nested attributes, some of them private."""
    singles = []
    for kind in draw(st.sampled_from([["user"], ["user", "org"], ["org"]])):
        builder = Context.builder("the-key").kind(kind).anonymous(draw(st.booleans()))
        builder.name(draw(st.none() | st.just("Name")))
        for name, value in draw(st.dictionaries(_steps, _values, max_size=4)).items():
            if name not in {"key", "name"}:
                builder.set(name, value)
        builder.private(*draw(st.lists(references, max_size=3)))
        singles.append(builder.build())
    return singles[0] if len(singles) == 1 else Context.create_multi(*singles)
