"""Updates: what still pays keeps its id, the rest is replaced."""

from dataclasses import asdict, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import lar
from lar.corpus import Corpus
from lar.errors import CorpusError, VocabularyError
from lar.mining.mine import mine
from lar.mining.options import MiningOptions
from lar.mining.taken_over import taken_over
from lar.mining.update import rows_of
from lar.trajectories import Trajectory
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import toy
from testing.scores import score_with


def latent(row, segment):
    return Latent(100 + row, segment, "", 1, 1, 1)


segments = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), unique=True, max_size=10)


@given(segments, segments)
def test_rows_hold_the_chosen_segments_and_what_stays_keeps_its_row(before, chosen):
    old = [latent(row, segment) for row, segment in enumerate(before)]
    rows = rows_of(old, chosen)
    assert sorted(rows.order) == list(range(len(chosen)))
    result = [chosen[index] for index in rows.order]
    same = sum(one == other for one, other in zip(before, result, strict=False))
    stayed = set(before) & set(chosen)
    assert (rows.kept, rows.moved) == (same, len(stayed) - same)
    assert {gone.tokens for gone in rows.retired} == set(before) - set(chosen)
    if len(chosen) >= len(before):
        assert rows.moved == 0
    for row, segment in enumerate(before):
        if segment in stayed and row < len(chosen):
            assert result[row] == segment
    new = [segment for segment in chosen if segment not in stayed]
    if rows.moved == 0:
        assert [segment for segment in result if segment not in stayed] == new


def other_agent(number):
    """Runs of an agent that shares the toy's opening and calls another tool."""
    for index in range(number):
        messages = [
            {"role": "user", "content": f"Where is parcel {index}?"},
            {"role": "assistant", "content": f"I will look up the parcel {index * 7} in the depot list."},
        ]
        yield Trajectory(id=f"parcel-{index}", task=f"parcel-{index}", messages=messages)


@pytest.fixture(scope="module")
def mixed(tokenizer, tmp_path_factory):
    """New logs: half of the old agent, half of another."""
    logs = [*toy.trajectories(30, first=500), *other_agent(30)]
    return Corpus.build(logs, tokenizer, tmp_path_factory.mktemp("mixed") / "corpus")


def test_the_same_logs_change_nothing(corpus, vocabulary):
    again = mine(corpus, update=vocabulary)
    assert again == vocabulary
    counts = {"kept": 12, "moved": 0, "new": 0, "retired": []}
    assert {name: again.mining["update"][name] for name in counts} == counts


def test_what_pays_keeps_its_id_and_new_segments_take_the_rows_of_others(mixed, vocabulary):
    updated = mine(mixed, update=vocabulary)
    assert updated.size == vocabulary.size
    record = updated.mining["update"]
    same = [old.id for old, new in zip(vocabulary, updated, strict=True) if old.tokens == new.tokens]
    assert len(same) == record["kept"]
    assert 0 < record["kept"] < vocabulary.size
    assert record["moved"] == 0
    assert record["new"] == len(record["retired"]) == vocabulary.size - record["kept"]
    assert any("parcel" in new.text or "depot" in new.text for new in updated)
    assert vocabulary.mined_tasks < updated.mined_tasks
    held_out = lar.evaluate(mixed, updated).total.reduction
    assert held_out > lar.evaluate(mixed, vocabulary).total.reduction


def test_a_larger_size_adds_rows_behind_the_others(mixed, vocabulary):
    updated = mine(mixed, 20, update=vocabulary)
    assert updated.size == 20
    assert updated.mining["update"]["moved"] == 0


def test_an_update_keeps_more_than_a_new_choice(mixed, vocabulary):
    old = {latent.tokens for latent in vocabulary}
    anew = {latent.tokens for latent in mine(mixed, vocabulary.size)}
    updated = {latent.tokens for latent in mine(mixed, update=vocabulary)}
    assert len(old & updated) >= len(old & anew)


def test_a_vocabulary_of_another_tokenizer_is_refused(corpus, tmp_path):
    other = Corpus.build(toy.trajectories(6), toy.tokenizer(size=300), tmp_path / "corpus")
    with pytest.raises(VocabularyError, match="the vocabulary was mined with tokenizer"):
        mine(corpus, update=mine(other, size=2))


def test_latents_that_still_pay_are_candidates_however_many_others_save_more(tokenizer, monkeypatch):
    """Of a long text that recurs, the parts alone are more candidates than a small vocabulary takes."""
    monkeypatch.setattr("lar.mining.options.CANDIDATES_A_LATENT", 2)
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho tau"
    logs = [
        Trajectory(
            id=str(n),
            task=str(n),
            messages=[
                message
                for text in [words] * 8 + [f"please restart {'abcdef'[n]}"] * 3
                for message in ({"role": "user", "content": "go"}, {"role": "assistant", "content": text})
            ],
        )
        for n in range(6)
    ]
    corpus = Corpus.build(logs, tokenizer)
    held = corpus.tokenizer.encode_batch([words, "please restart"])
    before = LatentVocabulary(
        tuple(
            Latent(tokenizer.base_size + row, tuple(ids.tolist()), tokenizer.decode(ids), 1, 1, 1)
            for row, ids in enumerate(held)
        ),
        tokenizer,
    )
    updated = mine(corpus, update=before, gates="none")
    assert [latent.tokens for latent in updated] == [latent.tokens for latent in before]


