"""Runs that go on elsewhere: tokens, who may use them, and what twins of a run share."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from ldclient import Context

from ldtrack import AIClient, InvalidTokenError, MemoryLedger, TokenSigner, Tracker
from ldtrack.delivery import LDClientDestination
from ldtrack.testing import ManualClock, Recording, RecordingClient, SequentialIds, recording

ADA, BOB = Context.create("ada"), Context.create("bob")
FLAG = {
    "_ldMeta": {"enabled": True, "variationKey": "warm", "version": 3},
    "model": {"name": "gpt-4"},
    "provider": {"name": "openai"},
}
SECRET, NEW_SECRET = "an old secret of sixteen bytes", "a new secret of sixteen bytes"


async def a_run(made: Recording, context: Context = ADA) -> Tracker:
    return (await made.ai.completion_config("chat", context)).create_tracker()


def signing(*keys: tuple[str, str], clock: ManualClock | None = None, **options: Any) -> Recording:
    """A client that signs with the first key."""
    made: Any = {"signer": TokenSigner(dict(keys or [("k1", SECRET)]), **options)}
    return recording({"chat": FLAG}, **made, **({} if clock is None else {"clock": clock}))


# resume and create_tracker


async def test_a_resumed_tracker_is_of_the_same_run() -> None:
    """Same run id, config, variation and version; the model is not in the token."""
    made = recording({"chat": FLAG})
    original = await a_run(made)
    resumed = made.ai.resume(original.resumption_token, ADA)
    await resumed.track_feedback("positive")
    assert resumed.run_id == original.run_id
    assert made.events[-1].data == {
        "runId": original.run_id,
        "configKey": "chat",
        "version": 3,
        "modelName": "",
        "providerName": "",
        "variationKey": "warm",
    }


async def test_a_resumed_tracker_makes_the_same_token() -> None:
    """It can be passed on."""
    made = recording({"chat": FLAG})
    token = (await a_run(made)).resumption_token
    assert made.ai.resume(token, ADA).resumption_token == token


@pytest.mark.parametrize("token", ["", "nonsense", "e30", None, 3, b"e30"], ids=repr)
def test_what_is_no_token_is_refused(token: Any) -> None:
    """Whatever it is, the error is the same."""
    with pytest.raises(InvalidTokenError, match="token"):
        recording().ai.resume(token, ADA)


async def test_a_context_that_is_none_is_a_mistake_in_the_code() -> None:
    """It raises from both methods, even with a good token."""
    made = recording()
    token = (await a_run(made)).resumption_token
    for method in (made.ai.resume, made.ai.create_tracker):
        with pytest.raises(TypeError, match=r"context must be an ldclient\.Context, not 'ada'"):
            method(token, "ada")  # type: ignore[arg-type]  # the point


async def test_a_run_cannot_be_resumed_for_an_invalid_context() -> None:
    """Nothing could be recorded for it."""
    made = recording()
    token = (await a_run(made)).resumption_token
    with pytest.raises(ValueError, match="context is invalid"):
        made.ai.resume(token, Context.create(""))


async def test_create_tracker_is_resume_in_a_result() -> None:
    """The form that the official SDK has."""
    made = recording({"chat": FLAG})
    original = await a_run(made)
    result = made.ai.create_tracker(original.resumption_token, ADA)
    assert result.is_success()
    assert result.error is None
    assert result.value.run_id == original.run_id


@pytest.mark.parametrize(
    ("token", "context", "error"),
    [
        ("nonsense", ADA, InvalidTokenError),
        (None, ADA, InvalidTokenError),
        (None, Context.create(""), ValueError),
    ],
)
def test_create_tracker_says_why_not(token: Any, context: Context, error: type[Exception]) -> None:
    """A failed result has the reason as text and as exception, and no value."""
    result = recording().ai.create_tracker(token, context)
    assert not result.is_success()
    assert result.value is None
    assert isinstance(result.exception, error)
    assert result.error == str(result.exception)


# Signed tokens


async def test_a_signed_token_resumes() -> None:
    """With the same signer on both sides."""
    made = signing()
    original = await a_run(made)
    elsewhere = signing()
    assert elsewhere.ai.resume(original.resumption_token, ADA).run_id == original.run_id


async def test_an_unsigned_token_is_refused_where_tokens_are_signed() -> None:
    """Anybody could have made it."""
    token = (await a_run(recording({"chat": FLAG}))).resumption_token
    with pytest.raises(InvalidTokenError, match="not signed"):
        signing().ai.resume(token, ADA)


async def test_a_signed_token_resumes_where_tokens_are_not_signed() -> None:
    """Its signature is more than is asked for."""
    token = (await a_run(signing())).resumption_token
    assert recording().ai.resume(token, ADA).run_id


async def test_a_token_expires() -> None:
    """The client's own clock says when."""
    clock = ManualClock()
    made = signing(clock=clock, ttl=3600)
    token = (await a_run(made)).resumption_token
    clock.advance(3599)
    assert made.ai.resume(token, ADA)
    clock.advance(2)
    with pytest.raises(InvalidTokenError, match="expired"):
        made.ai.resume(token, ADA)


