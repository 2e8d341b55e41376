"""The split that a corpus stores: made once, changed without tokenizing, obeyed unless tasks are selected."""

import json
import pickle

import pyarrow as pa
import pytest

from lar.corpus import Corpus
from lar.corpus.seen_tasks import check_unseen, digests_of
from lar.corpus.selection import Split
from lar.errors import CorpusError, OptionError
from testing.corpora import CHATML, build, contents, make_trajectories


def stored(corpus):
    return Corpus.load(corpus.path).own_split


def test_it_is_stored_and_its_sides_are_those_of_split(tmp_path):
    built = build(tmp_path, hold_out=0.3, split_seed=5)
    corpus = Corpus.load(built.path)
    assert corpus == built
    assert corpus.own_split == Split(0.3, 5)
    train, held_out = corpus.split(0.3, 5)
    assert (corpus.training, corpus.held_out) == (train, held_out)
    assert train.tasks | held_out.tasks == corpus.tasks
    assert len(corpus) == 200  # the corpus itself is whole


def test_a_corpus_without_one_is_learnt_from_whole(tmp_path):
    corpus = build(tmp_path)
    assert corpus.own_split is None
    assert corpus.held_out is None
    assert corpus.training is corpus


def test_selected_tasks_are_used_as_they_are(tmp_path):
    corpus = build(tmp_path, hold_out=0.3)
    for view in (*corpus.split(0.5, 1), corpus.select(lambda _: True), corpus.held_out):
        assert view.training is view
        assert view.held_out is None
        assert not view.is_whole


def test_a_side_has_the_split_that_it_is_a_side_of(tmp_path):
    corpus = build(tmp_path, hold_out=0.3)
    assert corpus.training.own_split == corpus.held_out.own_split == Split(0.3)
    assert corpus.split(0.5, 1)[0].own_split == Split(0.5, 1)
    assert corpus.training.select(lambda _: True).own_split == Split(0.3)
    assert corpus.select(lambda _: True).split(0.4)[1].own_split == Split(0.4)
    assert corpus.select(lambda _: True).own_split is None


def test_another_one_for_a_program_leaves_the_folder_as_it_is(tmp_path):
    corpus = build(tmp_path, hold_out=0.3)
    before = contents(corpus.path)
    other = corpus.with_split(0.5, 2)
    assert other.training == other.split(0.5, 2)[0]
    assert other != corpus
    assert corpus.with_split(0).held_out is None
    assert pickle.loads(pickle.dumps(other)).held_out == other.held_out
    assert contents(corpus.path) == before


@pytest.mark.parametrize(("share", "seed"), [(0.5, 0), (0.3, 7), (0, 0)])
def test_it_changes_without_tokenizing_again(tmp_path, monkeypatch, caplog, share, seed):
    before = contents(build(tmp_path, hold_out=0.3).path)
    monkeypatch.setattr("lar.corpus.encoding.encode_chunk", None)  # would fail
    corpus = build(tmp_path, hold_out=share, split_seed=seed)
    assert stored(corpus) == (Split(share, seed) if share else None)
    assert "was hold out 0.3, seed 0" in caplog.text
    after = contents(corpus.path)
    assert {name for name in after if after[name] != before[name]} == {"manifest.json"}
    assert contents(build(tmp_path, hold_out=0.3).path) == before


def test_built_again_without_a_word_about_it_it_stays(tmp_path, caplog):
    before = contents(build(tmp_path, hold_out=0.3).path)
    assert contents(build(tmp_path).path) == before
    assert contents(build(tmp_path, hold_out=0.3).path) == before
    assert "split" not in caplog.text


def test_other_input_changes_no_split(tmp_path):
    before = contents(build(tmp_path, hold_out=0.3).path)
    with pytest.raises(CorpusError, match="fewer trajectories"):
        Corpus.build(
            [*make_trajectories(), *make_trajectories()],
            CHATML,
            tmp_path / "corpus",
            shard_tokens=2000,
            hold_out=0.5,
        )
    assert contents(tmp_path / "corpus") == before


