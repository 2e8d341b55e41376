"""What the chat template writes before the agent's text and before that of other speakers."""

from collections.abc import Sequence

from lar.tokenizer.chat_template import ChatTemplate, TemplateMessage, TemplateRefusalError
from lar.tokenizer.probes import ANSWER, NAME, USER, call, rendered, result
from lar.tokenizer.tokenizer import Tokenizer

# A private-use character, which no template writes: the text after it is the template's.
_CONTENT = "\ue000"
_SYSTEM: TemplateMessage = {"role": "system", "content": "larprobesystem"}
_AGAIN: TemplateMessage = {"role": "user", "content": "larprobeagain"}


def generation_prompt(tokenizer: Tokenizer) -> str:
    """The text of a prompt after the content of the user's message, including the end of that message.

    Empty where there is no chat template, or it refuses a conversation of one user message.
    """
    _, found, header = _rendered(tokenizer, add_generation_prompt=True).rpartition(_CONTENT)
    return header if found else ""


def agent_header(tokenizer: Tokenizer) -> str:
    """The text that a generation prompt adds to open the agent's turn; empty as in `generation_prompt`."""
    without = _rendered(tokenizer, add_generation_prompt=False)
    prompt = _rendered(tokenizer, add_generation_prompt=True)
    return prompt.removeprefix(without) if prompt.startswith(without) else ""


def other_openings(tokenizer: Tokenizer) -> list[str]:
    """What stands before the text of a system's, a user's and a tool's message, from its beginning on.

    Messages that the template refuses are left out, as all are without a template.
    """
    if tokenizer.chat_template is None:
        return []
    template = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens)
    forms: tuple[dict[str, str] | str, ...] = ({}, "{}")  # of a call's arguments
    calls = [call({"name": NAME, "arguments": arguments}) for arguments in forms]
    openings = [
        _opening(template, [], _SYSTEM, [USER]),
        _opening(template, [], USER),
        _opening(template, [USER, ANSWER], _AGAIN),
        *(_opening(template, [USER, made], result()) for made in calls),
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


def answer_opening(tokenizer: Tokenizer) -> str:
    """What stands between a user's text and the agent's answer; empty as in `generation_prompt`."""
    if tokenizer.chat_template is None:
        return ""
    template = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens)
    answered = rendered(template, USER, ANSWER) or ""
    return answered.partition(ANSWER["content"])[0].rpartition(USER["content"])[2]


def _rendered(tokenizer: Tokenizer, *, add_generation_prompt: bool) -> str:
    """A rendered conversation of one user message; empty where there is no template, or it refuses."""
    if tokenizer.chat_template is None:
        return ""
    template = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens)
    try:
        return template.render(
            [{"role": "user", "content": _CONTENT}], add_generation_prompt=add_generation_prompt
        )
    except TemplateRefusalError:
        return ""
