"""Conversations of several speakers with names: which names are the agent, the user or the environment.

AutoGen gives a message the role "assistant" where the owner of the log sent it, so that the log of a user's
proxy has the roles the wrong way round. Names decide, and the first words of what a code executor answers.
"""

import re
from collections.abc import Iterable
from typing import Any, Literal

Part = Literal["assistant", "user", "tool"]

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_USERS = frozenset(("user", "human", "proxy", "userproxy", "admin", "boss", "customer"))
_OF_USERS = _USERS | {"input", "end", "owner", "initial"}
_EXECUTORS = ("terminal", "computerterminal", "executor", "codeexecutor", "interpreter", "ipython", "jupyter")
_PLACES = ("environment", "env", "sandbox", "shell", "console")
_ENVIRONMENTS = frozenset((*_EXECUTORS, *_PLACES, "tool", "tools", "execution", "function", "functions"))
# An expert in terminals is an agent.
_MAKERS = (
    "engineer",
    "coder",
    "programmer",
    "developer",
    "designer",
    "architect",
    "writer",
    "editor",
    "tester",
)
_THINKERS = ("expert", "scientist", "analyst", "specialist", "researcher", "historian", "planner", "solver")
_JUDGES = ("critic", "reviewer", "checker", "verifier", "validator", "evaluator", "summarizer")
_LEADERS = ("orchestrator", "manager", "leader", "supervisor", "coordinator", "selector", "router", "caller")
_TRADES = frozenset((*_MAKERS, *_THINKERS, *_JUDGES, *_LEADERS, "surfer", "worker"))
_SKILLED = _TRADES | {"assistant"}
_OF_AGENTS = _SKILLED | {"agent", "bot", "model", "gpt"}
_ASSISTANTS = frozenset(("assistant", "agent"))
_EXECUTED = re.compile(r"\s*(exitcode: -?\d+ \(|exit ?code: -?\d+\b|>>>>>>>> EXECUTING)", re.IGNORECASE)


def part_of(name: str) -> Part:
    """Whose turns a speaker called `name` has, by the words of the name; the agent's where nothing tells.

    >>> [part_of(name) for name in ("Planner", "user_proxy", "Computer_terminal", "CodeExecutorAgent")]
    ['assistant', 'user', 'tool', 'tool']
    """
    words = _words(name)
    if words & _SKILLED or not words:
        return "assistant"
    if words & _ENVIRONMENTS:
        return "tool"
    of_proxy = {"agent"} if words & {"user", "proxy", "userproxy"} else set()
    return "user" if words & _USERS and words <= _OF_USERS | of_proxy else "assistant"


def part_in(name: str, content: Any) -> Part:
    """Whose turn a message is: a user's proxy that runs code answers as the environment."""
    part = part_of(name)
    return "tool" if part == "user" and _was_executed(content) else part


def _was_executed(content: Any) -> bool:
    """Whether a message begins as the answer of a code executor does."""
    return isinstance(content, str) and _EXECUTED.match(content) is not None


def decide(messages: Iterable[tuple[str, str, Any]]) -> bool:
    """Whether names decide in a conversation of (role, name, content); else the roles of the log stand.

    A user may have the name of a trade (ops_engineer), and an agent that of a tool (ToolAgent), in a chat
    whose roles are right. So names decide only where they prove that the roles are views, or name a team.

    >>> decide([("user", "ops_engineer", "Restart node 4"), ("assistant", "ToolAgent", "I restart it.")])
    False
    >>> decide([("user", "Law_Expert", "Is it legal?"), ("assistant", "Web_Expert", "I search.")])
    True
    """
    listed = list(messages)
    return len({name for _, name, _ in listed}) > 1 and (_hold_a_proof(listed) or _are_of_team(listed))


def are_views(messages: Iterable[tuple[str, str, Any]]) -> bool:
    """Whether the roles of messages with names tell only whose log it is: all others are a "user" there."""
    listed = list(messages)
    return _hold_a_proof(listed) or all(role == "user" for role, _, _ in listed)


def _hold_a_proof(messages: list[tuple[str, str, Any]]) -> bool:
    return any(_proves_views(*message) for message in messages)


def _proves_views(role: str, name: str, content: Any) -> bool:
    """Whether a user has the agent's role or the reverse, or others than users say what only AutoGen's do."""
    part, words = part_of(name), _words(name)
    if role == "assistant":
        return part == "user"
    ends = isinstance(content, str) and content.strip() == "TERMINATE"
    is_assistant = bool(words) and words <= _ASSISTANTS
    return ends or is_assistant or (part != "assistant" and _was_executed(content))


def _are_of_team(messages: list[tuple[str, str, Any]]) -> bool:
    """Whether names with the role "user" belong to a team of agents, or to their environment.

    One name of an agent is no team: it may be a person's.
    """
    asking = {name for role, name, _ in messages if role == "user" and is_plain(name)}
    answering = {name for role, name, _ in messages if role == "assistant" and part_of(name) == "assistant"}
    parts = {part_of(name) for name in asking}
    members = asking | {name for name in answering if _words(name) & _TRADES}
    is_answered = "tool" in parts and any(map(is_plain, answering))
    return is_answered or ("assistant" in parts and len(members) > 1)


def is_plain(name: str) -> bool:
    """Whether a name tells by its words whose turns it has; a person's name does not."""
    return part_of(name) != "assistant" or bool(_words(name) & _OF_AGENTS)


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(name)}
