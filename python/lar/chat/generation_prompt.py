"""The header of the agent's turn: what a chat template puts before the agent's text."""

from lar.chat.template import ChatTemplate, TemplateRefusalError
from lar.tokenization import Tokenizer

# A private-use character: no template writes it, so what follows it is what the template adds.
_CONTENT = "\ue000"


def generation_prompt(tokenizer: Tokenizer) -> str:
    """What a prompt holds after the user's message, the end of that message included.

    Empty where there is no chat template or it refuses a conversation that only a user has begun.
    """
    if tokenizer.chat_template is None:
        return ""
    template = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens)
    try:
        prompt = template.render([{"role": "user", "content": _CONTENT}], add_generation_prompt=True)
    except TemplateRefusalError:
        return ""
    _, found, header = prompt.rpartition(_CONTENT)
    return header if found else ""
