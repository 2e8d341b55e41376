"""How a prompt ends, and what a chat template puts between its end and the agent's text.

An engine gives the model a prompt, and the model writes all that follows. So what a template writes behind
the end of a prompt is the agent's own text: gpt-oss' `<|channel|>final<|message|>`, and the rest of an empty
block of reasoning where the prompt has its beginning (Qwen3.5). Qwen3 writes such a block before the last
turn of a conversation only, and no prompt has it when the conversation goes on. That one is nobody's text.
"""

from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Self

from lar.tokenizer.chat_template import ChatTemplate, TemplateMessage
from lar.tokenizer.probes import ANSWER, USER, call, rendered, result


@dataclass(frozen=True, slots=True)
class Openings:
    """The ends of a chat template's prompts, and what it writes before an answer.

    prompts: what a generation prompt adds, by the role of the message before it. leads: what the agent writes
    before its answer, longest first. passing: what the template writes before the last turn and leaves out
    once the conversation goes on, longest first. space: white space before an answer that a prompt lacks. The
    Llama 2 family prompts with `[/INST]` and writes `[/INST] text`, so the agent generates it. are_plain:
    whether each answer stands directly behind a prompt, as most templates have it.
    """

    prompts: dict[str, str]
    leads: tuple[str, ...]
    passing: tuple[str, ...]
    space: str
    are_plain: bool

    @classmethod
    def of(cls, template: ChatTemplate, function: dict[str, Any]) -> Self:
        """Find them by rendering small conversations; `function` is that of a call."""
        prompts, leads, passing, space, are_plain = dict[str, str](), set[str](), set[str](), "", True
        for before in ([USER], [USER, call(function), result()], [USER, ANSWER]):
            prompt = rendered(template, *before, prompt=True)
            if prompt is not None:
                prompts[before[-1]["role"]] = added(prompt, rendered(template, *before) or "")
            if prompt is None or before[-1] is ANSWER:
                continue
            last = _lead(template, prompt, [*before, ANSWER])
            within = _lead(template, prompt, [*before, ANSWER, USER])
            if before == [USER] and last and last.isspace():
                space = last
            is_passing = within is not None and not within.strip()
            (passing if is_passing else leads).add(last or "")
            leads.add(within or "")
            are_plain &= all(lead is not None and not lead.strip() for lead in (last, within))
        return cls(prompts, _written(leads - passing), _written(passing), space, are_plain)

    @property
    def reach(self) -> int:
        """So many characters before a turn can be the end of its prompt."""
        return max(map(len, self.prompts.values()), default=0)

    def is_prompt(self, before: str, role: str) -> bool:
        """Whether the text before a turn ends as a prompt does behind a message of `role`."""
        return before.endswith(self._prompt(role))

    def without_lead(self, before: str) -> str:
        """The text before a turn's content without what the agent, or nobody, writes."""
        for prompt in filter(None, self.prompts.values()):
            for lead in (*self.leads, *self.passing):
                if before.endswith(prompt + lead):
                    return before.removesuffix(lead)
        return before

    def passing_in(self, turn: str) -> int:
        """How many characters at the beginning of `turn` are nobody's."""
        return next((len(one) for one in self.passing if turn.startswith(one)), 0)

    def given(self, before: str, turn: str, role: str) -> int:
        """How many characters of `turn` its prompt has already: `<think>`, where a prompt ends with it."""
        if self.is_prompt(before, role):
            return 0
        prompt = self._prompt(role)
        cuts = ((prompt[:at], prompt[at:]) for at in range(1, len(prompt)))
        fits = (len(end) for begin, end in cuts if turn.startswith(end) and before.endswith(begin))
        return next(fits, 0)

    def _prompt(self, role: str) -> str:
        """What a prompt adds behind a message of `role`: as behind a user's, where that is unknown."""
        return self.prompts.get(role, self.prompts.get("user", ""))


def added(prompt: str, without: str) -> str:
    """What `prompt` has more than the conversation without a generation prompt, from where they differ."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(prompt, without, strict=False))
    return prompt[sum(1 for _ in same) :]


def _lead(template: ChatTemplate, prompt: str, messages: list[TemplateMessage]) -> str | None:
    """What is between the end of `prompt` and the answer; None where the text does not begin as it does."""
    text = rendered(template, *messages) or ""
    lead, found, _ = text.removeprefix(prompt).partition(ANSWER["content"])
    return lead if found and text.startswith(prompt) else None


def _written(texts: set[str]) -> tuple[str, ...]:
    """Those with more than white space, longest first: white space is a matter of `space`."""
    return tuple(sorted(filter(str.strip, texts), key=len, reverse=True))
