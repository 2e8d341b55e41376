"""The schemas of tools, of any interface -> OpenAI chat's form."""

import json
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.schema import Tool

# What holds the JSON schema of a tool's arguments: OpenAI, Anthropic, MCP, Gemini.
_SCHEMAS = ("parameters", "input_schema", "inputSchema", "parametersJsonSchema", "parameters_json_schema")


def parse_tools(value: Any) -> list[Tool] | None:
    """Read the tools' schemas, given as a list, as its JSON text or as an object by name; None without any.

    A schema of OpenAI's Responses, Anthropic, Gemini or MCP gets OpenAI chat's form; one of an unknown form
    stays as it is.

    Raises:
        TrajectoryError: a tool is no object.
    """
    if isinstance(value, str) and value:
        value = json.loads(value)
    if isinstance(value, dict):
        value = [value] if _is_tool(value) else _by_name(value)
    if not isinstance(value, list):
        return None
    tools = [json.loads(tool) if isinstance(tool, str) and tool.startswith("{") else tool for tool in value]
    if not all(isinstance(tool, dict) for tool in tools):
        raise TrajectoryError("tools is not a list of objects")
    return [form for tool in tools for form in _forms(tool)] or None


def _is_tool(value: dict[str, Any]) -> bool:
    return "function" in value or "name" in value or "functionDeclarations" in value


def _by_name(value: dict[str, Any]) -> list[Any] | None:
    """The tools of an object {name: {description, parameters}}, or None."""
    if not value or not all(isinstance(tool, dict) for tool in value.values()):
        return None
    return [{"name": name, **tool} for name, tool in value.items()]


def _forms(tool: dict[str, Any]) -> list[Tool]:
    if isinstance(tool.get("function"), dict):
        return [tool]
    declared = tool.get("functionDeclarations") or tool.get("function_declarations")
    if isinstance(declared, list):
        return [form for one in declared if isinstance(one, dict) for form in _forms(one)]
    spec = tool.get("toolSpec")  # Bedrock
    if isinstance(spec, dict):
        return _forms(spec)
    if not isinstance(tool.get("name"), str) or not _is_function(tool):
        return [tool]
    kept = {key: tool[key] for key in ("name", "description", "strict") if tool.get(key) is not None}
    schema = next((tool[key] for key in _SCHEMAS if isinstance(tool.get(key), dict)), None)
    if isinstance(schema, dict) and isinstance(schema.get("json"), dict) and len(schema) == 1:
        schema = schema["json"]  # Bedrock
    return [{"type": "function", "function": kept if schema is None else {**kept, "parameters": schema}}]


def _is_function(tool: dict[str, Any]) -> bool:
    """Whether a flat tool is a function, and not one that its provider runs (`web_search`)."""
    return tool.get("type") in (None, "function", "custom") or any(key in tool for key in _SCHEMAS)
