"""The header of the agent's turn: the chat template's text before the agent's text."""

from lar.tokenizer.chat_template import ChatTemplate, TemplateRefusalError
from lar.tokenizer.tokenizer import Tokenizer

# A private-use character, which no template writes: the text after it is the template's.
_CONTENT = "\ue000"


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
