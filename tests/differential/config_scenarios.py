"""What evaluating AI Configs does, on both SDKs.

Rule for this file: well-formed flags and defaults, prompts, and the events about the use of the SDK. Flags
that are malformed have `malformed_scenarios`.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ldclient import Context

from .harness import differs, same
from .sides import ADA, Side

COMPANY = {"company": "Acme", "items": [{"name": "mails"}, {"name": "notes"}]}


def completion_default(side: Side) -> Any:
    new = side.types
    return new.AICompletionConfigDefault(
        enabled=True,
        model=new.ModelConfig("own", {"temperature": 1}, {"owner": "us"}),
        provider=new.ProviderConfig("self"),
        messages=[new.LDMessage("system", "Fallback for {{company}}.")],
        judge_configuration=new.JudgeConfiguration([new.JudgeConfiguration.Judge("missing", 0.25)]),
        tools={"search": new.LDTool("search", "Searches.", "function", {"a": 1}, {"b": 2})},
    )


def agent_default(side: Side) -> Any:
    new = side.types
    return new.AIAgentConfigDefault(
        enabled=True,
        model=new.ModelConfig("own"),
        provider=new.ProviderConfig("self"),
        instructions="Fallback for {{topic}}.",
        tools={"search": new.LDTool("search")},
    )


def judge_default(side: Side) -> Any:
    new = side.types
    return new.AIJudgeConfigDefault(
        enabled=True,
        model=new.ModelConfig("own"),
        messages=[
            new.LDMessage("system", "Fallback on {{quality}}."),
            new.LDMessage("user", "{{message_history}}"),
        ],
        evaluation_metric_key="own-metric",
    )


async def config_and_run(side: Side, pending: Any) -> Any:
    """A config, and one event of a run of it, which shows to what it is attributed."""
    config = await side.call(lambda: pending)
    await side.call(config.create_tracker().track_success)
    return config


# Served


@same()
async def a_completion(side: Side) -> Any:
    return await config_and_run(side, side.ai.completion_config("chat", ADA, variables=COMPANY))


@same()
async def a_completion_without_variables(side: Side) -> Any:
    return await config_and_run(side, side.ai.completion_config("chat", ADA))


@same()
async def a_completion_with_a_default_that_is_not_needed(side: Side) -> Any:
    default = completion_default(side)
    return await config_and_run(side, side.ai.completion_config("chat", ADA, default, COMPANY))


@same()
async def a_completion_template(side: Side) -> Any:
    return await config_and_run(side, side.ai.completion_config_template("chat", ADA))


@same()
async def a_bare_completion(side: Side) -> Any:
    return await config_and_run(side, side.ai.completion_config("bare", ADA, completion_default(side)))


@same()
async def a_disabled_completion(side: Side) -> Any:
    return await config_and_run(side, side.ai.completion_config("disabled", ADA, completion_default(side)))


@same()
async def tools_in_the_models_parameters(side: Side) -> Any:
    return await config_and_run(side, side.ai.completion_config("legacy-tools", ADA))


@same()
async def an_agent(side: Side) -> Any:
    return await config_and_run(side, side.ai.agent_config("agent", ADA, variables={"topic": "bees"}))


@same()
async def an_agent_template(side: Side) -> Any:
    return await config_and_run(side, side.ai.agent_config_template("agent", ADA))


@same()
async def a_judge(side: Side) -> Any:
    return await config_and_run(side, side.ai.judge_config("judge", ADA, variables={"quality": "wit"}))


@same()
async def a_judge_with_reserved_variables(side: Side) -> Any:
    variables = {"quality": "wit", "message_history": "forged", "response_to_evaluate": "forged"}
    return await config_and_run(side, side.ai.judge_config("judge", ADA, variables=variables))


@same()
async def several_agents(side: Side) -> Any:
    new = side.types.AIAgentConfigRequest
    requests = [
        new("agent", variables={"topic": "bees"}),
        new("no-such-flag", agent_default(side), {"topic": "ants"}),
        new("bare"),
    ]
    configs = await side.call(side.ai.agent_configs, requests, ADA)
    for config in configs.values():
        await side.call(config.create_tracker().track_success)
    return configs


@same()
async def no_agents(side: Side) -> Any:
    return await side.call(side.ai.agent_configs, [], ADA)


@same()
async def one_agent_asked_for_twice(side: Side) -> Any:
    new = side.types.AIAgentConfigRequest
    requests = [new("agent", variables={"topic": topic}) for topic in ("bees", "ants")]
    return await side.call(side.ai.agent_configs, requests, ADA)


@same()
async def an_agent_asked_for_as_a_completion_without_a_mode(side: Side) -> Any:
    return await config_and_run(side, side.ai.agent_config("bare", ADA))


# Missing


@same()
async def a_missing_completion(side: Side) -> Any:
    return await config_and_run(side, side.ai.completion_config("no-such-flag", ADA))


@same()
async def a_missing_completion_with_a_default(side: Side) -> Any:
    default = completion_default(side)
    return await config_and_run(side, side.ai.completion_config("no-such-flag", ADA, default, COMPANY))


@same()
async def a_missing_completion_template_with_a_default(side: Side) -> Any:
    default = completion_default(side)
    return await config_and_run(side, side.ai.completion_config_template("no-such-flag", ADA, default))


@same()
async def a_missing_completion_whose_default_says_little(side: Side) -> Any:
    default = side.types.AICompletionConfigDefault(model=side.types.ModelConfig("own"))
    return await config_and_run(side, side.ai.completion_config("no-such-flag", ADA, default))


@same()
async def a_missing_agent(side: Side) -> Any:
    return await config_and_run(side, side.ai.agent_config("no-such-flag", ADA))


@same()
async def a_missing_agent_with_a_default(side: Side) -> Any:
    default = agent_default(side)
    return await config_and_run(side, side.ai.agent_config("no-such-flag", ADA, default, {"topic": "bees"}))


@same()
async def a_missing_agent_template_with_a_default(side: Side) -> Any:
    return await config_and_run(side, side.ai.agent_config_template("no-such-flag", ADA, agent_default(side)))


@same()
async def a_missing_judge(side: Side) -> Any:
    return await config_and_run(side, side.ai.judge_config("no-such-flag", ADA))


@same()
async def a_missing_judge_with_a_default(side: Side) -> Any:
    default = judge_default(side)
    return await config_and_run(side, side.ai.judge_config("no-such-flag", ADA, default, {"quality": "wit"}))


@same()
async def a_config_for_an_invalid_context(side: Side) -> Any:
    return await side.call(
        side.ai.completion_config, "chat", Context.create(""), completion_default(side), COMPANY
    )


@same()
async def a_config_for_several_kinds_of_context(side: Side) -> Any:
    several = Context.create_multi(ADA, Context.create("acme", "organization"))
    default = side.types.AICompletionConfigDefault(
        messages=[
            side.types.LDMessage("user", "{{ldctx.kind}}, {{ldctx.user.name}}, {{ldctx.organization.key}}")
        ]
    )
    return await side.call(side.ai.completion_config, "no-such-flag", several, default)


# Prompts


def prompt(side: Side, text: str) -> Any:
    """A default whose one message is that template: what a missing flag gives."""
    return side.types.AICompletionConfigDefault(messages=[side.types.LDMessage("user", text)])


async def rendered(side: Side, text: str, context: Context = ADA, **variables: Any) -> str:
    """What becomes of a template."""
    config = await side.call(side.ai.completion_config, "none", context, prompt(side, text), variables)
    side.from_here()
    return config if isinstance(config, str) else config.messages[0].content


@same(flags={})
async def a_prompt_without_placeholders(side: Side) -> list[str]:
    return [await rendered(side, text) for text in ("", "plain", "a\nb", "} {", '<b> & "c"')]


@same(flags={})
async def placeholders(side: Side) -> list[str]:
    texts = (
        "{{a}}",
        "{{ a }}",
        "{{{a}}}",
        "{{&a}}",
        "{{a}}{{b.c}}",
        "{{b.c}}",
        "{{nowhere}}",
        "{{! note }}x",
    )
    return [await rendered(side, text, a="one", b={"c": "two"}) for text in texts]


@same(flags={})
async def sections(side: Side) -> list[str]:
    texts = (
        "{{#list}}<{{.}}>{{/list}}",
        "{{#objects}}{{name}},{{/objects}}",
        "{{#empty}}never{{/empty}}{{^empty}}always{{/empty}}",
        "{{#yes}}on{{/yes}}{{^yes}}off{{/yes}}",
        "{{#no}}on{{/no}}{{^no}}off{{/no}}",
        "{{#outer}}{{inner}}{{a}}{{/outer}}",
        "line\n{{#yes}}\nstandalone\n{{/yes}}\nend",
    )
    return [
        await rendered(
            side,
            text,
            a="one",
            list=["x", "y"],
            objects=[{"name": "x"}, {"name": "y"}],
            empty=[],
            yes=True,
            no=False,
            outer={"inner": "in"},
        )
        for text in texts
    ]


@same(flags={})
async def the_context_in_a_prompt(side: Side) -> list[str]:
    texts = ("{{ldctx.key}}", "{{ldctx.kind}}", "{{ldctx.name}}", "{{ldctx.plan.tier}}", "{{ldctx.nowhere}}")
    return [await rendered(side, text, ldctx="the caller's own") for text in texts]


@same(flags={}, escape_html=True)
async def escaping_as_the_official_sdk_does_on_request(side: Side) -> list[str]:
    dangerous = '<b> & "c"'
    return [await rendered(side, text, a=dangerous) for text in ("{{a}}", "{{{a}}}", "{{&a}}")]


@differs(
    "no-html-escape",
    official=['-> "&lt;b&gt; &amp; &quot;c&quot;"'],
    ours=['-> "<b> & \\"c\\""'],
    flags={},
)
async def html_in_a_variable(side: Side) -> str:
    return json.dumps(await rendered(side, "{{a}}", a='<b> & "c"'))


@differs(
    "values-as-javascript",
    official=["-> True 2.0 ['x', 'y'] {'k': 1}"],
    ours=["-> true 2 x,y [object Object]"],
    flags={},
)
async def what_values_look_like(side: Side) -> str:
    return await rendered(
        side, "{{{yes}}} {{two}} {{{list}}} {{{map}}}", yes=True, two=2.0, list=["x", "y"], map={"k": 1}
    )


@differs("no-partials", official=["-> <the content of a file>"], ours=["-> <>"], flags={})
async def a_file_in_the_working_directory(side: Side) -> str:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_partial("secrets", "the content of a file")
        return await rendered(side, "<{{>secrets}}>")


def write_partial(name: str, text: str) -> None:
    Path(f"{name}.mustache").write_text(text, encoding="utf-8")


class Account:
    """An object that somebody passes as a variable."""

    password = "swordfish"

    def close(self, _text: str = "", _render: object = None) -> str:
        return "CLOSED"


@differs("no-attributes", official=["-> swordfish CLOSED"], ours=["->  "], flags={})
async def the_attributes_and_methods_of_a_variable(side: Side) -> str:
    return await rendered(
        side, "{{account.password}} {{#account.close}}x{{/account.close}}", account=Account()
    )


@differs(
    "private-attributes",
    official=['-> ["ada@example.com", "email"]'],
    ours=['-> ["", ""]'],
    flags={},
)
async def private_attributes_in_a_prompt(side: Side) -> list[str]:
    text = "{{#ldctx._meta.privateAttributes}}{{.}}{{/ldctx._meta.privateAttributes}}"
    return [await rendered(side, "{{ldctx.email}}"), await rendered(side, text)]


@differs("broken-template", official=["-> raises ChevronError"], ours=["-> Hello {{#name"], flags={})
async def a_broken_prompt(side: Side) -> str:
    return await rendered(side, "Hello {{#name", name="Ada")


# What we know of a model


@differs(
    "model-key",
    official=[
        "usage:completion-config=1",
        "generation:success=1",
        '-> ["runId", "configKey", "version", "modelName", "providerName"]',
    ],
    ours=[
        "usage:completion-config=1",
        "generation:success=1",
        '-> ["runId", "configKey", "version", "modelName", "providerName", "modelKey", "modelVersion"]',
    ],
    changes_data=True,
)
async def a_model_from_the_registry(side: Side) -> list[str]:
    await config_and_run(side, side.ai.completion_config("pinned", ADA))
    return list(side.captured.customs[-1].data)


@differs(
    "agent-parts",
    official=["usage:agent-config=1", "generation:success=1", '-> ["Fallback for {{topic}}.", "own", ""]'],
    ours=["usage:agent-config=1", "generation:success=1", '-> ["Fallback for bees.", "own", "own"]'],
    changes_data=True,
)
async def an_agent_completed_from_its_default(side: Side) -> list[str]:
    pending = side.ai.agent_config("agent-without-parts", ADA, agent_default(side), {"topic": "bees"})
    config = await config_and_run(side, pending)
    return [config.instructions, config.model.name, side.captured.customs[-1].data["modelName"]]


# Judges


@differs(
    "judge-template",
    official=["usage:judge-config-template=1", '-> ["system", "assistant"]'],
    ours=["usage:judge-config-template=1", '-> ["system", "user", "assistant"]'],
)
async def a_judge_template(side: Side) -> list[str]:
    config = await side.call(side.ai.judge_config_template, "judge", ADA)
    return [message.role for message in config.messages]


@differs(
    "judges-when-needed",
    official=["usage:completion-config=1", '-> ["judged", "judge", "missing"]'],
    ours=["usage:completion-config=1", '-> ["judged"]'],
)
async def which_flags_a_config_with_judges_evaluates(side: Side) -> list[str]:
    await side.call(side.ai.completion_config, "judged", ADA)
    return side.captured.evaluated


JUDGE = {"_ldMeta": {"enabled": True}, "model": {"name": "m"}}


@same(flags={"odd": {**JUDGE, "evaluationMetricKeys": ["first", "second"]}})
async def a_judge_with_a_list_of_metric_keys(side: Side) -> Any:
    return await side.call(side.ai.judge_config, "odd", ADA)


@differs(
    "metric-key",
    official=["usage:judge-config=1", "->  relevance "],
    ours=["usage:judge-config=1", "-> relevance"],
    flags={"odd": {**JUDGE, "evaluationMetricKey": " relevance "}},
)
async def a_metric_key_in_spaces(side: Side) -> str:
    config = await side.call(side.ai.judge_config, "odd", ADA)
    return config.evaluation_metric_key


@differs(
    "metric-key",
    official=["usage:judge-config=1", "-> "],
    ours=["usage:judge-config=1", "-> second"],
    flags={"odd": {**JUDGE, "evaluationMetricKeys": ["", "second"]}},
)
async def a_list_of_metric_keys_that_begins_with_none(side: Side) -> str:
    config = await side.call(side.ai.judge_config, "odd", ADA)
    return config.evaluation_metric_key


@differs(
    "sampling-rate",
    official=["usage:completion-config=1", '-> ["a", "b", "c"]'],
    ours=["usage:completion-config=1", '-> ["a"]'],
    flags={
        "odd": {
            **JUDGE,
            "judgeConfiguration": {
                "judges": [
                    {"key": "a", "samplingRate": 1},
                    {"key": "b", "samplingRate": 7},
                    {"key": "c", "samplingRate": "often"},
                ]
            },
        }
    },
)
async def judges_with_impossible_sampling_rates(side: Side) -> list[str]:
    config = await side.call(side.ai.completion_config, "odd", ADA)
    return [judge.key for judge in config.judge_configuration.judges]


# What the use of the SDK says of itself


@same()
async def usage_of_every_method(side: Side) -> None:
    request = side.types.AIAgentConfigRequest
    await side.call(side.ai.completion_config, "chat", ADA)
    await side.call(side.ai.completion_config_template, "chat", ADA)
    await side.call(side.ai.agent_config, "agent", ADA)
    await side.call(side.ai.agent_config_template, "agent", ADA)
    await side.call(side.ai.agent_configs, [request("agent"), request("bare")], ADA)
    await side.call(side.ai.judge_config, "judge", ADA)
    await side.call(side.ai.judge_config_template, "judge", ADA)
    side.ai.create_tracker("no token", ADA)


@differs(
    "sdk-info",
    official=["sdk:info=1", '-> ["launchdarkly-server-sdk-ai", "python"]'],
    ours=["sdk:info=1", '-> ["ldtrack", "python"]'],
    changes_data=True,
)
async def what_the_client_says_of_itself(side: Side) -> list[str]:
    side.from_the_start()
    (info,) = side.captured.customs
    assert list(info.data) == ["aiSdkName", "aiSdkVersion", "aiSdkLanguage"]
    return [info.data["aiSdkName"], info.data["aiSdkLanguage"]]


# What a config lets others do


@differs(
    "immutable",
    official=["-> [true, true, true]"],
    ours=["-> [false, false, false]"],
)
async def what_a_config_lets_its_reader_change(side: Side) -> list[bool]:
    config = await side.call(side.ai.completion_config, "chat", ADA)
    done = [
        succeeds(lambda: config.messages.append("one more")),
        succeeds(lambda: config.model.get_parameter("stop").append("end")),
    ]
    again = await side.call(side.ai.completion_config, "chat", ADA)
    side.from_here()
    return [*done, "end" in again.model.get_parameter("stop")]


def succeeds(change: Callable[[], Any]) -> bool:
    try:
        change()
    except (AttributeError, TypeError):
        return False
    return True


@differs(
    "empty-messages",
    official=["usage:completion-config=1", "-> null"],
    ours=["usage:completion-config=1", "-> []"],
)
async def how_no_messages_are_written(side: Side) -> str:
    config = await side.call(side.ai.completion_config, "plain", ADA)
    return json.dumps(config.to_dict()["messages"])


# Wrong arguments


@differs(
    "wrong-arguments",
    official=["usage:completion-config=1", '-> ["chat", "raises AttributeError"]'],
    ours=['-> ["raises ValueError", "raises TypeError"]'],
)
async def a_config_without_a_key_or_a_context(side: Side) -> list[Any]:
    without_key = await side.call(side.ai.completion_config, "", ADA)
    return [
        without_key if isinstance(without_key, str) else "chat",
        await side.call(side.ai.completion_config, "chat", None),
    ]
