"""The baselines: what each does to runs, words and conversations."""

from collections import Counter
from dataclasses import replace
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="the bench needs the extra `train`")
pytest.importorskip("transformers", reason="the bench needs the extra `train`")

from benches.agents.agent import Turn
from benches.agents.baselines import concise_hint
from benches.agents.baselines.acon import CompressingAgent, compressed, shortened
from benches.agents.baselines.concise_hint import HINT, HintedAgent, action_begins
from benches.agents.baselines.published import by_next_word, entropy, ranked
from benches.agents.baselines.token_skip import most_important, parts_of, skipped
from benches.agents.baselines.vanilla import without_thoughts
from benches.agents.episodes import run_batch
from benches.agents.student_agent import StudentAgent
from benches.agents.worlds.world import Opening
from lar.distillation import Student
from lar.generation.sampling import Sampling
from lar.trajectories import Trajectory
from testing import tiny, toy

SAMPLING = Sampling(max_units=60)
WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=12)


@pytest.fixture(scope="module")
def student(corpus):
    return Student.plain(tiny.teacher(corpus), corpus.tokenizer).eval()


def test_vanilla_keeps_the_actions_alone():
    said = [
        "I think. <search> rome </search>",
        "Well.\n<answer> 5 </answer> done",
        'Thought: a\nAction: {"name": "done", "arguments": {}}',
        "nothing to do",
    ]
    run = Trajectory("run", "task", [{"role": "user", "content": "x <answer> y </answer>"}])
    run.messages.extend({"role": "assistant", "content": text} for text in said)
    assert [message["content"] for message in next(without_thoughts([run])).messages] == [
        "x <answer> y </answer>",
        "<search> rome </search>",
        "<answer> 5 </answer>",
        'Action: {"name": "done", "arguments": {}}',
        "nothing to do",
    ]


@given(st.lists(WORDS, max_size=4))
def test_ngrams_are_ranked_by_their_definition(texts):
    def score(gram):
        places = [
            (text, start)
            for text in texts
            for start in range(len(text))
            if tuple(text[start : start + len(gram)]) == gram
        ]
        after = Counter(text[start + len(gram)] for text, start in places if start + len(gram) < len(text))
        total = after.total()
        return len(places) / (1 - sum(n / total * log(n / total) for n in after.values())), len(places)

    grams = {
        tuple(text[i:j])
        for text in texts
        for i in range(len(text))
        for j in range(i + 2, min(i + 8, len(text)) + 1)
    }
    expected = {gram: score(gram) for gram in grams}
    kept = [gram for gram in grams if expected[gram][1] > 1]
    found = ranked(texts)
    assert sorted(found) == sorted(kept)
    scores = [expected[gram][0] for gram in found]
    assert np.all(np.diff(scores) <= 1e-9)


def test_published_latents_are_words_of_the_agent(corpus):
    found = by_next_word(corpus, 20)
    assert len(found) == 20
    assert all(latent.text.startswith(" ") and " " in latent.text.strip() for latent in found)
    assert entropy(Counter()) == 0


@given(st.lists(st.floats(0, 9), max_size=20), st.floats(0, 1))
def test_the_most_informative_tokens_stay_in_order(information, kept):
    places = most_important(np.array(information), kept)
    assert len(places) == round(kept * len(information))
    assert np.all(np.diff(places) > 0)
    dropped = set(range(len(information))) - set(places.tolist())
    if len(places) and dropped:
        assert min(information[place] for place in places) >= max(information[place] for place in dropped)


def test_token_skip_shortens_thoughts_and_keeps_actions(teacher_folder):
    thought = "I will look up the weather in Lima. "
    turn = {"role": "assistant", "content": thought + "<search> Lima </search> then"}
    run = Trajectory("run", "task", [{"role": "user", "content": "How warm is it in Lima?"}, turn])
    (whole,), (half,) = (list(skipped([run], teacher_folder, "cpu", kept)) for kept in (1.0, 0.5))
    assert whole == run
    said = half.messages[1]["content"]
    assert parts_of(said)[1:] == ("<search> Lima </search>", " then")
    ids = toy.tokenizer().encode
    assert 0 < len(ids(parts_of(said)[0])) < len(ids(thought))
    assert half.messages[0] == run.messages[0]


