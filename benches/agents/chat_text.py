"""One conversation as the text that a model reads: the opening, then what follows each of its turns."""

from benches.agents.worlds.world import Opening
from lar.generation.sampling import Generation
from lar.tokenizer import ChatTemplate, Tokenizer
from lar.trajectories import Message

_REPLY = "\N{SYMBOL FOR SUBSTITUTE FORM TWO}"  # in place of a reply; no text of a world has it


class ChatText:
    """Gives a conversation piece by piece, so that a model can keep what it has read.

    The pieces and the replies between them are the text that the chat template renders for the whole
    conversation. That holds for templates which leave earlier turns as they were; others are refused.
    """

    def __init__(self, tokenizer: Tokenizer, opening: Opening) -> None:
        self._template = ChatTemplate(tokenizer.template_for(opening.tools) or "", tokenizer.special_tokens)
        self._tools = opening.tools
        self._messages = list(opening.messages)
        self._before = self._rendered()
        self.heard = self._before

    def hear(self, observation: Message, end_of_turn: str) -> None:
        """Set `heard` to the text from the end of the reply to the next one.

        `end_of_turn` is the text of the token with which the model ended its turn, empty if it wrote none.

        Raises:
            ValueError: the chat template rewrites earlier turns, or ends a turn with another token.
        """
        self._messages += [{"role": "assistant", "content": _REPLY}, observation]
        whole = self._rendered()
        before, reply, after = whole.rpartition(_REPLY)
        if not reply or before != self._before or not after.startswith(end_of_turn):
            raise ValueError(
                "the chat template rewrites earlier turns, or does not end a turn as the model did"
            )
        self._before = whole
        self.heard = after.removeprefix(end_of_turn)

    def _rendered(self) -> str:
        return self._template.render(self._messages, self._tools, add_generation_prompt=True)


def end_of_turn(tokenizer: Tokenizer, generation: Generation) -> str:
    """The text of the token that ended a generated turn; empty where a limit or a stop string did."""
    if generation.finish_reason != "end":
        return ""
    return tokenizer.backend.id_to_token(int(generation.base_ids[-1])) or ""