async def test_a_token_belongs_to_its_context() -> None:
    """Another user cannot vote with it."""
    made = signing()
    token = (await a_run(made)).resumption_token
    with pytest.raises(InvalidTokenError, match="another context"):
        made.ai.resume(token, BOB)


async def test_a_token_may_be_for_any_context() -> None:
    """If the signer is told not to bind it."""
    made = signing(bind_context=False)
    token = (await a_run(made)).resumption_token
    assert made.ai.resume(token, BOB)


async def test_keys_rotate() -> None:
    """Tokens of the old key are good for as long as the key is kept; new ones are of the new key."""
    old, both = signing(("k1", SECRET)), signing(("k2", NEW_SECRET), ("k1", SECRET))
    new = signing(("k2", NEW_SECRET))
    old_token, new_token = (await a_run(old)).resumption_token, (await a_run(both)).resumption_token
    assert both.ai.resume(old_token, ADA)
    assert new.ai.resume(new_token, ADA)
    with pytest.raises(InvalidTokenError, match="names no key that this signer has"):
        new.ai.resume(old_token, ADA)
    with pytest.raises(InvalidTokenError, match="names no key that this signer has"):
        old.ai.resume(new_token, ADA)


async def test_a_refusal_repeats_neither_token_nor_secret() -> None:
    """Refusals end up in logs and answers."""
    token = (await a_run(signing(("k1", NEW_SECRET)))).resumption_token
    result = signing(("k1", SECRET)).ai.create_tracker(token, ADA)
    assert result.error
    assert token[:20] not in result.error
    assert SECRET not in result.error


# Twins


async def test_the_original_and_a_resumed_tracker_share_their_slots() -> None:
    """What one has recorded the other does not record again, and both summaries say so."""
    made = recording()
    original = await a_run(made)
    resumed = made.ai.resume(original.resumption_token, ADA)
    assert await resumed.track_feedback("positive")
    assert not await original.track_feedback("negative")
    assert await original.track_success()
    assert not await resumed.track_error()
    assert made.keys() == ["$ld:ai:feedback:user:positive", "$ld:ai:generation:success"]
    assert original.summary == resumed.summary


async def test_two_resumed_trackers_share_their_slots() -> None:
    """Two clicks, two requests, one vote."""
    made = recording()
    token = (await a_run(made)).resumption_token
    votes = [await made.ai.resume(token, ADA).track_feedback("positive") for _ in range(2)]
    assert votes == [True, False]


async def test_what_was_recorded_outlives_the_tracker_that_recorded_it() -> None:
    """The ledger remembers when no tracker of the run is left."""
    made = recording()
    tracker = await a_run(made)
    token = tracker.resumption_token
    await tracker.track_feedback("positive")
    del tracker
    gc.collect()
    assert not await made.ai.resume(token, ADA).track_feedback("negative")


async def test_two_clients_do_not_share_what_they_recorded() -> None:
    """Each has a ledger of its own, unless they are given one: that is what durable ledgers are for."""
    one, other = recording(), recording()
    token = (await a_run(one)).resumption_token
    assert await one.ai.resume(token, ADA).track_feedback("positive")
    assert await other.ai.resume(token, ADA).track_feedback("positive")


async def test_two_clients_over_one_ledger_do() -> None:
    """Then the ledger decides, and there is one vote."""
    ld = RecordingClient()
    ledger = MemoryLedger(LDClientDestination(ld))
    ids = SequentialIds()
    one, other = (AIClient(ld, ledger=ledger, run_ids=ids, usage_events=False) for _ in range(2))
    token = (await one.completion_config("chat", ADA)).create_tracker().resumption_token
    assert await one.resume(token, ADA).track_feedback("positive")
    assert not await other.resume(token, ADA).track_feedback("positive")
    assert len(ld.events) == 1