@given(st.text(alphabet="ab. \n", max_size=60), st.floats(0, 1))
def test_a_compressed_text_is_sentences_of_it_within_its_share(text, kept):
    found = shortened(text, "a b", kept)
    assert len(found) <= kept * len(text)
    rest = iter(text)
    assert all(character in rest for character in found)
    assert shortened(text, "a b", 1.0) == text


def test_the_task_and_the_agents_turns_are_not_compressed():
    said = [
        ("system", "s. " * 9),
        ("user", "rome. " * 9),
        ("assistant", "a. " * 9),
        ("user", "Oslo. Rome. Bern. Rome."),
    ]
    messages = [{"role": role, "content": content} for role, content in said]
    found = compressed(messages, kept=0.6)
    assert found[:3] == messages[:3]
    assert found[3]["content"] == " Rome. Rome."


class Recording:
    """Replies with one word; keeps the openings with which conversations were begun."""

    name, seconds, passes = "recording", 1.0, 2

    def __init__(self):
        self.begun = []

    def begin(self, openings):
        self.begun.append([opening.messages for opening in openings])
        return self

    def reply(self):
        return [Turn("so. ", 1, 1, 1, 9)] * len(self.begun[-1])

    def hear(self, observations):
        pass

    def keep(self, rows):
        pass


def test_a_long_conversation_begins_anew_with_compressed_observations():
    task = {"role": "user", "content": "Where is Rome?"}
    heard = [{"role": "user", "content": f"Rome {turn}. Oslo {turn}. "} for turn in range(3)]
    inner = Recording()
    conversations = CompressingAgent(inner, bound=5, kept=0.5).begin([Opening([task])])
    messages = [task]
    for turn, observation in enumerate(heard):
        conversations.reply()
        conversations.hear([observation])
        messages = [
            *compressed([*messages, {"role": "assistant", "content": "so. "}], 0.5, 2 * turn),
            observation,
        ]
        assert inner.begun[turn + 1] == [messages]
    assert [message["content"] for message in messages[2::2]] == ["Rome 0. ", "Rome 1. ", "Rome 2. Oslo 2. "]
    assert (conversations.seconds, conversations.passes) == (4.0, 8)
    within = CompressingAgent(inner, bound=100).begin([Opening([task])])
    within.reply()
    within.hear(heard[:1])
    assert len(inner.begun) == 5


def test_compression_changes_nothing_below_its_bound(world, student):
    agent = StudentAgent("student", student, Sampling(max_units=12))
    agents = agent, CompressingAgent(agent, bound=10_000)
    plain, never = (run_batch(world, world.tasks("test"), one) for one in agents)
    for one, other in zip(plain, never, strict=True):
        assert replace(one, seconds=0.0) == replace(other, seconds=0.0)


def test_hints_are_read_and_not_generated(world, student, monkeypatch):
    agents = StudentAgent("plain", student, SAMPLING), HintedAgent("hinted", student, SAMPLING)
    monkeypatch.setattr(concise_hint, "FIRST", 10_000)
    plain, without = (run_batch(world, world.tasks("test", 3), agent) for agent in agents)
    for one, other in zip(plain, without, strict=True):
        assert (one.messages, one.units, one.read, one.sent) == (
            other.messages,
            other.units,
            other.read,
            other.sent,
        )
    monkeypatch.setattr(concise_hint, "FIRST", 5)
    hinted = run_batch(world, world.tasks("test", 3), agents[1])
    opening = len(student.vocabulary.encode_text(HINT))
    assert sum(result.read for result in hinted) > sum(result.read for result in without) + opening - 1
    assert all(HINT not in message["content"] for result in hinted for message in result.messages)


@pytest.mark.parametrize("text", ["so <search", "Action", "x Action: y"])
def test_a_thought_goes_on_until_its_action(text):
    assert not action_begins(text)
    assert action_begins(f"{text}\n<search> rome")
    assert action_begins(f"{text}\nAction: {{")
