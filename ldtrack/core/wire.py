"""A claim's events as LaunchDarkly's event endpoint reads them.

Rule for this file: it spells JSON and decides nothing. What cannot be spelled raises here, where a claim is
made and its neighbours are safe, and not where a whole batch would be lost with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as _text
from typing import Any, Final

from ldtrack.core.events import Event, RunData

__all__ = ["body_of", "index_of", "json_of"]


def _plain(value: object) -> Any:
    """What the encoder asks about a value that it does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__qualname__} cannot be written as JSON; use plain data")


# ASCII only: what is stored is then safe in every encoding, and half a surrogate pair breaks nothing later.
_encode: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_plain).encode
_TEXT: Final = frozenset({str})
_TOO_DEEP: Final = "it is nested too deeply to be written as JSON"


def json_of(value: object) -> str:
    """A value as compact JSON in ASCII.

    Raises ``TypeError`` for what JSON has no form for, ``ValueError`` for numbers that are not finite and
    for what is nested without end.
    """
    try:
        return _spelled(value)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error


def _spelled(value: object) -> str:
    # The encoder prepares itself anew for every object, which takes longer than a small one; for a text it
    # need not. So the outermost object is spelled here.
    if type(value) is not dict or not _TEXT.issuperset(map(type, value)):
        return _encode(value)
    members = [f"{_text(name)}:{_member(one)}" for name, one in value.items()]
    return f"{{{','.join(members)}}}"


def _member(value: object) -> str | int:
    if type(value) is str:
        return _text(value)
    return value if type(value) is int else _encode(value)


def _data_member(data: object) -> str:
    if data is None:
        return ""
    if type(data) is not RunData:
        return f',"data":{_spelled(data)}'
    try:
        return data.member
    except AttributeError:
        data.member = f',"data":{_spelled(dict(data))}'
        return data.member


def body_of(events: Sequence[Event], context_json: str, at_ms: int) -> str:
    """The events as custom events in JSON, joined by commas; raises as ``json_of`` does.

    ``context_json`` is the context as ``redacted`` left it, as ``json_of`` spells it.
    """
    head = f'{{"kind":"custom","creationDate":{at_ms},"key":'
    spelled = []
    last_data, data_json = None, ""
    try:
        for key, data, value in events:
            if data is not last_data:  # the events of one claim mostly share it
                last_data, data_json = data, _data_member(data)
            spelled.append(
                f'{head}{_text(key)},"context":{context_json}{data_json},"metricValue":{_member(value)}}}'
            )
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    return ",".join(spelled)


def index_of(context_json: str, at_ms: int) -> str:
    """The event that introduces a context to LaunchDarkly, in JSON.

    ``context_json`` is the context as ``redacted`` left it for an index event, as ``json_of`` spells it.
    """
    return f'{{"kind":"index","creationDate":{at_ms},"context":{context_json}}}'
