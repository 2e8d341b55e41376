"""The prompts of a run: what an engine gives the model before each of the agent's turns.

Most templates only add to a conversation, so a rendered run has each prompt before its turn. Mistral's put
the tools before the last question, and the system's text into it: once the user speaks again, both stand
elsewhere.
"""

from lar.tokenizer.chat_template import TemplateRefusalError
from lar.tokenizer.spans import Rendering, speaker
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Trajectory


class RunPrompts:
    """The prompts of a run, each rendered once.

    places: where in the messages the agent's turns are. firsts: for each turn the first one since somebody
    else than a tool spoke.
    """

    def __init__(self, tokenizer: Tokenizer, trajectory: Trajectory) -> None:
        self.places = list[int]()
        self.firsts = list[int]()
        first = 0
        for place, message in enumerate(trajectory.messages):
            if message["role"] == "assistant":
                self.places.append(place)
                self.firsts.append(first)
            elif message["role"] != "tool":
                first = len(self.places)
        self._trajectory = trajectory
        self._template, self._dialect = speaker(tokenizer, trajectory.tools)
        self._known: dict[int, str | None] = {}

    def of(self, turn: int) -> str | None:
        """The prompt of a turn; None where the template refuses it, or another turn is directly before it."""
        if turn not in self._known:
            self._known[turn] = self._rendered(turn)
        return self._known[turn]

    def is_moved(self, found: Rendering, turn: int) -> bool:
        """Whether what a turn's prompt has before its end stands elsewhere in a rendering of the run.

        Rendering prompts takes time. So only those of templates that move something are rendered, and none of
        turns that follow an unmoved one before the user speaks again.
        """
        if not self._dialect.moves_text or not found.borders[turn]:
            return False
        return self._differs(found, self.firsts[turn]) and self._differs(found, turn)

    def _differs(self, found: Rendering, turn: int) -> bool:
        prompt = self.of(turn)
        return prompt is not None and found.before(turn) != prompt

    def _rendered(self, turn: int) -> str | None:
        before = self._trajectory.messages[: self.places[turn]]
        if before and before[-1]["role"] == "assistant":  # two parts of one reply: no prompt was between them
            return None
        messages, tools = self._dialect.adjust(before, self._trajectory.tools)
        try:
            return self._template.render(messages, tools, add_generation_prompt=True)
        except TemplateRefusalError:
            return None
