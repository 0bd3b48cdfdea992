"""The tools of a config, and what stands behind them.

Rule for this file: a model's mistake is told to the model, an error of a tool is the app's: it passes.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import attrs

from ldtrack.core.models import LDTool, ModelConfig
from ldtrack.running import Tools

__all__ = ["ToolRequest", "Toolbox", "arguments_of", "provider_tools"]

log: Final = logging.getLogger("ldtrack")

NO_PARAMETERS: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}


class ToolRequest(NamedTuple):
    """A model's wish to have a tool called."""

    id: str
    name: str
    arguments: str | Mapping[str, Any]
    """As JSON, or parsed already."""


@attrs.frozen(eq=False)
class Toolbox:
    """What a model is offered, and what is called when it asks for it."""

    offered: tuple[LDTool, ...]
    _functions: Tools | None
    """By the tools' names; ``None`` if calling them is left to the app."""

    @classmethod
    def of(cls, config: Any, tools: Tools | None) -> Toolbox:
        """The tools of a config; where functions are given, those that have one."""
        listed: Mapping[str, LDTool] = getattr(config, "tools", None) or {}
        if tools is None:
            return cls(tuple(listed.values()), None)
        functions: dict[str, Callable[..., Any]] = {}
        for key, tool in listed.items():
            function = tools.get(tool.name, tools.get(key))
            if function is None:
                log.warning(
                    "The tool %r of AI Config %r has no function, so it is not offered", key, config.key
                )
            elif not callable(function):
                raise TypeError(f"tools[{key!r}] must be a function, not {function!r:.80}")
            else:
                functions[tool.name] = function
        return cls(tuple(tool for tool in listed.values() if tool.name in functions), functions)

    def takes(self, requests: Sequence[ToolRequest]) -> bool:
        """Whether there is something to call, and it is ours to call."""
        return bool(requests) and self._functions is not None

    async def use(self, requests: Sequence[ToolRequest]) -> list[str]:
        """Call the tools side by side; the first error, or cancelling, stops the others and passes."""
        if len(requests) == 1:
            return [await self._use(requests[0])]
        tasks = [asyncio.ensure_future(self._use(request)) for request in requests]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _use(self, request: ToolRequest) -> str:
        function = (self._functions or {}).get(request.name)
        if function is None:
            return f"There is no tool named {request.name!r}."
        arguments = arguments_of(request)
        if arguments is None:
            return "The arguments are not a JSON object."
        misfit = _misfit(function, arguments)
        if misfit is not None:
            return f"The arguments do not fit: {misfit}."
        result = await _called(function, arguments)
        return result if isinstance(result, str) else json.dumps(result, default=str, ensure_ascii=False)


def arguments_of(request: ToolRequest) -> Mapping[str, Any] | None:
    """The arguments of a request; ``None`` if they are no JSON object."""
    arguments = request.arguments
    if isinstance(arguments, Mapping):
        return arguments
    try:
        parsed = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _misfit(function: Callable[..., Any], arguments: Mapping[str, Any]) -> str | None:
    """Why a tool cannot be called with these arguments; ``None`` if it can, or does not say what it takes."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return None
    try:
        signature.bind(**arguments)
    except TypeError as error:
        return str(error)
    return None


async def _called(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """What a tool returns; one that is no coroutine function may block, and so has a thread to itself."""
    if _is_async(function):
        return await function(**arguments)
    result = await asyncio.to_thread(_in_thread, function, arguments)
    return await result if isinstance(result, Awaitable) else result


def _in_thread(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    try:
        return function(**arguments)
    except StopIteration as error:
        # No future can hold one: whoever awaits it would wait forever. Of coroutines Python says the same.
        raise RuntimeError("a tool raised StopIteration") from error


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - not whether it can be called, but how
    )


def provider_tools(model: ModelConfig | None, offered: Sequence[LDTool]) -> list[dict[str, Any]]:
    """Tools in the model's parameters that are written in the provider's own terms, passed on as they are.

    Those with a name of their own are among the config's tools already.
    """
    listed = [] if model is None else model.to_dict()["parameters"] or {}
    entries = listed.get("tools") if isinstance(listed, dict) else None
    names = {tool.name for tool in offered}
    return [
        entry
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and not entry.get("name") and _inner_name(entry) not in names
    ]


def _inner_name(entry: Mapping[str, Any]) -> Any:
    function = entry.get("function")
    return function.get("name") if isinstance(function, Mapping) else None
