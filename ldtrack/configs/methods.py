"""The methods that evaluate AI Configs, which ``AIClient`` takes over.

Rule for this file: report the use, evaluate the flag, hand the value to ``evaluate``, log what is wrong with
it. Only the method a user calls reports its use; what it evaluates besides stays silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
from ldclient import Context

from ldtrack.configs.evaluate import NewTracker, evaluate_agent, evaluate_completion, evaluate_judge
from ldtrack.configs.flags import Flags
from ldtrack.configs.types import (
    AIAgentConfig,
    AIAgentConfigDefault,
    AIAgentConfigRequest,
    AICompletionConfig,
    AICompletionConfigDefault,
    AIJudgeConfig,
    AIJudgeConfigDefault,
)
from ldtrack.core import events
from ldtrack.core.privacy import Privacy
from ldtrack.core.rendering import Interpolation
from ldtrack.core.token import is_unicode
from ldtrack.core.values import key_of
from ldtrack.tracking.recorder import Recorder
from ldtrack.tracking.sub_run import tracker_of
from ldtrack.tracking.tracker import Tracker

if TYPE_CHECKING:
    from ldtrack.core.events import Attribution, Event
    from ldtrack.typing import LaunchDarklyClient

__all__ = ["ConfigMethods", "chosen"]

T = TypeVar("T")
DefaultT = TypeVar("DefaultT", AICompletionConfigDefault, AIAgentConfigDefault, AIJudgeConfigDefault)
ConfigT = TypeVar("ConfigT", AICompletionConfig, AIAgentConfig, AIJudgeConfig)
Evaluate = Callable[[str, object, DefaultT, Interpolation | None, NewTracker], ConfigT]

_NO_COMPLETION: Final = AICompletionConfigDefault.disabled()
_NO_AGENT: Final = AIAgentConfigDefault.disabled()
_LONGEST_KEY: Final = 500
_NO_JUDGE: Final = AIJudgeConfigDefault.disabled()


class ConfigMethods:
    """Evaluates AI Configs."""

    def __init__(
        self,
        ld_client: LaunchDarklyClient,
        recorder: Recorder,
        *,
        escape_html: bool,
        privacy: Privacy,
        blocking_store: bool | None,
    ) -> None:
        self._recorder = recorder
        self._escape_html = escape_html
        self._privacy = privacy
        self._flags = Flags(
            ld_client,
            blocking_store=blocking_store,
            monotonic_ns=recorder.clock.monotonic_ns,
            noticed=recorder.hint,
        )

    def _note_usage(self, event: Event, context: Context) -> None:
        raise NotImplementedError  # pragma: no cover - the client says how

    async def completion_config(
        self,
        key: str,
        context: Context,
        default: AICompletionConfigDefault | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> AICompletionConfig:
        """Evaluate a completion config and render its messages.

        A malformed flag gives the default, and says so in ``problems``. Cancelling the wait leaves
        nothing behind but a usage event.
        """
        fallback = chosen(default, _NO_COMPLETION)
        self._report("completion-config", key, context)
        filling = self._filling(context, variables)
        return await self._config(key, context, fallback, evaluate_completion, filling)

    async def completion_config_template(
        self, key: str, context: Context, default: AICompletionConfigDefault | None = None
    ) -> AICompletionConfig:
        """Evaluate a completion config and leave its messages as templates.

        Cancelling the wait leaves nothing behind but a usage event.
        """
        fallback = chosen(default, _NO_COMPLETION)
        self._report("completion-config-template", key, context)
        return await self._config(key, context, fallback, evaluate_completion, None)

    async def agent_config(
        self,
        key: str,
        context: Context,
        default: AIAgentConfigDefault | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> AIAgentConfig:
        """Evaluate an agent config and render its instructions.

        A malformed flag gives the default, and says so in ``problems``. Cancelling the wait leaves
        nothing behind but a usage event.
        """
        fallback = chosen(default, _NO_AGENT)
        self._report("agent-config", key, context)
        filling = self._filling(context, variables)
        return await self._config(key, context, fallback, evaluate_agent, filling)

    async def agent_config_template(
        self, key: str, context: Context, default: AIAgentConfigDefault | None = None
    ) -> AIAgentConfig:
        """Evaluate an agent config and leave its instructions as a template.

        Cancelling the wait leaves nothing behind but a usage event.
        """
        fallback = chosen(default, _NO_AGENT)
        self._report("agent-config-template", key, context)
        return await self._config(key, context, fallback, evaluate_agent, None)

    async def agent_configs(
        self, requests: Iterable[AIAgentConfigRequest], context: Context
    ) -> dict[str, AIAgentConfig]:
        """Evaluate several agent configs, by key; of two requests for one key the later one counts.

        Cancelling the wait leaves nothing behind but a usage event.
        """
        listed = tuple(requests)
        for request in listed:
            if not isinstance(request, AIAgentConfigRequest):
                raise TypeError(f"agent_configs needs AIAgentConfigRequest objects, not {request!r}")
            _require_key(request.key)
        wanted = {request.key: request for request in listed}
        self._require_context(context)
        self._note_usage(events.usage_of_agents(len(listed)), context)
        evaluations = [
            self._config(
                request.key,
                context,
                request.default or _NO_AGENT,
                evaluate_agent,
                self._filling(context, request.variables),
            )
            for request in wanted.values()
        ]
        return dict(zip(wanted, await self._all(evaluations), strict=True))

    async def judge_config(
        self,
        key: str,
        context: Context,
        default: AIJudgeConfigDefault | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> AIJudgeConfig:
        """Evaluate a judge config and render its messages.

        A malformed flag gives the default, and says so in ``problems``. Cancelling the wait leaves
        nothing behind but a usage event.
        """
        fallback = chosen(default, _NO_JUDGE)
        self._report("judge-config", key, context)
        filling = self._filling(context, variables)
        return await self._config(key, context, fallback, evaluate_judge, filling)

    async def judge_config_template(
        self, key: str, context: Context, default: AIJudgeConfigDefault | None = None
    ) -> AIJudgeConfig:
        """Evaluate a judge config and leave its messages as templates.

        Cancelling the wait leaves nothing behind but a usage event.
        """
        fallback = chosen(default, _NO_JUDGE)
        self._report("judge-config-template", key, context)
        return await self._config(key, context, fallback, evaluate_judge, None)

    def _report(self, method: str, key: str, context: Context) -> None:
        _require_key(key)
        self._require_context(context)
        self._note_usage(events.usage_of_method(method, key), context)

    def _require_context(self, context: Context) -> None:
        if not isinstance(context, Context):
            raise TypeError(
                f"context must be an ldclient.Context, not {context!r} ({type(context).__name__})"
            )

    def _filling(self, context: Context, variables: Mapping[str, Any] | None) -> Interpolation:
        return Interpolation(
            variables=variables,
            context=context.to_dict,
            privacy=self._privacy,
            escape_html=self._escape_html,
        )

    async def _config(
        self,
        key: str,
        context: Context,
        default: DefaultT,
        evaluate: Evaluate[DefaultT, ConfigT],
        filling: Interpolation | None,
        *,
        graph_key: str = "",
    ) -> ConfigT:
        served, failures = await self._served(key, context, default)

        def new_tracker(attribution: Attribution, parent_run_id: str | None = None) -> Tracker:
            if parent_run_id is None and not graph_key:  # nearly always, and so without a further call
                return Tracker(self._recorder, attribution, context)
            if graph_key:
                attribution = attrs.evolve(attribution, graph_key=graph_key)
            return tracker_of(self._recorder, attribution, context, parent_run_id=parent_run_id)

        config = evaluate(key, served, default, filling, new_tracker)
        problems = failures + config.problems
        if problems:
            said = " ".join(problems)
            self._recorder.hint(f"flag {key}: {said}", f"AI Config {key!r} has problems: {said}")
        return attrs.evolve(config, problems=problems) if failures else config

    async def _all(self, evaluations: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """The results of several evaluations, made at once where that is any use; cancelling stops them."""
        if self._flags.may_wait:
            return await asyncio.gather(*evaluations)
        return [await evaluation for evaluation in evaluations]

    async def _served(self, key: str, context: Context, default: DefaultT) -> tuple[Any, tuple[str, ...]]:
        """The flag's value, or the default's and why.

        The SDK means never to raise; it does when its store fails before the first flags have arrived.
        """
        fallback = default.to_dict()
        try:
            return await self._flags.value(key, context, fallback), ()
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller named a default for it
            failure = f"The flag could not be evaluated ({type(error).__name__})."
            return fallback, (failure, "So the caller's default is used.")


def chosen(default: DefaultT | None, disabled: DefaultT) -> DefaultT:
    """The caller's default, or the disabled one if there is none."""
    if default is None:
        return disabled
    if not isinstance(default, type(disabled)):
        raise TypeError(
            f"default must be an ldtrack.{type(disabled).__name__} or None, not {default!r} "
            f"({type(default).__name__})"
        )
    return default


def _require_key(key: str) -> None:
    """Refuse a key that no resumption token could carry."""
    if not is_unicode(key_of(key, "the key of an AI Config")):
        raise ValueError(f"the key of an AI Config must be valid Unicode, not {key!r}: a lone surrogate")
    if len(key) > _LONGEST_KEY:
        raise ValueError(f"the key of an AI Config has at most {_LONGEST_KEY} characters, not {len(key)}")
