"""A corpus as a Python object: equality, pickling, length, truth."""

import pickle
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lar.corpus import Corpus
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories import write_trajectories
from testing import toy
from testing.metaspace import metaspace_first


def test_two_loads_are_equal_and_a_selection_is_another(corpus):
    again = Corpus.load(str(corpus.path))
    assert again == corpus
    assert hash(again) == hash(corpus)
    train, held_out = corpus.split(0.3)
    assert train != corpus
    assert train != held_out
    assert train == again.split(0.3)[0]
    assert train != again.split(0.3, seed=1)[0]
    assert corpus != str(corpus.path)


def test_a_corpus_and_a_split_can_be_pickled(corpus):
    train, _ = corpus.split(0.3)
    for one in (corpus, train, train.split(0.5)[1]):
        back = pickle.loads(pickle.dumps(one))
        assert back == one
        assert back.tasks == one.tasks
        assert back.num_tokens == one.num_tokens


def test_length_and_repr(corpus):
    train, held_out = corpus.split(0.3)
    assert len(train) + len(held_out) == len(corpus) == 60
    assert "60 trajectories" in repr(corpus)
    assert "selection" in repr(train)
    nothing = corpus.select(lambda _: False)
    assert len(nothing) == 0
    assert nothing  # a corpus all the same


@pytest.mark.parametrize("share", [0, 1, 2, 3])
def test_a_view_is_counted_without_reading_its_tokens(corpus, share, monkeypatch):
    names = sorted(corpus.tasks)
    view = corpus.select(lambda task: names.index(task) % 3 < share)
    shards = list(view.shards())
    expected = [(len(s.ids), len(s.tokens), int(s.action.sum())) for s in shards]
    monkeypatch.setattr("lar.corpus.shards.read_shard", None)
    found = view.num_trajectories, view.num_tokens, view.num_action_tokens
    assert found == tuple(sum(of_shard) for of_shard in zip((0, 0, 0), *expected, strict=True))


def test_views_share_the_tokenizer_of_the_corpus(corpus):
    train, held_out = corpus.split(0.3)
    views = (train, held_out, train.select(lambda _: True), corpus.with_split(0.2))
    assert all(view.tokenizer is corpus.tokenizer for view in views)


@pytest.mark.parametrize(
    "make",
    [
        lambda tokenizer: tokenizer,
        lambda tokenizer: tokenizer.backend,
        lambda tokenizer: Tokenizer(tokenizer.backend, config={"eos_token": "<|im_end|>"}),
        lambda _: Tokenizer(metaspace_first(), chat_template="{{ messages }}"),
    ],
)
def test_a_build_has_the_tokenizer_that_its_folder_holds(corpus, make, tmp_path):
    table = pa.table({"tokens": [[1, 2]], "action": [[True, True]], "task": ["t"]})
    built = Corpus.from_arrow(table, make(corpus.tokenizer), tmp_path / "built")
    again = Corpus.from_arrow(table, make(corpus.tokenizer), tmp_path / "built")
    stored = Corpus.load(tmp_path / "built").tokenizer
    assert built.tokenizer == again.tokenizer == stored
    assert [*built.tokenizer.barriers] == [*stored.barriers]


def test_a_pickled_corpus_is_small(corpus):
    assert corpus.tasks
    assert corpus.tokenizer
    assert len(pickle.dumps(corpus)) < 2000


def test_iteration_gives_the_trajectories_in_order(corpus):
    rows = list(corpus)
    assert [row.id for row in rows] == [name for shard in corpus.shards() for name in shard.ids]
    assert sum(len(row) for row in rows) == corpus.num_tokens
    assert sum(int(row.action.sum()) for row in rows) == corpus.num_action_tokens
    train, held_out = corpus.split(0.3)
    assert sorted(row.id for view in (train, held_out) for row in view) == sorted(row.id for row in rows)


def test_build_takes_paths_and_tables_of_logs(tokenizer, tmp_path):
    logs = toy.trajectories(5)
    expected = list(Corpus.build(logs, tokenizer))
    write_trajectories(logs, tmp_path / "logs.parquet")
    for source in (str(tmp_path), tmp_path / "logs.parquet", [tmp_path / "logs.parquet"]):
        assert list(Corpus.build(source, tokenizer, str(tmp_path / "corpus"))) == expected
    assert list(Corpus.build(pq.read_table(tmp_path / "logs.parquet"), tokenizer)) == expected


def test_build_takes_frames_and_datasets(tokenizer):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    logs = toy.trajectories(5)
    expected = list(Corpus.build(logs, tokenizer))
    records = [{"id": log.id, "task": log.task, "messages": log.messages} for log in logs]
    bare = [replace(row, success=None) for row in expected]
    for table in (pandas.DataFrame(records), datasets.Dataset.from_list(records)):
        assert list(Corpus.build(table, tokenizer)) == bare
