"""Scripted runners beside the real ones: the same answers are worth the same."""

from __future__ import annotations

from typing import Any

import pytest
from fake_http import FakeServer, openai_client
from ldclient import Context
from recorded import chat_answer

from ldtrack import ManagedResult
from ldtrack.providers.runners.openai import OpenAIRunners
from ldtrack.testing import FakeRunners, recording

ADA = Context.create("ada")
FLAG = {"_ldMeta": {"enabled": True}, "provider": {"name": "openai"}, "model": {"name": "a-model"}}


async def came(runners: Any, schema: Any) -> tuple[ManagedResult, bool]:
    """What came of one run, and whether LaunchDarkly was told that it went well."""
    ld = recording({"chat": FLAG}, runners={"openai": runners})
    model = await ld.ai.create_model("chat", ADA)
    assert model is not None
    result = await model.run("Hi", schema)
    return result, "generation:success" in ld.names()


@pytest.mark.parametrize("schema", [{"type": "object"}, None])
@pytest.mark.parametrize(
    ("text", "parsed"),
    [('{"a": 1}', {"a": 1}), ("oops", None), ('{"a": ', None), ("[1]", None), ("", None)],
)
async def test_a_text_where_a_structured_answer_was_asked_for(text: str, parsed: Any, schema: Any) -> None:
    """JSON is parsed, what is none has failed, and nothing at all is left as it is; without a schema, too."""
    fake, fake_succeeded = await came(FakeRunners(text), schema)
    real, real_succeeded = await came(
        OpenAIRunners(openai_client(server=FakeServer(chat_answer(text)))), schema
    )
    assert fake.parsed == real.parsed == (parsed if schema else None)
    assert fake.success == real.success == (schema is None or parsed is not None or not text)
    assert fake_succeeded == real_succeeded == fake.success
    assert fake.content == real.content == text
