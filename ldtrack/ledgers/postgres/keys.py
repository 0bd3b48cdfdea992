"""How run ids are kept as keys.

Rule for this file: plain functions from text to text.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Final

__all__ = ["key_of", "storable"]

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-79a-f][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def key_of(run_id: str) -> str:
    """The UUID that stands for a run id: itself if it is one as UUIDs are written, else one of version 8.

    A UUID takes half the room of its text, and any text has one: with zero bytes, or longer than an index
    takes. UUIDs of version 8 stand for what is none, so those that come as run ids get another one as well.
    """
    if _UUID.fullmatch(run_id):
        return run_id
    digest = hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(digest[:16])
    return str(uuid.UUID(int=number & ~(0xF000 << 64 | 0xC000 << 48) | 0x8000 << 64 | 0x8000 << 48))


def storable(text: str) -> str:
    """The text as PostgreSQL can store it: without zero bytes and lone surrogates, which show as escapes."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\u0000").encode("utf-8", "backslashreplace").decode()
