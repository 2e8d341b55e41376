"""What the chat template writes before the agent's text and before that of other speakers."""

from collections.abc import Sequence
from functools import partial

from lar.tokenizer.chat_template import ChatTemplate, TemplateMessage, TemplateRefusalError
from lar.tokenizer.probes import AGAIN, ANSWER, NAME, SYSTEM, USER, call, rendered, result
from lar.tokenizer.tokenizer import Tokenizer

THINKING_SWITCH = "enable_thinking"
"""The variable by which requests switch reasoning on and off, in the templates that have one."""

# A private-use character, which no template writes: the text after it is the template's.
_CONTENT = "\ue000"


def generation_prompts(tokenizer: Tokenizer) -> list[str]:
    """The text of a prompt after the content of the user's message, including the end of that message.

    One for each template that conversations take, so two where those with tools take another. Templates that
    refuse a conversation of one user message are left out.
    """
    prompts = [_prompt(template).rpartition(_CONTENT) for template in _templates(tokenizer)]
    return [header for _, found, header in prompts if found]


def has_thinking_switch(tokenizer: Tokenizer) -> bool:
    """Whether requests can change a prompt by `THINKING_SWITCH`."""
    for template in _templates(tokenizer):
        prompt = partial(template.render, [USER], add_generation_prompt=True)
        try:
            if prompt(variables={THINKING_SWITCH: False}) != prompt(variables={THINKING_SWITCH: True}):
                return True
        except TemplateRefusalError:
            pass
    return False


def agent_header(tokenizer: Tokenizer) -> str:
    """The text that a generation prompt adds to open the agent's turn, in a conversation with tools.

    Empty where there is no chat template, or it refuses a conversation of one user message.
    """
    for template in _templates(tokenizer)[-1:]:
        without, prompt = _prompt(template, add=False), _prompt(template)
        if prompt.startswith(without):
            return prompt.removeprefix(without)
    return ""


def other_openings(tokenizer: Tokenizer) -> list[str]:
    """What stands before the text of a system's, a user's and a tool's message, from its beginning on.

    Messages that the template refuses are left out, as all are without a template.
    """
    forms: tuple[dict[str, str] | str, ...] = ({}, "{}")  # of a call's arguments
    calls = [call({"name": NAME, "arguments": arguments}) for arguments in forms]
    openings = [
        opening
        for template in _templates(tokenizer)
        for opening in (
            _opening(template, [], SYSTEM, [USER]),
            _opening(template, [], USER),
            _opening(template, [USER, ANSWER], AGAIN),
            *(_opening(template, [USER, made], result()) for made in calls),
        )
    ]
    return [opening for opening in openings if opening]


def _opening(
    template: ChatTemplate,
    before: list[TemplateMessage],
    message: TemplateMessage,
    after: Sequence[TemplateMessage] = (),
) -> str:
    """The template's text of `message` before its content; empty where it does not show."""
    whole = rendered(template, *before, message, *after) or ""
    head, found, _ = whole.partition(message["content"])
    if not found or not before:
        return head if found else ""
    earlier = rendered(template, *before) or ""
    if earlier and head.startswith(earlier):
        return head.removeprefix(earlier)
    # The last message of a conversation is written otherwise. So with what ends the one before.
    last = before[-1]["content"]
    return head.rpartition(last)[2] if last and last in head else ""


def answer_openings(tokenizer: Tokenizer) -> list[str]:
    """What stands between a user's text and the agent's answer, for each template as `generation_prompts`."""
    answered = [rendered(template, USER, ANSWER) or "" for template in _templates(tokenizer)]
    return [text.partition(ANSWER["content"])[0].rpartition(USER["content"])[2] for text in answered]


def _templates(tokenizer: Tokenizer) -> list[ChatTemplate]:
    """The templates that conversations take, last the one of those with tools; none without a template."""
    sources = dict.fromkeys([tokenizer.template_for(tools=False), tokenizer.template_for(tools=True)])
    return [ChatTemplate(source, tokenizer.special_tokens) for source in sources if source is not None]


def _prompt(template: ChatTemplate, *, add: bool = True) -> str:
    """A conversation of one user message, with a generation prompt if `add`; empty where it is refused."""
    return rendered(template, {"role": "user", "content": _CONTENT}, prompt=add) or ""
