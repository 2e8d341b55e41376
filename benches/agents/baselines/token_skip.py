"""TokenSkip (arXiv 2502.12067): the agent learns thoughts without their least important tokens.

In its smallest form: the importance of a thought's token is its information in nats under the adapted base,
given all before it; the paper has a trained classifier (LLMLingua-2). A share of each thought's tokens is
dropped, always the same one (`KEPT`); the paper trains on several and names the share in the prompt. Actions
stay whole. A dropped token takes its text along, so words may run into one another, as in the paper.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lar
from benches.agents.baselines.vanilla import action_of
from lar.models.causal_lm import load_model
from lar.models.device import autocast
from lar.tokenizer import ChatTemplate
from lar.trajectories import Message, Trajectory

KEPT = 0.7  # of a thought's tokens


def skipped(
    runs: Iterable[Trajectory], teacher: Path, device: str | None, kept: float = KEPT
) -> Iterator[Trajectory]:
    """The runs with shorter thoughts; `teacher` judges the tokens."""
    judge = _Judge(teacher, device)
    for run in runs:
        before: list[Message] = []
        for message in run.messages:
            is_agent = message["role"] == "assistant"
            before.append(judge.shortened(before, message, kept) if is_agent else message)
        yield replace(run, messages=before)


class _Judge:
    """The base model as the judge of its tokens."""

    def __init__(self, teacher: Path, device: str | None) -> None:
        self._tokenizer = lar.Tokenizer.load(teacher)
        self._model: Any = load_model(teacher, device=device).eval()
        self._template = ChatTemplate(self._tokenizer.chat_template or "", self._tokenizer.special_tokens)

    def shortened(self, before: list[Message], message: Message, kept: float) -> Message:
        """The agent's message without the least important tokens of its thought."""
        thought, action, rest = parts_of(message["content"])
        ids = self._tokenizer.encode(thought)
        if not len(ids):
            return message
        information = self._information(self._template.render(before, add_generation_prompt=True), ids)
        text = self._tokenizer.decode(ids[most_important(information, kept)])
        return {**message, "content": text + action + rest}

    @torch.inference_mode()
    def _information(self, context: str, ids: NDArray[np.uint32]) -> NDArray[np.float32]:
        """-log p of each of `ids` (n) after the context and the ids before it, in nats; float32 (n)."""
        prompt = self._tokenizer.encode(context)
        row = torch.from_numpy(np.concatenate([prompt, ids]).astype(np.int64))[None].to(self._model.device)
        with autocast(self._model):
            logits: Tensor = self._model(input_ids=row).logits[0, len(prompt) - 1 : -1].float()
        chosen = row[0, len(prompt) :, None]
        found: NDArray[np.float32] = -logits.log_softmax(-1).gather(1, chosen)[:, 0].cpu().numpy()
        return found


def parts_of(content: str) -> tuple[str, str, str]:
    """A turn's thought, its action, and what follows; a turn without an action is thought alone."""
    found = action_of(content)
    if found is None:
        return content, "", ""
    return content[: found.start()], found[0], content[found.end() :]


def most_important(information: NDArray[np.floating[Any]], kept: float) -> NDArray[np.int64]:
    """The places of the share `kept` of the values that are largest, ascending; of equal ones the first."""
    number = round(kept * len(information))
    order = np.argsort(-information, kind="stable")[:number]
    return np.sort(order)
