"""Chat templates rendered as transformers renders them (`utils/chat_template_utils.py` there)."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
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
    """The template will not render this conversation (a role it does not know, two turns in a row, ...)."""


class ChatTemplate:
    """A compiled chat template with the special tokens that it may name."""

    def __init__(self, source: str, special_tokens: Mapping[str, str] | None = None) -> None:
        """Compile `source`; raises TokenizerError with the line where it is not a template."""
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise TokenizerError(f"chat template, line {error.lineno}: {error.message}") from None
        self._special_tokens = dict(special_tokens or {})

    def render(
        self,
        messages: Sequence[TemplateMessage],
        tools: list[Tool] | None = None,
        *,
        add_generation_prompt: bool = False,
    ) -> str:
        """Return the conversation as text; raises TemplateRefusalError where the template cannot write it."""
        try:
            return self._template.render(
                **self._special_tokens,
                messages=[_with_thinking(message) for message in messages],
                tools=tools,
                documents=None,
                add_generation_prompt=add_generation_prompt,
            )
        except Exception as error:  # a template is a program: it can fail in any way that Python can
            raise TemplateRefusalError(" ".join(str(error).split()) or type(error).__name__) from error


class _GenerationTag(jinja2.ext.Extension):
    """Lets `{% generation %} ... {% endgeneration %}` through: what stands between is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012 (jinja's own declaration)

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        # A call block has a scope of its own, as it has in transformers: variables set inside stay inside.
        call = self.call_method("_body")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _body(self, caller: Any) -> str:
        text: str = caller()
        return text


def _environment() -> ImmutableSandboxedEnvironment:
    """Return an environment with the settings of transformers, so that the same text comes out."""
    environment = ImmutableSandboxedEnvironment(
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
    """Return today's date: of the templates that write one, a corpus built on another day differs."""
    return datetime.now().strftime(form)


def _with_thinking(message: TemplateMessage) -> TemplateMessage:
    """Give reasoning under gpt-oss's name as well, as transformers does."""
    reasoning = message.get("reasoning_content")
    return message if reasoning is None else {"thinking": reasoning, **message}
