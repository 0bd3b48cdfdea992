"""The methods that make managed models, agents and judges, which ``AIClient`` takes over.

Rule for this file: report the use, evaluate the config, find a runner, put the parts together. What is
evaluated besides stays silent. It is imported with every client, and imports the parts when they are needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
from ldclient import Context

from ldtrack.agents.policy import JudgePolicy
from ldtrack.agents.registry import RunnerRegistry, candidates_of
from ldtrack.configs.evaluate import evaluate_agent, evaluate_completion, evaluate_judge
from ldtrack.configs.graph_methods import GraphMethods
from ldtrack.configs.methods import chosen
from ldtrack.configs.types import (
    AIAgentConfig,
    AIAgentConfigDefault,
    AICompletionConfig,
    AICompletionConfigDefault,
    AIJudgeConfig,
    AIJudgeConfigDefault,
)
from ldtrack.core.models import JudgeConfiguration

if TYPE_CHECKING:
    from ldtrack.agents.evaluator import Evaluator, Judging
    from ldtrack.agents.judge import Judge
    from ldtrack.agents.managed import ManagedAgent, ManagedModel
    from ldtrack.running import RunnerFactory, Tools

__all__ = ["ManagedMethods", "Managing"]

T = TypeVar("T")
_NO_COMPLETION: Final = AICompletionConfigDefault.disabled()
_NO_AGENT: Final = AIAgentConfigDefault.disabled()
_NO_JUDGE: Final = AIJudgeConfigDefault.disabled()


@attrs.define(eq=False)
class Managing:
    """What a client keeps for its managed models, agents and judges."""

    runners: RunnerRegistry
    failed: Callable[[str, BaseException], None]
    _policy: JudgePolicy
    _settle_timeout: float
    _judging: Judging | None = None
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    @classmethod
    def of(
        cls,
        runners: Mapping[str, RunnerFactory] | None,
        policy: JudgePolicy,
        failed: Callable[[str, BaseException], None],
        settle_timeout: float,
    ) -> Managing:
        """What a client keeps that was given these options."""
        return cls(RunnerRegistry(runners), failed, policy, settle_timeout)

    @property
    def judging(self) -> Judging:
        """What all evaluators share, from the first one on."""
        from ldtrack.agents.evaluator import Judging  # noqa: PLC0415 - many clients manage nothing
        from ldtrack.agents.jobs import Jobs  # noqa: PLC0415 - as above

        with self._lock:
            if self._judging is None:
                self._judging = Judging(
                    policy=self._policy,
                    jobs=Jobs(self.failed),
                    failed=self.failed,
                    settle_timeout=self._settle_timeout,
                )
            return self._judging

    async def finish(self, timeout: float) -> None:
        """Let judges finish for at most so long; cancelling gives them up at once."""
        if self._judging is not None:
            await self._judging.jobs.drain(timeout)

    async def aclose(self) -> None:
        """Close what the runners' factories hold; cancelling leaves the rest to the garbage collector."""
        try:
            await self.runners.aclose()
        except Exception as error:  # noqa: BLE001 - C5: closing must not hide what the app raised
            self.failed("close", error)


