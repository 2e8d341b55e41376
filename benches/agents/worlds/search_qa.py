"""Open questions with a search tool, in Search-R1's form: `<think>`, `<search>`, `<answer>`.

The questions are of Natural Questions, TriviaQA and PopQA. The runs to learn from are Search-R1's own with
Qwen2.5-3B (`v1`) that answered other questions right. Two things make scores compare with nothing published:
- The pool of passages is biased: it holds what one dense retriever found for these questions, and the gold
  passages of Natural Questions. To find an answer in it is easier than in all of Wikipedia.
- The runs always search once, and their thoughts follow one template, so they are easy to compress.
Set-up `v0` of the same source is left out: it ran without a chat template, and in 23% of its runs the model
invents documents.

Splits. `test` and `unseen` are 200 questions each. `fresh` has all others of which the source has no run:
1,776 of Natural Questions and PopQA, and none of TriviaQA, whose questions have runs.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from benches.agents.worlds.answers import contains, is_exact
from benches.agents.worlds.data import records, shuffled
from benches.agents.worlds.retrieval import Passage, Search
from benches.agents.worlds.world import Opening, Runs, Split, Step, Task
from lar.tokenizer import Tokenizer
from lar.trajectories import Message, Trajectory

HELD_OUT = {"test": 200, "unseen": 200}
DATASETS = ("nq", "triviaqa", "popqa")

_SEARCH = re.compile(r"<search>(.*?)</search>", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_NEITHER = (
    "\nThis turn has neither a query between <search> and </search> nor an answer between <answer> and"
    " </answer>. Write one of them.\n"
)


class SearchQA:
    """The world of questions. `shared` holds tasks/search_qa; `tokenizer` cuts long results."""

    name = "search_qa"
    splits: tuple[Split, ...] = ("test", "unseen", "fresh")
    max_turns = 10

    def __init__(self, shared: Path, tokenizer: Tokenizer) -> None:
        self._folder = shared / "tasks" / "search_qa"
        self._tokenizer = tokenizer

    def tasks(self, split: Split, count: int | None = None) -> list[Task]:
        """The questions of a split, in a mixed order."""
        return [Task(name, self._questions[name]) for name in self._names(split)[:count]]

    def reset(self, task: Task) -> "Question":
        """The question at its start."""
        return Question(task.source, self._prompt, self._search)

    def runs(self, of: Runs = "training") -> Iterator[Trajectory]:
        """Search-R1's right runs of the other questions; or all of a split's, of which PopQA's have none."""
        held_out = {*self._names("test"), *self._names("unseen")}
        chosen = None if of == "training" else set(self._names(of))
        for record in self._runs:
            question = record["split_key"]
            if chosen is None:
                is_wanted = question not in held_out and record["success"]
            else:
                is_wanted = question in chosen
            if is_wanted:
                yield Trajectory(
                    record["id"], question, record["messages"], record["success"], record["model"]
                )

    def _names(self, split: Split) -> list[str]:
        if split == "fresh":
            asked = {record["split_key"] for record in self._runs}
            return [name for name in self._order[sum(HELD_OUT.values()) :] if name not in asked]
        first = 0 if split == "test" else HELD_OUT["test"]
        return self._order[first : first + HELD_OUT[split]]

    @cached_property
    def _questions(self) -> dict[str, dict[str, Any]]:
        found = records(self._folder / "questions.jsonl.gz")
        return {record["split_key"]: record for record in found if record["dataset"] in DATASETS}

    @cached_property
    def _order(self) -> list[str]:
        return shuffled(self._questions, self.name)

    @cached_property
    def _runs(self) -> list[dict[str, Any]]:
        found = records(self._folder / "trajectories.jsonl.gz")
        return [record for record in found if record["meta"]["run"].startswith("v1")]

    @cached_property
    def _prompt(self) -> list[Message]:
        """The opening of the runs, up to the question."""
        system, user = self._runs[0]["messages"][:2]
        instruction = user["content"].partition("Question: ")[0]
        return [system, {"role": "user", "content": f"{instruction}Question: "}]

    @cached_property
    def _search(self) -> Search:
        found = records(self._folder / "passages.jsonl.gz")
        return Search([Passage(record["title"], record["text"]) for record in found], self._tokenizer)


class Question:
    """One question. A turn searches or answers; success is an exact match with an alias of the answer."""

    def __init__(self, record: dict[str, Any], prompt: list[Message], search: Search) -> None:
        system, user = prompt
        question = record["question"].strip()
        asked = question if question.endswith("?") else f"{question}?"
        self.opening = Opening([system, {"role": "user", "content": f"{user['content']}{asked}\n"}])
        self._aliases = record["answers"]
        self._search = search

    def step(self, reply: str) -> Step:
        """Search, or score the answer; a turn without both is told so."""
        if answers := _ANSWER.findall(reply):
            answer = answers[-1].strip()
            substring = float(contains(answer, self._aliases))
            return Step(None, is_exact(answer, self._aliases), {"substring": substring})
        query = _SEARCH.search(reply)
        content = _NEITHER if query is None else self._search.result(query[1].strip())
        return Step({"role": "user", "content": content})

    def close(self) -> None:
        """Nothing is held."""
