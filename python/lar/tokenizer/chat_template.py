"""Renders chat templates like transformers (`utils/chat_template_utils.py` there)."""

# Not transformers' own function: it comes with the extra `train`, and a corpus is built without.

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lar.errors import TokenizerError
from lar.trajectories.schema import Tool

TemplateMessage = Mapping[str, Any]
"""What a template is given: a `Message`, or one whose tool calls hold parsed arguments."""


class TemplateRefusalError(Exception):
    """The template refuses this conversation (an unknown role, two turns in a row, ...)."""


class ChatTemplate:
    """A compiled chat template, with the special tokens that it may refer to."""

    def __init__(self, source: str, special_tokens: Mapping[str, str] | None = None) -> None:
        """Compile `source`; TokenizerError with the line of a syntax error."""
        try:
            self._template = _compiled(source)
        except jinja2.TemplateSyntaxError as error:
            raise TokenizerError(f"chat template, line {error.lineno}: {error.message}") from None
        self._special_tokens = dict(special_tokens or {})

    def render(
        self,
        messages: Sequence[TemplateMessage],
        tools: list[Tool] | None = None,
        *,
        add_generation_prompt: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """Return the conversation as text; TemplateRefusalError where the template fails.

        `variables` are those that a request may give besides (`chat_template_kwargs` of vLLM).
        """
        try:
            return self._template.render(
                **self._special_tokens,
                messages=[_with_thinking(message) for message in messages],
                tools=tools,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **(variables or {}),
            )
        except Exception as error:  # a template is a program: it can fail in any way that Python can
            raise TemplateRefusalError(" ".join(str(error).split()) or type(error).__name__) from error


class _GenerationTag(jinja2.ext.Extension):
    """Accepts `{% generation %} ... {% endgeneration %}` and renders the content unchanged."""

    tags = {"generation"}  # noqa: RUF012 (jinja's own declaration)

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        # As in transformers, a call block has its own scope: variables set inside stay inside.
        call = self.call_method("_body")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _body(self, caller: Any) -> str:
        text: str = caller()
        return text


@lru_cache(maxsize=8)
def _compiled(source: str) -> jinja2.Template:
    """The compiled template: compiling takes 50 ms, and the engine gates render a prompt for each audit."""
    return _environment().from_string(source)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox. It asks about each attribute of a type once: asking took a third of the rendering."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._safe: dict[tuple[type, str], bool] = {}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may read the attribute; it depends on the object's type alone."""
        key = type(obj), attr
        if key not in self._safe:
            self._safe[key] = super().is_safe_attribute(obj, attr, value)
        return self._safe[key]


def _environment() -> ImmutableSandboxedEnvironment:
    """Return an environment with the settings of transformers, which renders the same text."""
    environment = _Sandbox(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON without the HTML escapes of Jinja's own filter."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    """Return today's date. A template that writes it gives another corpus on another day."""
    return datetime.now().strftime(form)


def _with_thinking(message: TemplateMessage) -> TemplateMessage:
    """Return the message with its reasoning also under gpt-oss's key, as transformers does."""
    reasoning = message.get("reasoning_content")
    return message if reasoning is None else {"thinking": reasoning, **message}
