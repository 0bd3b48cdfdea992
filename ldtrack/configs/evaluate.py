"""From what a flag serves to the config a user gets.

Rule for this file: plain functions that decide; evaluating flags, counting usage and logging is the client's.
They never raise, whatever was served.

What is used when, for all modes:

=====================  ============================================================================
the flag is            the config has
=====================  ============================================================================
fine                   what was served
missing                the default's values, which the SDK returns; through the same parser
malformed, or of       the default's values, with the problems; its runs are attributed to the
another mode           default's model, version 1 and no variation, as if the flag were missing
=====================  ============================================================================

An agent that is served without instructions, model or provider has the default's instead.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import attrs

from ldtrack.configs.types import (
    AIAgentConfig,
    AIAgentConfigDefault,
    AICompletionConfig,
    AICompletionConfigDefault,
    AIJudgeConfig,
    AIJudgeConfigDefault,
)
from ldtrack.core.events import Attribution
from ldtrack.core.models import JudgeConfiguration
from ldtrack.core.rendering import Interpolation, Rendered, render_variation
from ldtrack.core.variation import Rejected, Variation, parse_variation
from ldtrack.tracking.tracker import Tracker

__all__ = ["NewTracker", "evaluate_agent", "evaluate_completion", "evaluate_judge"]

NewTracker = Callable[..., Tracker]
"""Makes the tracker of a new run, given its attribution and, if it is part of another run, that one's id; who
records it and for which context is the client's to know."""

_NO_JUDGES: Final = JudgeConfiguration(())


def evaluate_completion(
    key: str,
    served: object,
    default: AICompletionConfigDefault,
    interpolation: Interpolation | None,
    new_tracker: NewTracker,
) -> AICompletionConfig:
    """The completion config of that key; without an interpolation its messages stay templates."""
    fallback = Variation(
        mode="completion",
        enabled=bool(default.enabled),
        model=default.model,
        provider=default.provider,
        messages=default.messages,
        judge_configuration=default.judge_configuration,
        tools=default.tools,
    )
    config = _Evaluated.of(key, served, fallback, interpolation)
    return AICompletionConfig(
        key=key,
        enabled=config.variation.enabled,
        model=config.variation.model,
        provider=config.variation.provider,
        messages=config.texts.messages,
        judge_configuration=config.judges,
        tools=config.variation.tools or None,
        problems=config.problems,
        new_tracker=partial(new_tracker, config.attribution),
    )


def evaluate_agent(
    key: str,
    served: object,
    default: AIAgentConfigDefault,
    interpolation: Interpolation | None,
    new_tracker: NewTracker,
) -> AIAgentConfig:
    """The agent config of that key; without an interpolation its instructions stay a template."""
    fallback = Variation(
        mode="agent",
        enabled=bool(default.enabled),
        model=default.model,
        provider=default.provider,
        instructions=default.instructions,
        judge_configuration=default.judge_configuration,
        tools=default.tools,
    )
    config = _Evaluated.of(key, served, fallback, interpolation)
    return AIAgentConfig(
        key=key,
        enabled=config.variation.enabled,
        model=config.variation.model,
        provider=config.variation.provider,
        instructions=config.texts.instructions,
        judge_configuration=config.judges or _NO_JUDGES,
        tools=config.variation.tools or None,
        problems=config.problems,
        new_tracker=partial(new_tracker, config.attribution),
    )


def evaluate_judge(
    key: str,
    served: object,
    default: AIJudgeConfigDefault,
    interpolation: Interpolation | None,
    new_tracker: NewTracker,
) -> AIJudgeConfig:
    """The judge config of that key; without an interpolation it keeps all its messages, as templates.

    The official Python SDK drops the messages that show what is judged from the templates too, against its
    own documentation; its JavaScript sibling does not.
    """
    fallback = Variation(
        mode="judge",
        enabled=bool(default.enabled),
        model=default.model,
        provider=default.provider,
        messages=default.messages,
        evaluation_metric_key=(default.evaluation_metric_key or "").strip() or None,
    )
    config = _Evaluated.of(key, served, fallback, interpolation)
    return AIJudgeConfig(
        key=key,
        enabled=config.variation.enabled,
        model=config.variation.model,
        provider=config.variation.provider,
        messages=config.texts.messages,
        evaluation_metric_key=config.variation.evaluation_metric_key,
        problems=config.problems,
        new_tracker=partial(new_tracker, config.attribution),
    )


@attrs.frozen
class _Evaluated:
    """What all modes have in common: which variation counts, its texts, and what its runs belong to."""

    variation: Variation
    texts: Rendered
    problems: tuple[str, ...]
    attribution: Attribution

    @classmethod
    def of(
        cls, key: str, served: object, fallback: Variation, interpolation: Interpolation | None
    ) -> _Evaluated:
        variation, problems = _chosen(served, fallback)
        if interpolation is None:
            texts = Rendered(variation.messages, variation.instructions)
        else:
            texts = render_variation(variation, interpolation)
        return cls(variation, texts, (*problems, *texts.problems), _attribution(key, variation))

    @property
    def judges(self) -> JudgeConfiguration | None:
        """The attached judges, if there are any."""
        judges = self.variation.judge_configuration
        return judges if judges is not None and judges.judges else None


def _chosen(served: object, fallback: Variation) -> tuple[Variation, tuple[str, ...]]:
    """The variation to use, and what was wrong with the one that was served."""
    parsed = parse_variation(served, fallback.mode)
    if isinstance(parsed, Rejected):
        return fallback, (*parsed.problems, "So the caller's default is used.")
    return _completed(parsed, fallback) if parsed.mode == "agent" else parsed, parsed.problems


def _completed(served: Variation, fallback: Variation) -> Variation:
    """An agent with the parts it was served without.

    The official SDK fills them in, too, but only afterwards: the instructions keep their placeholders, and
    events name no model. Ours are rendered like any others, and events name the model that is really called:
    the key and version of a registered model go when the model that is used is not the served one.
    """
    lacks_model = served.model is None and fallback.model is not None
    return attrs.evolve(
        served,
        model=served.model or fallback.model,
        provider=served.provider or fallback.provider,
        instructions=served.instructions if served.instructions is not None else fallback.instructions,
        model_key="" if lacks_model else served.model_key,
        model_version=None if lacks_model else served.model_version,
    )


def _attribution(key: str, variation: Variation) -> Attribution:
    return Attribution(
        config_key=key,
        version=variation.version,
        variation_key=variation.variation_key,
        model_name="" if variation.model is None else variation.model.name,
        provider_name="" if variation.provider is None else variation.provider.name,
        model_key=variation.model_key,
        model_version=variation.model_version,
    )
