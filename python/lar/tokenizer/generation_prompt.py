"""The header of the agent's turn: what a chat template puts before the agent's text."""

from lar.tokenizer.chat_template import ChatTemplate, TemplateRefusalError
from lar.tokenizer.tokenizer import Tokenizer

# A private-use character: no template writes it, so what follows it is what the template adds.
_CONTENT = "\ue000"


def generation_prompt(tokenizer: Tokenizer) -> str:
    """What a prompt holds after the user's message, the end of that message included.

    Empty where there is no chat template or it refuses a conversation that only a user has begun.
    """
    _, found, header = _asked(tokenizer, add_generation_prompt=True).rpartition(_CONTENT)
    return header if found else ""


def agent_header(tokenizer: Tokenizer) -> str:
    """What opens the agent's turn alone: the text that a generation prompt adds; empty as above."""
    asked = _asked(tokenizer, add_generation_prompt=False)
    prompt = _asked(tokenizer, add_generation_prompt=True)
    return prompt.removeprefix(asked) if prompt.startswith(asked) else ""


def _asked(tokenizer: Tokenizer, *, add_generation_prompt: bool) -> str:
    """A conversation that a user has begun; empty where there is no template, or it refuses."""
    if tokenizer.chat_template is None:
        return ""
    template = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens)
    try:
        return template.render(
            [{"role": "user", "content": _CONTENT}], add_generation_prompt=add_generation_prompt
        )
    except TemplateRefusalError:
        return ""
