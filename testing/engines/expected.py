"""The replies of an export in transformers: greedy, in float32."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from lar.models.compatibility import cache_argument


@dataclass(frozen=True)
class Reply:
    """A generated reply, without the end of the turn.

    ids: its units. text: their text without special tokens. margins: for each unit, and the end if it was
    reached, its logit minus the second-highest logit (the log of the ratio of the two probabilities).
    """

    ids: list[int]
    text: str
    margins: list[float]


class Reference:
    """An export loaded in transformers."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def prompt(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> list[int]:
        """The ids of the conversation so far, with the header of the agent's turn."""
        text = self.tokenizer.apply_chat_template(
            messages, tools=tools, add_generation_prompt=True, tokenize=False
        )
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def reply(self, messages: list[dict[str, Any]], max_tokens: int = 64, **arguments: Any) -> Reply:
        """The greedy reply to `messages`; `arguments` go to `generate`."""
        return self.continued(self.prompt(messages), max_tokens, **arguments)

    def continued(self, prompt: list[int], max_tokens: int = 64, **arguments: Any) -> Reply:
        """The greedy reply to a prompt of ids."""
        ids = torch.tensor([prompt])
        with torch.no_grad():
            got = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=max_tokens,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
                **arguments,
            )
        written = got.sequences[0, ids.shape[1] :].tolist()
        best = torch.cat(got.logits).topk(2).values
        margins = (best[:, 0] - best[:, 1]).tolist()
        end = self.tokenizer.eos_token_id
        if written and written[-1] == end:
            written.pop()
        text = self.tokenizer.decode(written, skip_special_tokens=True)
        return Reply(written, text, margins)


class Cached(Reference):
    """A `Reference` that keeps the cache of the last prompt, so that a shared prefix is read once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._cache = DynamicCache()
        self._read: list[int] = []

    def reply(self, messages: list[dict[str, Any]], max_tokens: int = 64, **arguments: Any) -> Reply:
        """The greedy reply to `messages`."""
        ids = self.prompt(messages)
        shared = 0
        while shared < min(len(ids) - 1, len(self._read)) and ids[shared] == self._read[shared]:
            shared += 1
        if surplus := self._cache.get_seq_length() - shared:
            self._cache.crop(-surplus)
        done = super().reply(messages, max_tokens, **cache_argument(self._cache), **arguments)
        self._read = (ids + done.ids)[: self._cache.get_seq_length()]
        return done
