"""The parts of the runners: tools, clients, and who is asked to make one."""

from __future__ import annotations

import asyncio
import functools
import threading
from importlib.metadata import EntryPoint
from typing import Any

import anthropic
import openai
import pytest
from ldclient import Context

from ldtrack import AIClient, NoRunnerError
from ldtrack.agents.registry import candidates_of
from ldtrack.core.models import LDTool
from ldtrack.providers.runners.anthropic import AnthropicRunners
from ldtrack.providers.runners.clients import Clients
from ldtrack.providers.runners.openai import OpenAIRunners
from ldtrack.providers.runners.tools import Toolbox, ToolRequest
from ldtrack.testing import FakeRunners, RecordingClient, recording

ADA = Context.create("ada")
FLAG = {"_ldMeta": {"enabled": True}, "provider": {"name": "OpenAI"}, "model": {"name": "gpt"}}
AGENT = {**FLAG, "_ldMeta": {"enabled": True, "mode": "agent"}}


class Config:
    key = "agent"
    tools = {"a-key": LDTool("a"), "b": LDTool("b")}  # noqa: RUF012 - never changed


def box(**functions: Any) -> Toolbox:
    return Toolbox.of(Config, functions)


async def use(toolbox: Toolbox, *calls: tuple[str, Any]) -> list[str]:
    return await toolbox.use([ToolRequest(str(at), name, args) for at, (name, args) in enumerate(calls)])


class TestTools:
    """What is offered, and what is called."""

    def test_tools_without_functions_are_not_offered(self, caplog: pytest.LogCaptureFixture) -> None:
        """A flag may be ahead of the code: it is said, and the rest works. Keys are names, too."""
        toolbox = Toolbox.of(Config, {"a-key": print})
        assert [tool.name for tool in toolbox.offered] == ["a"]
        assert "The tool 'b' of AI Config 'agent' has no function" in caplog.text

    def test_what_is_no_function_raises(self) -> None:
        """At once, and not when the model calls it."""
        with pytest.raises(TypeError, match=r"tools\['b'\] must be a function, not 7"):
            box(a=print, b=7)

    async def test_plain_functions_have_a_thread_of_their_own(self) -> None:
        """One that blocks does not block the loop."""
        assert await use(box(a=threading.get_ident, b=print), ("a", "")) != [str(threading.get_ident())]

    async def test_whatever_can_be_awaited_is(self) -> None:
        """Coroutine functions, objects called like one, functions that return something awaitable."""

        class Callable:
            async def __call__(self) -> str:
                return f"in {threading.current_thread().name}"

        async def later() -> str:
            return "later"

        toolbox = box(a=Callable(), b=functools.partial(later))
        main = threading.current_thread().name
        assert await use(toolbox, ("a", None), ("b", {})) == [f"in {main}", "later"]

    async def test_results_are_text(self) -> None:
        """A text as it is, all else as JSON; what JSON does not know by its own word for itself."""

        async def b() -> Any:
            return {"ü": [1, None], "where": ADA.key, "what": complex(1)}

        async def a() -> Any:
            return "text"

        assert await use(box(a=a, b=b), ("a", "{}"), ("b", "{}")) == [
            "text",
            '{"ü": [1, null], "where": "ada", "what": "(1+0j)"}',
        ]

    @pytest.mark.parametrize("arguments", ["{", "[1]", "7", pytest.param('{"a":' * 100_000, id="nested")])
    async def test_arguments_that_are_no_object_are_told_to_the_model(self, arguments: str) -> None:
        """The tool is not called."""
        called: list[Any] = []
        assert await use(box(a=called.append, b=print), ("a", arguments)) == [
            "The arguments are not a JSON object."
        ]
        assert called == []

    @pytest.mark.parametrize(
        ("arguments", "wrong"),
        [
            ({"city": "Bern", "when": 1}, "got an unexpected keyword argument 'when'"),
            ("", "missing a required argument: 'city'"),
        ],
    )
    async def test_arguments_that_do_not_fit_are_told_to_the_model(self, arguments: Any, wrong: str) -> None:
        """One that is invented, and one that is missing; neither kind of function is called."""
        called: list[str] = []

        async def a(city: str) -> None:
            called.append(city)

        def b(city: str) -> None:
            called.append(city)

        answers = await use(box(a=a, b=b), ("a", arguments), ("b", arguments))
        assert answers == [f"The arguments do not fit: {wrong}."] * 2
        assert called == []

    async def test_a_type_error_inside_a_tool_is_the_app_s(self) -> None:
        """It passes as it is."""

        async def a() -> None:
            raise TypeError("mine")

        with pytest.raises(TypeError, match="mine"):
            await use(box(a=a, b=print), ("a", {}))

    async def test_a_function_that_does_not_say_what_it_takes_is_called(self) -> None:
        """Some built in ones do not."""
        assert await use(box(a=dict, b=print), ("a", {"x": 1})) == ['{"x": 1}']

    async def test_a_plain_function_that_raises_stop_iteration(self) -> None:
        """It would have been waited for without end."""

        def a() -> Any:
            return next(iter([]))

        with pytest.raises(RuntimeError, match="a tool raised StopIteration"):
            await asyncio.wait_for(use(box(a=a, b=print), ("a", {})), 10)

    async def test_the_first_error_stops_the_others(self) -> None:
        """It passes as it is, in no group, once the others have ended."""
        ended = []

        async def a() -> None:
            raise KeyError("mine")

        async def b() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("b")

        with pytest.raises(KeyError, match="mine"):
            await use(box(a=a, b=b), ("b", {}), ("a", {}))
        assert ended == ["b"]