def test_a_build_that_goes_on_ends_in_the_same_bytes(tmp_path):
    def stopped():
        yield from make_trajectories()[:150]
        raise KeyboardInterrupt

    for name, first in (("with", 0.3), ("without", None)):
        with pytest.raises(KeyboardInterrupt):
            Corpus.build(stopped(), CHATML, tmp_path / name, shard_tokens=2000, workers=1, hold_out=first)
        build(tmp_path, name, hold_out=0.3)
    whole = contents(build(tmp_path, "whole", hold_out=0.3).path)
    assert contents(tmp_path / "with") == contents(tmp_path / "without") == whole


def test_of_a_table(tmp_path):
    table = build(tmp_path).to_arrow()
    corpus = Corpus.from_arrow(table, CHATML, tmp_path / "again", hold_out=0.3, split_seed=5)
    assert stored(corpus) == Split(0.3, 5)


def test_an_error_counts_trajectories_and_not_their_rows(tmp_path):
    rows = [
        {
            "id": str(run),
            "task": "a",
            "success": None,
            "tokens": [1, 2],
            "action": [False, True],
            "continues": go,
        }
        for run in range(10)
        for go in (False, True)
    ]
    with pytest.raises(CorpusError, match="all 10 trajectories share one task"):
        Corpus.from_arrow(pa.Table.from_pylist(rows), CHATML, tmp_path / "corpus", hold_out=0.5)


def test_a_manifest_of_before_has_none_and_a_broken_one_is_named(tmp_path):
    file = build(tmp_path, hold_out=0.3).path / "manifest.json"
    content = json.loads(file.read_text())
    before = {name: value for name, value in content.items() if name != "split"}
    file.write_text(json.dumps(before))
    assert Corpus.load(file.parent).held_out is None
    for broken in ({"hold_out": 2, "seed": 0}, {"hold_out": "0.3", "seed": 0}, {"hold_out": 0.3}, [], 0.3):
        file.write_text(json.dumps({**content, "split": broken}))
        with pytest.raises(CorpusError, match=r"manifest\.json: 'split' is wrong"):
            Corpus.load(file.parent)


@pytest.mark.parametrize("share", [-0.1, 1, 2])
def test_a_share_out_of_range_is_refused_before_anything_is_written(tmp_path, share):
    with pytest.raises(OptionError, match="held-out share"):
        build(tmp_path, hold_out=share)
    assert not (tmp_path / "corpus").exists()


def test_a_side_without_a_task_is_an_error_that_another_seed_corrects(tmp_path, monkeypatch):
    with pytest.raises(CorpusError, match=r"held-out side; try another seed \(.* stored without a split\)"):
        build(tmp_path, hold_out=1e-9)
    assert stored(Corpus.load(tmp_path / "corpus")) is None
    assert contents(build(tmp_path).path) == contents(build(tmp_path, "without").path)
    monkeypatch.setattr("lar.corpus.encoding.encode_chunk", None)  # would fail
    before = contents(build(tmp_path, hold_out=0.3).path)
    with pytest.raises(CorpusError, match="held-out side; try another seed"):
        build(tmp_path, hold_out=1e-9)
    assert contents(tmp_path / "corpus") == before  # a finished corpus keeps the split that it has


def test_a_seed_without_a_share_is_refused(tmp_path):
    with pytest.raises(OptionError, match="split_seed needs hold_out"):
        build(tmp_path, split_seed=1)
    assert not (tmp_path / "corpus").exists()


def test_seen_tasks_are_refused_by_name(tmp_path):
    corpus = build(tmp_path, hold_out=0.3)
    check_unseen(corpus.held_out, digests_of(corpus.training), "x was trained on")
    check_unseen(None, digests_of(corpus), "x was trained on")
    some = corpus.select(sorted(corpus.held_out.tasks)[:1].__contains__)
    with pytest.raises(CorpusError, match="x was trained on 1 of its ") as caught:
        check_unseen(corpus.held_out, digests_of(some), "x was trained on")
    assert repr(next(iter(some.tasks))) in str(caught.value)
    assert "\n" not in str(caught.value)
