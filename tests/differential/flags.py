"""The flags of the scenarios: what LaunchDarkly serves.

Rule for this file: well-formed flags that many scenarios use. A malformed one stands with its scenario.
"""

from __future__ import annotations

from typing import Any

__all__ = ["FLAGS"]

FLAGS: dict[str, Any] = {
    "chat": {
        "_ldMeta": {"enabled": True, "variationKey": "warm", "version": 3, "mode": "completion"},
        "model": {
            "name": "gpt-4",
            "parameters": {"temperature": 0.5, "stop": ["\n"]},
            "custom": {"owner": "support"},
            "region": "eu",
        },
        "provider": {"name": "openai"},
        "messages": [
            {"role": "system", "content": "You help {{ldctx.name}} of {{company}} ({{ldctx.plan.tier}})."},
            {"role": "user", "content": "{{#items}}- {{name}}\n{{/items}}{{^items}}nothing{{/items}}"},
        ],
        "tools": {
            "search": {
                "name": "search",
                "description": "Searches.",
                "type": "function",
                "parameters": {"type": "object"},
                "customParameters": {"limit": 3},
            },
            "bare": {},
        },
    },
    "plain": {"_ldMeta": {"enabled": True}, "model": {"name": "m"}, "messages": []},
    "bare": {},
    "disabled": {"_ldMeta": {"enabled": False, "variationKey": "off", "version": 9}},
    "pinned": {
        "_ldMeta": {"enabled": True, "version": 2, "modelKey": "OpenAI.gpt-4", "modelVersion": 7},
        "model": {"name": "gpt-4"},
    },
    "legacy-tools": {
        "_ldMeta": {"enabled": True},
        "model": {"name": "m", "parameters": {"tools": [{"name": "search", "type": "function"}]}},
    },
    "agent": {
        "_ldMeta": {"enabled": True, "variationKey": "careful", "version": 5, "mode": "agent"},
        "model": {"name": "claude"},
        "provider": {"name": "anthropic"},
        "instructions": "Research {{topic}} for {{ldctx.key}}.",
    },
    "agent-without-parts": {"_ldMeta": {"enabled": True, "variationKey": "hollow", "version": 6}},
    "judged": {
        "_ldMeta": {"enabled": True, "variationKey": "seen", "version": 1},
        "model": {"name": "m"},
        "judgeConfiguration": {
            "judges": [{"key": "judge", "samplingRate": 0.5}, {"key": "missing", "samplingRate": 1}]
        },
    },
    "judge": {
        "_ldMeta": {"enabled": True, "variationKey": "strict", "version": 4, "mode": "judge"},
        "model": {"name": "gpt-4"},
        "provider": {"name": "openai"},
        "evaluationMetricKey": "$ld:ai:judge:relevance",
        "messages": [
            {"role": "system", "content": "Judge the {{quality}} of {{response_to_evaluate}}."},
            {"role": "user", "content": "History: {{message_history}}"},
            {"role": "assistant", "content": "Understood, {{ldctx.name}}."},
        ],
    },
}