class ManagedMethods(GraphMethods):
    """Makes managed models, agents and judges."""

    _managing: Managing

    async def create_model(
        self,
        key: str,
        context: Context,
        default: AICompletionConfigDefault | None = None,
        variables: Mapping[str, Any] | None = None,
        default_ai_provider: str | None = None,
        *,
        tools: Tools | None = None,
    ) -> ManagedModel | None:
        """Evaluate a completion config, and make a model that runs it; ``None`` if it is disabled.

        ``default_ai_provider`` names the only provider to ask. ``tools`` are called when the model asks for
        them; without it that is left to you. Raises ``NoRunnerError`` if no runner fits. Cancelling the wait
        leaves nothing behind but a usage event.
        """
        fallback = chosen(default, _NO_COMPLETION)
        self._report("create-model", key, context)
        filling = self._filling(context, variables)
        config = await self._config(key, context, fallback, evaluate_completion, filling)
        if not config.enabled:
            return None
        offer = {} if tools is None else {"tools": tools}
        runner = self._runner(config, default_ai_provider, lambda made: made.create_model(config, **offer))
        judges = self._evaluator(config.judge_configuration, context, variables, default_ai_provider)
        from ldtrack.agents.managed import ManagedModel  # noqa: PLC0415 - many clients manage nothing

        return ManagedModel(config, runner, judges)

    async def create_agent(  # noqa: PLR0917 - the order is that of LaunchDarkly's SDK
        self,
        key: str,
        context: Context,
        tools: Tools | None = None,
        default: AIAgentConfigDefault | None = None,
        variables: Mapping[str, Any] | None = None,
        default_ai_provider: str | None = None,
    ) -> ManagedAgent | None:
        """Evaluate an agent config, and make an agent that runs it with these tools; ``None`` if disabled.

        ``default_ai_provider`` names the only provider to ask. Raises ``NoRunnerError`` if no runner fits.
        Cancelling the wait leaves nothing behind but a usage event.
        """
        fallback = chosen(default, _NO_AGENT)
        self._report("create-agent", key, context)
        filling = self._filling(context, variables)
        config = await self._config(key, context, fallback, evaluate_agent, filling)
        if not config.enabled:
            return None

        def make(factory: Any) -> Any:
            if not hasattr(factory, "create_agent"):
                raise TypeError("it runs models, but no agents")
            return factory.create_agent(config, tools or {})

        runner = self._runner(config, default_ai_provider, make)
        judges = self._evaluator(config.judge_configuration, context, variables, default_ai_provider)
        from ldtrack.agents.managed import ManagedAgent  # noqa: PLC0415 - many clients manage nothing

        return ManagedAgent(config, runner, judges)

    async def create_judge(
        self,
        key: str,
        context: Context,
        default: AIJudgeConfigDefault | None = None,
        variables: Mapping[str, Any] | None = None,
        default_ai_provider: str | None = None,
    ) -> Judge | None:
        """Evaluate a judge config, and make a judge of it; ``None`` if it is disabled.

        The variables ``message_history`` and ``response_to_evaluate`` are the judge's own. Raises
        ``NoRunnerError`` if no runner fits. Cancelling the wait leaves nothing behind but a usage event.
        """
        fallback = chosen(default, _NO_JUDGE)
        self._report("create-judge", key, context)
        return await self._judge(key, context, fallback, variables, default_ai_provider)

    async def _judge(
        self,
        key: str,
        context: Context,
        default: AIJudgeConfigDefault,
        variables: Mapping[str, Any] | None,
        default_ai_provider: str | None,
        *,
        is_only: bool = True,
    ) -> Judge | None:
        filling = self._filling(context, variables)
        config = await self._config(key, context, default, evaluate_judge, filling)
        if not config.enabled:
            return None
        runner = self._runner(
            config, default_ai_provider, lambda made: made.create_model(config), is_only=is_only
        )
        from ldtrack.agents.judge import Judge  # noqa: PLC0415 - many clients manage nothing

        return Judge(config, runner)

    def _runner(
        self,
        config: AICompletionConfig | AIAgentConfig | AIJudgeConfig,
        default_ai_provider: str | None,
        make: Callable[[Any], T | None],
        *,
        is_only: bool = True,
    ) -> T:
        provider = "" if config.provider is None else config.provider.name
        candidates = candidates_of(default_ai_provider, provider, is_only=is_only)
        return self._managing.runners.create(candidates, make, f"the AI Config {config.key!r}")

    def _evaluator(
        self,
        judges: JudgeConfiguration | None,
        context: Context,
        variables: Mapping[str, Any] | None,
        default_ai_provider: str | None,
    ) -> Evaluator:
        async def make_judge(key: str) -> Judge | None:
            # The choice was made for what is judged: a framework of agents runs no plain models.
            return await self._judge(key, context, _NO_JUDGE, variables, default_ai_provider, is_only=False)

        from ldtrack.agents.evaluator import Evaluator  # noqa: PLC0415 - many clients manage nothing

        return Evaluator(judges, make_judge, self._managing.judging)