def test_an_update_of_an_empty_vocabulary_chooses_the_size(corpus, tokenizer):
    updated = mine(corpus, update=LatentVocabulary((), tokenizer), gates="none")
    assert updated.latents == mine(corpus, gates="none").latents


_VALUES = {
    "size": st.integers(1, 6),
    "min_support": st.integers(1, 3),
    "min_count": st.integers(1, 3),
    "max_length": st.integers(8, 64),
    "max_entropy": st.sampled_from([None, 0.5, "p60"]),
    "gates": st.sampled_from(["engines", "none", "token,header"]),
    "min_kept": st.sampled_from([0.0, 0.25, 0.5]),
    "prompt_weight": st.sampled_from([0.0, 0.125]),
}
some_options = st.fixed_dictionaries({}, optional=_VALUES)


@given(first=some_options, second=some_options)
@settings(max_examples=15)
def test_options_that_are_not_given_are_the_earlier_ones(small, first, second):
    before = mine(small, **{"size": 6, **first})
    assume(before.size)
    plain = {**asdict(MiningOptions(**{"size": 6, **first})), "size": before.size}
    taken = taken_over(before, ())
    assert list(taken) == [name for name in plain if name != "tools"]
    assert MiningOptions(**taken).limits == MiningOptions(**plain).limits
    updated = mine(small, update=before, **second)
    same = mine(small, update=before, **{**taken, **second})
    assert updated == same
    assert updated.mining["update"]["options"] == {k: v for k, v in taken.items() if k not in second}
    without = {"update", "size"}
    assert {k: v for k, v in updated.mining.items() if k not in without} == {
        k: v for k, v in same.mining.items() if k not in without
    }


@pytest.fixture(scope="module")
def small(tokenizer, tmp_path_factory):
    return Corpus.build(toy.trajectories(12), tokenizer, tmp_path_factory.mktemp("small") / "corpus")


def test_a_gate_stays_and_a_value_that_is_given_takes_its_place(corpus):
    before = mine(corpus, 8, max_entropy="p60", gates="none", prompt_weight=0.1)
    kept = mine(corpus, update=before).mining
    names = [cost["name"] for cost in kept["gates"]]
    assert (kept["max_entropy"], kept["prompt_weight"], names) == ("p60", 0.1, ["characters"])
    given_none = mine(corpus, update=before, max_entropy=None, gates="engines").mining
    assert (given_none["max_entropy"], given_none["prompt_weight"]) == (None, 0.1)
    assert len(given_none["gates"]) > 1
    assert set(given_none["update"]["options"]).isdisjoint({"max_entropy", "gates"})


def test_what_a_record_lacks_is_named(corpus, caplog):
    before = mine(corpus, 4)
    old = replace(before, mining={k: v for k, v in before.mining.items() if k not in ("min_kept", "gates")})
    mine(corpus, update=old)
    line = "the vocabulary to update does not record its gates, min_kept: the defaults are taken"
    assert caplog.messages.count(line) == 1
    with_tools = replace(before, mining={**before.mining, "tools": {"tools": 1, "new": ["x"]}})
    mine(corpus, update=with_tools)
    assert [message for message in caplog.messages if "give it again (--tools)" in message]


def test_a_gate_of_a_teacher_is_not_taken_over_without_scores(corpus):
    before = mine(corpus, 4, max_entropy="p60")
    scored = replace(before, mining={**before.mining, "teacher": {"name": "big-model"}})
    with pytest.raises(CorpusError, match=r"p60 by the entropies of its teacher big-model.*run lar score"):
        mine(corpus, update=scored)
    for gate in ("p60", None):
        assert mine(corpus, update=scored, max_entropy=gate).mining["max_entropy"] == gate


def test_a_gate_by_n_grams_that_becomes_one_by_a_teacher_is_warned_of(corpus, tokenizer, tmp_path, caplog):
    scored = Corpus.build(toy.trajectories(30), tokenizer, tmp_path / "scored")
    score_with(scored, lambda shard: shard.tokens % 7)
    line = "the gate p60 of the vocabulary to update was by n-gram entropies"
    for gate, logs, is_named in (("p60", corpus, False), (None, scored, False), ("p60", scored, True)):
        before = mine(corpus, 4, max_entropy=gate)
        caplog.clear()
        mine(logs, update=before)
        assert any(message.startswith(line) for message in caplog.messages) is is_named
    caplog.clear()
    mine(scored, update=before, max_entropy="p60")
    assert line not in caplog.text
