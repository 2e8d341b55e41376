"""Runs an agent in many sessions; each turn of all sessions is one batched generation."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from lar.demo.base_tokenizer import END_OF_TURN
from lar.demo.session import Session
from lar.distillation import Student
from lar.evaluation.canonicity import Canonicity, canonicity
from lar.generation.batch import ConversationBatch
from lar.generation.sampling import Sampling
from lar.tokenizer import ChatTemplate, TemplateMessage
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.progress import Progress, silent

GREEDY = Sampling(max_units=80)  # per turn; the order desk's expert writes at most about 60 base tokens


@dataclass
class Episode:
    """One running session. `heard` is the text that the agent has not read yet."""

    session: Session
    heard: str
    written: list[NDArray[np.uint32]] = field(default_factory=list)
    base_tokens: int = 0


@dataclass(frozen=True)
class Arm:
    """The result of one agent: shares and means over all sessions.

    uses: number of uses of each latent, by id. canonicity: of all turns. seconds: wall time of all sessions.
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
    student: Student, sessions: Sequence[Session], sampling: Sampling = GREEDY, *, progress: Progress = silent
) -> Arm:
    """Run the student in fresh `sessions` and return the result; `progress` counts finished sessions.

    A seed in `sampling` is set again before each turn. For different draws in each turn, seed torch instead.
    """
    chat = _chat_of(student.vocabulary.tokenizer)
    episodes = [
        Episode(session, chat.render(session.opening(), add_generation_prompt=True)) for session in sessions
    ]
    conversations = ConversationBatch(student, len(episodes), sampling)
    began = time.perf_counter()
    live = episodes
    while live:
        progress(len(episodes) - len(live), len(episodes))
        _turn(conversations, chat, live)
        going_on = [row for row, episode in enumerate(live) if not episode.session.done]
        live = [live[row] for row in going_on]
        conversations.keep(going_on)
    progress(len(episodes), len(episodes))
    return _summary(student, episodes, time.perf_counter() - began)


def _chat_of(tokenizer: Tokenizer) -> ChatTemplate:
    return ChatTemplate(tokenizer.chat_template or "", tokenizer.special_tokens)


def _turn(conversations: ConversationBatch, chat: ChatTemplate, episodes: list[Episode]) -> None:
    """Generate one turn of every episode, and take the environments' answers."""
    turns = conversations.reply([episode.heard for episode in episodes])
    for episode, turn in zip(episodes, turns, strict=True):
        answer = {"role": episode.session.answer_role, "content": episode.session.step(turn.text)}
        episode.heard = _hear(chat, answer, ended=turn.finish_reason == "end")
        episode.written.append(turn.units)
        episode.base_tokens += len(turn.base_ids)


def _hear(chat: ChatTemplate, answer: TemplateMessage, *, ended: bool) -> str:
    """Return the text between the agent's last token and its next one: the answer and its frame."""
    return ("\n" if ended else f"{END_OF_TURN}\n") + chat.render([answer], add_generation_prompt=True)


def _summary(student: Student, episodes: list[Episode], seconds: float) -> Arm:
    written = [np.concatenate(episode.written) for episode in episodes]
    first_latent = student.vocabulary.base_size
    return Arm(
        success=mean(episode.session.solved for episode in episodes),
        turns=mean(episode.session.turns for episode in episodes),
        units=mean(len(units) for units in written),
        base_tokens=mean(episode.base_tokens for episode in episodes),
        seconds=seconds,
        solved=tuple(episode.session.solved for episode in episodes),
        uses=Counter(unit for units in written for unit in units.tolist() if unit >= first_latent),
        canonicity=canonicity(student.vocabulary, (turn for episode in episodes for turn in episode.written)),
    )
