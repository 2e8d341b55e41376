"""A model behind an OpenAI-compatible server (vLLM, llama-server, ...) as an agent."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

from benches.agents.agent import Turn
from benches.agents.worlds.world import Opening
from lar.generation.sampling import Sampling
from lar.tokenizer import Tokenizer
from lar.trajectories import Message

_NO_KEY = "none"  # servers of one's own want no key, but the client does


class ServerAgent:
    """Replies as the server's model does. The server has the chat template and the cache.

    base_url: for example "http://localhost:8000/v1". model: its name there. tokenizer: the base model's. It
    counts base tokens; the server counts units. `sampling.top_k` and `canonical` are not sent.
    """

    def __init__(self, base_url: str, model: str, tokenizer: Tokenizer, sampling: Sampling) -> None:
        self.name = model
        self._client = openai.OpenAI(base_url=base_url, api_key=_NO_KEY, max_retries=0, timeout=600)
        self._base_url = base_url
        self._tokenizer = tokenizer
        self._sampling = sampling

    def begin(self, openings: Sequence[Opening]) -> "ServerConversations":
        """Begin conversations that ask the server at the same time."""
        return ServerConversations(self, openings)

    def complete(self, messages: list[Message], opening: Opening) -> Turn:
        """Ask for one reply; SystemExit with one line where the server cannot be reached or refuses."""
        sampling = self._sampling
        options: dict[str, Any] = {"tools": opening.tools} if opening.tools else {}
        if sampling.seed is not None:
            options["seed"] = sampling.seed
        if sampling.stop:
            options["stop"] = [sampling.stop] if isinstance(sampling.stop, str) else list(sampling.stop)
        try:
            found = self._client.chat.completions.create(
                model=self.name,
                messages=messages,  # type: ignore[arg-type]  # a Message is one of the client's types
                max_tokens=sampling.max_units,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                **options,
            )
        except openai.OpenAIError as error:
            raise SystemExit(
                f"{self._base_url}, model {self.name}: {' '.join(str(error).split())}"
            ) from error
        text, usage = found.choices[0].message.content or "", found.usage
        if usage is None:
            raise SystemExit(f"{self._base_url}: the server does not count tokens")
        base_tokens = len(self._tokenizer.backend.encode(text, add_special_tokens=False).ids)
        ended = found.choices[0].finish_reason == "stop"
        units = usage.completion_tokens
        return Turn(text, units, base_tokens + int(ended), usage.prompt_tokens, usage.prompt_tokens)


class ServerConversations:
    """Conversations with one server; see `benches.agents.agent.Conversations`.

    Each turn sends the whole conversation, and `read` of a turn is all of it, whatever the server has cached.
    """

    def __init__(self, agent: ServerAgent, openings: Sequence[Opening]) -> None:
        self.seconds = 0.0
        self.passes: int | None = None
        self._agent = agent
        self._openings = list(openings)
        self._messages = [list(opening.messages) for opening in openings]

    def reply(self) -> list[Turn]:
        """Ask for all replies at the same time."""
        began = time.perf_counter()
        with ThreadPoolExecutor(len(self._messages)) as pool:
            turns = list(pool.map(self._agent.complete, self._messages, self._openings))
        self.seconds += time.perf_counter() - began
        for messages, turn in zip(self._messages, turns, strict=True):
            messages.append({"role": "assistant", "content": turn.text})
        return turns

    def hear(self, observations: Sequence[Message]) -> None:
        """Add the observations to the messages."""
        for messages, observation in zip(self._messages, observations, strict=True):
            messages.append(observation)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop the other conversations."""
        self._openings = [self._openings[row] for row in rows]
        self._messages = [self._messages[row] for row in rows]
