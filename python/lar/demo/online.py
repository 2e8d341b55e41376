"""Agents at work: all tickets step together, each turn of all of them is one batched generation."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from lar.canonical import Canonicity, canonicity
from lar.chat import ChatTemplate
from lar.demo.base_tokenizer import END_OF_TURN
from lar.demo.environment import Environment
from lar.demo.expert import opening
from lar.demo.tasks import Task
from lar.distillation import Student
from lar.generation import Sampling, as_units, generate
from lar.progress import Progress, silent
from lar.tokenization import Tokenizer

GREEDY = Sampling(max_units=80)  # a turn; the expert writes at most about 60 base tokens


@dataclass
class Episode:
    """One ticket under way. `units` is all that the agent has read and written."""

    task: Task
    environment: Environment
    units: NDArray[np.uint32]
    written: list[NDArray[np.uint32]] = field(default_factory=list)
    base_tokens: int = 0

    @property
    def solved(self) -> bool:
        """Whether the environment's state is what the ticket demands."""
        return self.task.is_solved(self.environment.world)


@dataclass(frozen=True)
class Arm:
    """What one agent did: shares and means over all tickets.

    `uses` counts its latents by id; `canonicity` is of all its turns.
    """

    success: float
    turns: float
    units: float
    base_tokens: float
    seconds: float
    solved: tuple[bool, ...]
    uses: Counter[int]
    canonicity: Canonicity


def run_online(
    student: Student, tasks: Sequence[Task], sampling: Sampling = GREEDY, *, progress: Progress = silent
) -> Arm:
    """Let the student work on `tasks`, each turn as `sampling` says; `progress` counts closed tickets.

    A seed in `sampling` would be every turn's: for another one each, set torch's own before.
    """
    chat = _chat_of(student.vocabulary.tokenizer)
    episodes = [_begin(student, chat, task) for task in tasks]
    began = time.perf_counter()
    while live := [episode for episode in episodes if not episode.environment.done]:
        progress(len(episodes) - len(live), len(episodes))
        _turn(student, chat, live, sampling)
    progress(len(episodes), len(episodes))
    return _summary(student, episodes, time.perf_counter() - began)


def _chat_of(tokenizer: Tokenizer) -> ChatTemplate:
    return ChatTemplate(tokenizer.chat_template or "", tokenizer.special_tokens)


def _begin(student: Student, chat: ChatTemplate, task: Task) -> Episode:
    prompt = chat.render(opening(task), add_generation_prompt=True)
    return Episode(task, task.environment(), as_units(student.vocabulary, prompt))


def _turn(student: Student, chat: ChatTemplate, episodes: list[Episode], sampling: Sampling) -> None:
    """Let the agent write one turn of every episode, and the environments answer."""
    turns = generate(student, [episode.units for episode in episodes], sampling)
    for episode, turn in zip(episodes, turns, strict=True):
        answer = episode.environment.step(turn.text)
        heard = as_units(student.vocabulary, _hear(chat, answer, ended=turn.finish_reason == "end"))
        episode.units = np.concatenate([episode.units, turn.units, heard])
        episode.written.append(turn.units)
        episode.base_tokens += len(turn.base_ids)


def _hear(chat: ChatTemplate, answer: str, *, ended: bool) -> str:
    """Return the text between the agent's last token and its next one: the tool's turn and what frames it."""
    message = {"role": "tool", "content": answer}
    return ("\n" if ended else f"{END_OF_TURN}\n") + chat.render([message], add_generation_prompt=True)


def _summary(student: Student, episodes: list[Episode], seconds: float) -> Arm:
    written = [np.concatenate(episode.written) for episode in episodes]
    first_latent = student.vocabulary.base_size
    return Arm(
        success=mean(episode.solved for episode in episodes),
        turns=mean(episode.environment.turns for episode in episodes),
        units=mean(len(units) for units in written),
        base_tokens=mean(episode.base_tokens for episode in episodes),
        seconds=seconds,
        solved=tuple(episode.solved for episode in episodes),
        uses=Counter(unit for units in written for unit in units.tolist() if unit >= first_latent),
        canonicity=canonicity(student.vocabulary, (turn for episode in episodes for turn in episode.written)),
    )
