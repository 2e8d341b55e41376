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
_SKILLED = frozenset((*_MAKERS, *_THINKERS, *_JUDGES, *_LEADERS, "assistant", "surfer", "worker"))
_OF_AGENTS = _SKILLED | {"agent", "bot", "model", "gpt"}
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
    return "tool" if part == "user" and was_executed(content) else part


def was_executed(content: Any) -> bool:
    """Whether a message begins as the answer of a code executor does."""
    return isinstance(content, str) and _EXECUTED.match(content) is not None


def decide(messages: Iterable[tuple[str, str, Any]]) -> bool:
    """Whether names decide in a conversation of (role, name, content), because they contradict the roles.

    A name that tells nothing, such as a person's, contradicts no role. Neither does a name that fits it.
    """
    listed = list(messages)
    return len({name for _, name, _ in listed}) > 1 and any(_contradicts(*message) for message in listed)


def is_plain(name: str) -> bool:
    """Whether a name tells by its words whose turns it has; a person's name does not."""
    return part_of(name) != "assistant" or bool(_words(name) & _OF_AGENTS)


def _contradicts(role: str, name: str, content: Any) -> bool:
    part = part_in(name, content)
    ends = role == "user" and isinstance(content, str) and content.strip() == "TERMINATE"
    return ends or (part != role and (is_plain(name) or part == "tool"))


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(name)}
