"""The events of a Codex log that stand for items which the log lacks.

A rollout has each message, thought and call twice: as an item of the Responses interface, and as an event for
the screen. The items are what the model wrote, so an event counts only where no item has its text or call.
`codex exec --json` prints events alone.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from lar.trajectories.dialects.parts import texts_of
from lar.trajectories.dialects.responses import is_item
from lar.trajectories.raw import has

Item = dict[str, Any]

USER_COMMAND = "<user_shell_command>"  # how the message begins that tells the agent what the user ran

_SPOKEN = {
    "user_message": "user",
    "agent_message": "assistant",
    "agent_reasoning": "thought",
    "agent_reasoning_raw_content": "thought",
}
# What the screen does not show of the agent's text: always citations, while the agent plans its plan too.
_CITATION = re.compile(r"<oai-mem-citation>.*?(?:</oai-mem-citation>|\Z)", re.DOTALL)
_PLAN = re.compile(r"<proposed_plan>.*?(?:</proposed_plan>|\Z)", re.DOTALL)


class Events:
    """What a log's events add to its items: those of a text or a call that no item has."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._texts: dict[str, set[str]] = {role: set() for role in _SPOKEN.values()}
        self._shown: set[str] = set()
        self._calls: set[Any] = set()
        self._has_calls = False
        for item in items:
            kind = str(item.get("type", "message"))
            role = "thought" if kind == "reasoning" else str(item.get("role"))
            if role in self._texts:
                texts = _texts(item)
                self._texts[role] |= {*texts, "".join(texts), "\n".join(texts)}
                if role == "assistant":
                    self._shown |= {shown for text in (*texts, "".join(texts)) for shown in _shown(text)}
            self._has_calls = self._has_calls or kind.endswith("_call")

    def items_of(self, event: dict[str, Any]) -> Iterator[Item]:
        """Yield the items that an event stands for, where the log has no others for it."""
        kind = event.get("type")
        if kind in _SPOKEN:
            yield from self._spoken(_SPOKEN[kind], event.get("message", event.get("text")))
        elif event.get("source") == "user_shell" or event.get("is_user_shell_command") is True:
            yield from self._run_by_user(str(kind), event)
        elif not self._has_calls and is_item(event):
            yield event
        elif not self._has_calls and isinstance(kind, str) and event.get("call_id") is not None:
            yield from self._call(kind, event)

    def _spoken(self, role: str, text: Any) -> Iterator[Item]:
        known = self._texts[role]
        if not isinstance(text, str) or not text or text in known:
            return
        if role == "assistant" and _without_space(text) in self._shown:
            return
        if role == "user" and any(text in longer for longer in known):
            return  # an editor puts its own text around the user's
        if role == "thought":
            yield {"type": "reasoning", "summary": [text]}
        else:
            yield {"type": "message", "role": role, "content": text}

    def _run_by_user(self, kind: str, event: dict[str, Any]) -> Iterator[Item]:
        """Yield what the agent reads of a command that the user ran, at its end: a message of the user."""
        command = _command_of_user(event)
        known = any(text.startswith(USER_COMMAND) and command in text for text in self._texts["user"])
        if kind.endswith("_end") and not known:
            result = f"<result>\nExit code: {event.get('exit_code')}\nOutput:\n{_result(event)}\n</result>"
            text = f"{USER_COMMAND}\n<command>\n{command}\n</command>\n{result}\n</user_shell_command>"
            yield {"type": "message", "role": "user", "content": text}

    def _call(self, kind: str, event: dict[str, Any]) -> Iterator[Item]:
        """Yield a call at the first event that names it, and its result at the event that ends it."""
        call = _called(kind, event)
        if call is not None and event["call_id"] not in self._calls:
            self._calls.add(event["call_id"])
            yield {"type": "function_call", "call_id": event["call_id"], **call}
        if kind.endswith("_end") and event["call_id"] in self._calls:
            yield {"type": "function_call_output", "call_id": event["call_id"], "output": _result(event)}


def _shown(text: str) -> Iterator[str]:
    """Yield what the screen may show of a text of the agent; without white space, for lines go as a whole."""
    cited = _CITATION.sub("", text)
    if cited != text or "<proposed_plan>" in text:
        yield _without_space(cited)
        yield _without_space(_PLAN.sub("", cited))


def _without_space(text: str) -> str:
    return "".join(text.split())


def _called(kind: str, event: dict[str, Any]) -> Item | None:
    """The name and the arguments of the call that an event is about."""
    invocation = event.get("invocation")
    if has(invocation, "server", "tool"):
        return _server_call(invocation)
    if kind.startswith("exec_command") and "command" in event:
        return {"name": "shell", "arguments": {"command": event["command"]}}
    if kind.startswith("patch_apply") and "changes" in event:
        return {"name": "apply_patch", "arguments": {"changes": event["changes"]}}
    if kind.startswith("web_search") and event.get("query"):
        return {"name": "web_search", "arguments": {"query": event["query"]}}
    return None


def _command_of_user(event: dict[str, Any]) -> str:
    """The line that the user wrote: the last argument of the shell, `["bash", "-lc", "ls"]`."""
    command = event.get("command")
    return str(command[-1] if isinstance(command, list) and command else command)


def _server_call(value: Any) -> Item:
    return {"name": f"mcp__{value['server']}__{value['tool']}", "arguments": value.get("arguments") or {}}


def _result(event: dict[str, Any]) -> Any:
    """The output of a call: of a server's tool the parts of its content, else what the command wrote."""
    if "result" in event or "error" in event:
        return _answer(event.get("result") or event.get("error"))
    whole = event.get("formatted_output") or event.get("aggregated_output")
    return whole or f"{event.get('stdout') or ''}{event.get('stderr') or ''}"


def _answer(result: Any) -> Any:
    for key in ("Ok", "Err", "content"):
        if has(result, key):
            result = result[key]
    return "" if result is None else result


def printed_items(item: Any) -> Iterator[Item]:
    """Yield the items that a finished item of `codex exec --json` stands for."""
    kind = item.get("type", item.get("item_type")) if isinstance(item, dict) else None
    if kind in ("agent_message", "assistant_message"):
        yield {"type": "message", "role": "assistant", "content": item.get("text")}
    elif kind == "reasoning":
        yield {"type": "reasoning", "summary": [item.get("text")]}
    elif kind == "command_execution":
        yield from _printed(item, {"name": "shell", "arguments": {"command": item.get("command")}})
    elif kind == "mcp_tool_call":
        yield from _printed(item, _server_call(item))
    elif kind == "web_search":
        yield from _printed(item, {"name": "web_search", "arguments": {"query": item.get("query")}})


def _printed(item: dict[str, Any], call: Item) -> Iterator[Item]:
    yield {"type": "function_call", "call_id": item.get("id"), **call}
    yield {"type": "function_call_output", "call_id": item.get("id"), "output": _result(item)}


def _texts(item: Item) -> list[str]:
    return [*texts_of(item.get("content")), *texts_of(item.get("summary"))]
