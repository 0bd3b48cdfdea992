"""The pytest plugin, in a project of somebody else's."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

QUIET = ("-p", "no:cacheprovider", "-W", "error")
APP = """
    from ldclient import Context

    ADA = Context.create("ada")


    async def answer(ai, chunks=("Hel", "lo")):
        async def source():
            for chunk in chunks:
                yield chunk

        config = await ai.completion_config("support-chat", ADA)
        tracker = config.create_tracker()
        text = "".join([chunk async for chunk in tracker.stream(source())])
        return text, config, tracker
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with an application and asynchronous tests."""
    pytester.makepyfile(app=APP)
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    return pytester


def test_three_lines(project: pytest.Pytester) -> None:
    """Set a flag, call the code, look at the events; every test has a recording of its own."""
    project.makepyfile(
        """
        import pytest
        from app import answer

        @pytest.mark.parametrize("again", [1, 2])
        async def test_answer(ldtrack_recording, again):
            ldtrack_recording.set_flag("support-chat", {"_ldMeta": {"enabled": True}})
            text, config, tracker = await answer(ldtrack_recording.ai)
            assert (text, config.enabled) == ("Hello", True)
            assert ldtrack_recording.names() == ["duration:total", "tokens:ttf", "generation:success"]
        """
    )
    project.runpytest_subprocess(*QUIET, "-p", "no:anyio").assert_outcomes(passed=2)


def test_flags_and_options_for_many_tests(project: pytest.Pytester) -> None:
    """Two fixtures may be overridden: the flags and the client's options that a recording starts with."""
    project.makepyfile(
        """
        import pytest
        from app import answer
        from ldtrack.testing import AsyncRecordingClient

        @pytest.fixture
        def ldtrack_flags():
            return {"support-chat": {"_ldMeta": {"enabled": True}}}

        @pytest.fixture
        def ldtrack_options():
            return {"client": AsyncRecordingClient(), "usage_events": True}

        async def test_answer(ldtrack_recording):
            text, config, tracker = await answer(ldtrack_recording.ai)
            assert config.enabled
            assert "usage:completion-config" in ldtrack_recording.names()
        """
    )
    project.runpytest_subprocess(*QUIET, "-p", "no:anyio").assert_outcomes(passed=1)


def test_what_is_left_open_is_closed(project: pytest.Pytester) -> None:
    """After the test the client is closed, in whatever state the test's loop is, and nothing complains."""
    project.makepyfile(
        """
        import pytest
        from app import ADA

        @pytest.fixture
        def afterwards(request):
            seen = []
            yield seen
            (recording,) = seen
            assert recording.ai.stats.open_calls == 0
            assert recording.names() == ["duration:total", "tokens:ttf"]
            assert recording.client.flushes == 1

        class Chunks:
            def __aiter__(self):
                return self

            async def __anext__(self):
                return "chunk"

        async def test_leaves_a_stream(afterwards, ldtrack_recording):
            afterwards.append(ldtrack_recording)
            config = await ldtrack_recording.ai.completion_config("support-chat", ADA)
            stream = config.create_tracker().stream(Chunks())
            await anext(stream)
            held.append(stream)

        held = []
        """
    )
    project.runpytest_subprocess(*QUIET, "-p", "no:anyio").assert_outcomes(passed=1)


@pytest.mark.parametrize("runner", ["asyncio", "anyio", "none"])
def test_strict(pytester: pytest.Pytester, runner: str) -> None:
    """A metric tracked twice fails the test, whichever plugin runs asynchronous tests, and without any."""
    pytester.makepyfile(app=APP)
    coroutine = """
        async def twice(ai):
            text, config, tracker = await answer(ai)
            await tracker.track_success()
    """
    tests = {
        "asyncio": """
        @pytest.mark.asyncio
        async def test_twice(ldtrack_strict, ldtrack_recording):
            with pytest.raises(DuplicateError):
                await twice(ldtrack_recording.ai)
        """,
        "anyio": """
        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_twice(ldtrack_strict, ldtrack_recording):
            with pytest.raises(DuplicateError):
                await twice(ldtrack_recording.ai)
        """,
        "none": """
        def test_twice(ldtrack_strict, ldtrack_recording):
            with pytest.raises(DuplicateError):
                asyncio.run(twice(ldtrack_recording.ai))
        """,
    }
    head = """
        import asyncio
        import pytest
        from app import answer
        from ldtrack import DuplicateError
    """
    pytester.makepyfile(head + coroutine + tests[runner])
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    off = {"asyncio": ["-p", "no:anyio"], "anyio": ["-p", "no:asyncio"], "none": ["-p", "no:asyncio"]}
    pytester.runpytest_subprocess("-p", "no:cacheprovider", *off[runner]).assert_outcomes(passed=1)


def test_the_plugin_is_found_and_tells_what_it_has(pytester: pytest.Pytester) -> None:
    """Installed means available; every fixture has a description."""
    found = pytester.runpytest_subprocess("--fixtures", "-p", "no:cacheprovider")
    for fixture in ("ldtrack_flags", "ldtrack_options", "ldtrack_recording", "ldtrack_strict"):
        found.stdout.re_match_lines([rf"{fixture} .*pytest_plugin.*"])
    assert "no docstring available" not in "\n".join(
        line for line in found.outlines if line.startswith("ldtrack_")
    )


def test_loading_the_plugin_loads_no_more_than_the_package() -> None:
    """A project that does not use the fixtures does not pay for the fakes behind them."""
    script = (
        "import sys, ldtrack; before = set(sys.modules);"
        "import ldtrack.pytest_plugin;"
        "new = set(sys.modules) - before;"
        "print(*[name for name in new if name.split('.')[0] in ('ldtrack', 'ldclient', 'anyio')])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["ldtrack.pytest_plugin"]