class TestClients:
    """Whose client, and whose to close."""

    def test_each_loop_has_a_client_of_ours(self) -> None:
        """Connections belong to a loop; what was made is closed, what was given is not."""
        made: list[Any] = []

        class Client:
            is_closed = False

            def __init__(self) -> None:
                made.append(self)

            async def close(self) -> None:
                self.is_closed = True

        clients: Clients[Client] = Clients(None, Client)

        async def twice() -> None:
            assert clients.get() is clients.get()
            await clients.aclose()
            await clients.aclose()

        asyncio.run(twice())
        asyncio.run(twice())
        assert [client.is_closed for client in made] == [True, True]

    async def test_a_given_client_is_used_and_left_open(self) -> None:
        """Who made it closes it."""
        mine = object()
        clients: Clients[Any] = Clients(mine, lambda: pytest.fail("nobody asked for another"))
        assert clients.get() is mine
        await clients.aclose()

    async def test_a_client_that_closes_without_waiting(self) -> None:
        """There are such."""
        closed: list[str] = []

        class Client:
            def close(self) -> None:
                closed.append("once")

        clients: Clients[Any] = Clients(None, Client)
        clients.get()
        await clients.aclose()
        assert closed == ["once"]

    @pytest.mark.parametrize(
        ("make", "client"),
        [
            (OpenAIRunners, openai.OpenAI(api_key="none")),
            (AnthropicRunners, anthropic.Anthropic(api_key="none")),
        ],
    )
    def test_a_synchronous_client_is_refused(self, make: Any, client: Any) -> None:
        """It would block the loop at every call."""
        with pytest.raises(TypeError, match="client must be asynchronous, such as Async"):
            make(client)

    async def test_the_default_client_is_made_at_the_first_call(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a key the provider's own error says so, and is recorded; the model can be made."""
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)
        ld = recording({"chat": FLAG})
        model = await ld.ai.create_model("chat", ADA)
        assert model is not None
        with pytest.raises(openai.OpenAIError, match="OPENAI_API_KEY"):
            await model.run("Hi")
        assert "generation:error" in ld.names()
        await ld.ai.aclose()

    @pytest.mark.parametrize(
        ("runners", "flag"), [(OpenAIRunners, "OPENAI"), (AnthropicRunners, "ANTHROPIC")]
    )
    async def test_a_client_of_ours_is_closed_with_the_ai_client(
        self, runners: Any, flag: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The factory that holds it is told."""
        monkeypatch.setenv(f"{flag}_API_KEY", "none")
        factory = runners()
        client = factory._clients.get()
        async with AIClient(RecordingClient(), runners={"acme": factory}):
            assert not client.is_closed()
        assert client.is_closed()


class TestWhoIsAsked:
    """The order of the candidates, and why none fits."""

    @pytest.mark.parametrize(
        ("choice", "provider", "candidates"),
        [
            (None, "OpenAI", ("openai", "langchain")),
            (None, "langchain", ("langchain",)),
            (None, "", ("langchain",)),
            ("Anthropic", "openai", ("anthropic",)),
        ],
    )
    def test_the_order(self, choice: str | None, provider: str, candidates: tuple[str, ...]) -> None:
        """The caller's choice alone; else the config's provider, then LangChain."""
        assert candidates_of(choice, provider) == candidates

    async def test_what_is_installed_is_found_by_its_entry_point(self) -> None:
        """The package's own are registered like anybody else's."""
        ld = recording({"chat": FLAG, "agent": AGENT})
        model = await ld.ai.create_model("chat", ADA)
        assert repr(model) == "<ManagedModel 'chat' on ChatRunner>"
        assert "OpenAIDialect" in repr(model.runner if model else None)
        agent = await ld.ai.create_agent("agent", ADA, default_ai_provider="anthropic")
        assert "AnthropicDialect" in repr(agent.runner if agent else None)

    async def test_the_app_s_own_go_first(self) -> None:
        """Under whatever case of letters."""
        ld = recording({"chat": FLAG}, runners={"OPENAI": FakeRunners("Hi")})
        model = await ld.ai.create_model("chat", ADA)
        assert "FakeRunner" in repr(model)

    async def test_third_parties_register_theirs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An entry point of a factory, or of a class of one, is all it takes."""
        module = type(FakeRunners("x"))
        points = {
            "one": EntryPoint("one", "tests_fake:factory", "ldtrack.runners"),
            "two": EntryPoint("two", "tests_fake:Factory", "ldtrack.runners"),
        }
        offered: dict[str, Any] = {
            "one": module("One."),
            "two": type("Two", (module,), {"__init__": lambda self: module.__init__(self, "Two.")}),
        }
        monkeypatch.setattr(EntryPoint, "load", lambda self: offered[self.name])
        monkeypatch.setattr(
            "importlib.metadata.entry_points", lambda group, name: [points[name]] if name in points else []
        )
        ld = recording({"chat": FLAG})
        for name in points:
            model = await ld.ai.create_model("chat", ADA, default_ai_provider=name)
            assert model is not None
            assert (await model.run("Hi")).content == f"{name.title()}."

    async def test_nobody_fits_and_it_says_why(self) -> None:
        """A sentence for each: declined, failed, unknown, without agents."""

        class Declines:
            def create_model(self, config: Any, tools: Any = None) -> None:
                return None

        class Fails:
            def create_model(self, config: Any, tools: Any = None) -> None:
                raise KeyError

        for factory, reason in ((Declines(), "its factory declined"), (Fails(), "KeyError")):
            ld = recording({"chat": FLAG, "agent": AGENT}, runners={"openai": factory, "langchain": factory})
            with pytest.raises(NoRunnerError, match=rf"'chat'.* openai: {reason}\. langchain: {reason}\."):
                await ld.ai.create_model("chat", ADA)
            with pytest.raises(NoRunnerError, match="openai: it runs models, but no agents"):
                await ld.ai.create_agent("agent", ADA)
            with pytest.raises(NoRunnerError, match="nobody: nobody offers a runner under this name"):
                await ld.ai.create_model("chat", ADA, default_ai_provider="nobody")

    @pytest.mark.parametrize("provider", ["openai", "anthropic", "langchain"])
    async def test_a_config_without_a_model_cannot_be_run(self, provider: str) -> None:
        """It says so when the model is made, not when it is asked."""
        flag = {"_ldMeta": {"enabled": True}, "provider": {"name": provider}}
        with pytest.raises(NoRunnerError, match=f"{provider}: the config names no model"):
            await recording({"chat": flag}).ai.create_model("chat", ADA)

    @pytest.mark.parametrize("wrong", [FakeRunners, object(), None])
    def test_what_is_no_factory_raises_when_it_is_given(self, wrong: Any) -> None:
        """A class in place of an instance, most of all."""
        with pytest.raises(TypeError, match=r"runners\['openai'\] must be a factory"):
            recording(runners={"openai": wrong})

    async def test_a_factory_that_cannot_be_closed_is_counted(self) -> None:
        """Closing the client goes on."""

        class Stuck(FakeRunners):
            async def aclose(self) -> None:
                raise OSError("stuck")

        ld = recording({"chat": FLAG}, runners={"openai": Stuck("Hi")})
        await ld.ai.aclose()
        assert ld.ai.stats.failures == {"close": 1}

    @pytest.mark.parametrize("method", ["create_model", "create_agent", "create_judge"])
    async def test_a_disabled_config_gives_none(self, method: str) -> None:
        """And a missing one; the use is reported under the method's name, and nothing else is."""
        ld = recording({"off": {"_ldMeta": {"enabled": False}}}, usage_events=True)
        before = len(ld.events)
        assert await getattr(ld.ai, method)("off", ADA) is None
        assert await getattr(ld.ai, method)("missing", ADA) is None
        assert ld.names()[before:] == [f"usage:{method.replace('_', '-')}"] * 2
        assert [event.data for event in ld.events[before:]] == ["off", "missing"]

    @pytest.mark.parametrize("method", ["create_model", "create_agent", "create_judge"])
    async def test_a_default_of_the_wrong_type_raises(self, method: str) -> None:
        """Before anything is reported."""
        ld = recording(usage_events=True)
        before = len(ld.events)
        with pytest.raises(TypeError, match="default must be an ldtrack"):
            await getattr(ld.ai, method)("key", ADA, default={"enabled": True})
        assert len(ld.events) == before

    def test_a_script_without_answers_raises(self) -> None:
        """A fake that has nothing to say is a mistake."""
        with pytest.raises(ValueError, match="at least one answer"):
            FakeRunners()
