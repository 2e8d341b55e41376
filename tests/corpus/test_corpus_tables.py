"""A corpus as a table of each kind, and back."""

import importlib.util
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.corpus import Corpus
from lar.corpus import tables as module
from lar.corpus.scores import scores_file
from lar.errors import CorpusError, MissingExtraError
from testing import toy
from testing.scores import score_with

# The tables that `Corpus` is written as and read from; the packages are optional.
FORMS = {"to_arrow": "pyarrow", "to_pandas": "pandas", "to_dataset": "datasets"}
TOKENIZER = toy.tokenizer()


def installed(form: str) -> None:
    package = FORMS[form]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")


@st.composite
def rows(draw):
    length = draw(st.integers(0, 12))
    ids = st.integers(0, TOKENIZER.base_size - 1)
    return {
        "id": draw(st.text(st.characters(codec="utf-8"), max_size=4)),
        "task": draw(st.sampled_from(["a", "b", "ü/c"])),
        "success": draw(st.sampled_from([True, False, None])),
        "tokens": draw(st.lists(ids, min_size=length, max_size=length)),
        "action": draw(st.lists(st.booleans(), min_size=length, max_size=length)),
    }


@pytest.mark.parametrize("form", FORMS)
@given(table=st.lists(rows(), min_size=1, max_size=6), shard_tokens=st.integers(1, 30))
@settings(max_examples=25)
def test_there_and_back_is_the_same_corpus(form, table, shard_tokens):
    installed(form)
    first = Corpus.from_arrow(pa.Table.from_pylist(table), TOKENIZER, shard_tokens=shard_tokens)
    assert first.to_arrow().to_pylist() == [{**row, "continues": False} for row in table]
    again = Corpus.from_arrow(getattr(first, form)(), TOKENIZER, shard_tokens=shard_tokens)
    assert list(again) == list(first)
    assert again.manifest == first.manifest


@pytest.mark.parametrize("form", FORMS)
def test_built_from_text_there_and_back(corpus, form):
    installed(form)
    for one in (corpus, corpus.split(0.3)[1]):
        again = Corpus.from_arrow(getattr(one, form)(), corpus.tokenizer)
        assert list(again) == list(one)
        assert again.num_action_tokens == one.num_action_tokens
        assert again.tasks == one.tasks


def test_a_table_is_what_the_corpus_is(corpus):
    table = corpus.to_arrow()
    assert table.schema.field("tokens").type == pa.list_(pa.uint32())
    assert table.schema.field("action").type == pa.list_(pa.bool_())
    assert table.num_rows == len(corpus)
    train, held_out = corpus.split(0.3)
    assert set(train.to_arrow()["task"].to_pylist()) == train.tasks
    assert corpus.select(lambda _: False).to_arrow().schema == held_out.to_arrow().schema == table.schema


def test_a_whole_corpus_is_not_copied(tmp_path):
    corpus = Corpus.build(toy.trajectories(300), TOKENIZER, tmp_path / "corpus")
    corpus.to_arrow()  # what is cached once
    before = pa.total_allocated_bytes()
    table = corpus.to_arrow()
    assert pa.total_allocated_bytes() - before < table.nbytes / 20


@pytest.mark.parametrize("form", FORMS)
def test_entropies_of_a_scored_corpus_are_a_column(form):
    installed(form)
    built = Corpus.build(toy.trajectories(6), TOKENIZER, shard_tokens=100)
    corpus = score_with(built, lambda shard: np.arange(len(shard.tokens)))
    assert len(corpus.manifest.parts) > 1
    table = getattr(corpus, form)()
    assert list(getattr(table, "column_names", None) or table.columns)[-1] == "entropy"
    found = (
        np.concatenate([np.asarray(row) for row in table["entropy"].to_pylist() if row is not None])
        if (form == "to_arrow")
        else np.concatenate([np.asarray(row) for row in table["entropy"]])
    )
    expected = np.concatenate([shard.entropy for shard in corpus.shards()])
    np.testing.assert_array_equal(found.astype(np.float16), expected)
    part = corpus.split(0.5)[0]
    entropies = pa.table(part.to_arrow())["entropy"].combine_chunks().flatten().to_numpy()
    np.testing.assert_array_equal(entropies, np.concatenate([shard.entropy for shard in part.shards()]))


def test_a_corpus_that_is_scored_in_part_has_no_entropies():
    corpus = score_with(
        Corpus.build(toy.trajectories(6), TOKENIZER, shard_tokens=100), lambda shard: shard.tokens
    )
    *_, last = corpus.manifest.parts
    scores_file(corpus.path / last.file).write_bytes(b"broken")
    with pytest.raises(CorpusError, match="broken scores"):
        corpus.to_arrow()
    scores_file(corpus.path / last.file).unlink()
    assert "entropy" not in corpus.to_arrow().column_names


def test_columns_may_have_other_names_and_masks_may_be_numbers(caplog):
    table = pa.table(
        {
            "input_ids": pa.array([[1, 2, 3], [4]], pa.large_list(pa.int64())),
            "assistant_masks": pa.array([[0, 1, 1], [0]], pa.list_(pa.int8())),
            "split": ["a", "b"],
            "note": ["x", "y"],
        }
    )
    corpus = Corpus.from_arrow(table, TOKENIZER, tokens="input_ids", action="assistant_masks", task="split")
    assert [(row.id, row.task, row.success, row.tokens.tolist(), row.action.tolist()) for row in corpus] == [
        ("0", "a", None, [1, 2, 3], [False, True, True]),
        ("1", "b", None, [4], [False]),
    ]
    assert "columns without a place in a corpus are left out: note" in caplog.text


TABLE = {"id": ["x", "y"], "task": ["a", "b"], "tokens": [[1, 2], [3]], "action": [[True, False], [True]]}


KINDS = [pa.string(), pa.large_string(), pa.int64(), pa.uint8()]
KINDS += [pa.string_view()] if hasattr(pa, "string_view") else []
KINDS += [pa.dictionary(pa.int32(), kind) for kind in (pa.string(), pa.int64())]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_names_are_texts_or_integers(kind):
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    values = pa.array([7, 8] if pa.types.is_integer(plain) else ["7", "8"], plain)
    names = values.dictionary_encode() if pa.types.is_dictionary(kind) else values
    corpus = Corpus.from_arrow(pa.table({**TABLE, "id": names, "task": names}), TOKENIZER)
    assert [(row.id, row.task) for row in corpus] == [("7", "7"), ("8", "8")]


@pytest.mark.parametrize(
    "change",
    [
        {"id": ["x", "z"]},
        {"task": ["a", "c"]},
        {"tokens": [[1, 2], [4]]},
        {"action": [[True, False], [False]]},
        {"success": [True, None]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_row_that_differs_in_any_part_is_other_input(change, tmp_path):
    Corpus.from_arrow(pa.table(TABLE), TOKENIZER, tmp_path / "corpus")
    with pytest.raises(CorpusError, match="other trajectories"):
        Corpus.from_arrow(pa.table({**TABLE, **change}), TOKENIZER, tmp_path / "corpus")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"action": [[True], [True]]}, "row 0: 2 tokens, but a mask of 1"),
        ({"tokens": [[1, 2], [-3]]}, "row 1, position 0: -3 is no id of the tokenizer (0 to "),
        ({"tokens": [[1, 10**9], [3]]}, "row 0, position 1: 1000000000 is no id of the tokenizer (0 to "),
        (
            {"tokens": [[1, len(TOKENIZER)], [3]]},
            f"row 0, position 1: {len(TOKENIZER)} is no id of the tokenizer (0 to {len(TOKENIZER) - 1})",
        ),
        ({"tokens": [[1.0, 2.0], [3.0]]}, "column 'tokens' holds list<item: double>, not lists of integers"),
        ({"tokens": [1, 2]}, "column 'tokens' holds int64, not lists of integers or truth values"),
        ({"tokens": [[1, None], [3]]}, "column 'tokens' holds a null in the rows from 0 on"),
        ({"tokens": [[1, 2], None]}, "column 'tokens' holds a null in the rows from 0 on"),
        ({"action": [[1, 0], [2]]}, "row 1, position 0: 2 in a mask is neither 0 nor 1"),
        ({"task": ["a", None]}, "column 'task' holds a null in the rows from 0 on"),
        ({"task": [["a"], ["b"]]}, "column 'task' holds list<item: string>, not texts or integers"),
        ({"task": [1.0, 2.0]}, "column 'task' holds double, not texts or integers"),
        ({"task": [True, False]}, "column 'task' holds bool, not texts or integers"),
        ({"task": [b"a", b"b"]}, "column 'task' holds binary, not texts or integers"),
        ({"id": [1.5, 2.5]}, "column 'id' holds double, not texts or integers"),
        ({"task": pa.array([1.5, 2.5]).dictionary_encode()}, "column 'task' holds dictionary<values=double"),
        ({"success": ["yes", "no"]}, "column 'success' holds string, not truth values"),
        ({"continues": [True, False]}, "row 0: 'continues' is true, but the row before is of no same run"),
        ({"continues": [False, True]}, "row 1: 'continues' is true, but the row before is of no same run"),
        ({"continues": [0, 1]}, "column 'continues' holds int64, not truth values"),
        ({"task": None}, "the table has no column 'task'; its columns are ['id', 'tokens', 'action']"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(change, line, tmp_path):
    columns = {name: values for name, values in {**TABLE, **change}.items() if values is not None}
    with pytest.raises(CorpusError, match=f"^{re.escape(line)}"):
        Corpus.from_arrow(pa.table(columns), TOKENIZER, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("name", ["id", "task", "success", "tokens", "action"])
def test_a_column_that_is_there_twice_is_named(corpus, name, tmp_path):
    once = table = corpus.to_arrow()
    for times in (2, 3):
        table = table.append_column(once.schema.field(name), once[name])
        line = f"the table has {times} columns {name!r}: rename all but one of them"
        with pytest.raises(CorpusError, match=f"^{line}$"):
            Corpus.from_arrow(table, TOKENIZER, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_what_has_no_place_in_a_corpus_may_be_there_twice(corpus):
    once = table = corpus.to_arrow()
    for _ in range(2):
        table = table.append_column("other", once["id"])
    assert list(Corpus.from_arrow(table, TOKENIZER)) == list(corpus)


def test_what_is_no_table_and_what_is_of_another_tokenizer(corpus):
    with pytest.raises(CorpusError, match=r"^a list is no table: give an Arrow table, a data frame"):
        Corpus.from_arrow([1], TOKENIZER)
    with pytest.raises(CorpusError, match=r"^no trajectories"):
        Corpus.from_arrow(pa.table(TABLE).slice(0, 0), TOKENIZER)
    other = corpus.to_arrow().replace_schema_metadata({"lar.tokenizer_fingerprint": "0" * 64})
    with pytest.raises(CorpusError, match=r"^the table holds ids of tokenizer 000000000000, not of this one"):
        Corpus.from_arrow(other, TOKENIZER)


def test_a_build_that_was_stopped_goes_on(corpus, tmp_path):
    table = corpus.to_arrow()

    def stop(done: int, _: int | None) -> None:
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Corpus.from_arrow(table, TOKENIZER, tmp_path / "c", shard_tokens=500, progress=stop)
    again = Corpus.from_arrow(table, TOKENIZER, tmp_path / "c", shard_tokens=500)
    once = Corpus.from_arrow(table, TOKENIZER, tmp_path / "once", shard_tokens=500)
    assert again.manifest == once.manifest
    for part in once.manifest.parts:
        assert (tmp_path / "c" / part.file).read_bytes() == (tmp_path / "once" / part.file).read_bytes()
    with pytest.raises(CorpusError, match="holds another corpus"):
        Corpus.from_arrow(table.slice(1), TOKENIZER, tmp_path / "c", shard_tokens=500)


@pytest.mark.parametrize("form", ["to_pandas", "to_dataset"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(corpus, form, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, FORMS[form], None)
    with pytest.raises(
        MissingExtraError, match=f"^Corpus.{form} needs {FORMS[form]}: (uv )?pip install {FORMS[form]}$"
    ):
        getattr(corpus, form)()


def test_rows_compare_by_what_they_hold(corpus):
    first, second = list(corpus)[:2]
    assert first == next(iter(corpus))
    assert hash(first) == hash(next(iter(corpus)))
    assert first != second
    assert len(first) == len(first.tokens)
    assert replace(first, continues=True) != first
    assert module.digest(module.TableRun((first,))) != module.digest(module.TableRun((second,)))


def test_an_iterable_dataset_is_a_table_and_a_dict_of_splits_is_none(corpus):
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    dataset = corpus.to_dataset()
    assert list(Corpus.from_arrow(dataset.to_iterable_dataset(), TOKENIZER)) == list(corpus)
    some = dataset.select([3, 1])
    assert [row.id for row in Corpus.from_arrow(some, TOKENIZER)] == [list(corpus)[at].id for at in (3, 1)]
    with pytest.raises(CorpusError, match=r"^a DatasetDict has a dataset for each split: .* 'train'$"):
        Corpus.from_arrow(datasets.DatasetDict({"train": dataset}), TOKENIZER)


def test_a_frame_of_mixed_kinds_is_one_line():
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = pandas.DataFrame({**TABLE, "tokens": [[1, 2], "three"]})
    with pytest.raises(CorpusError, match=r"^the frame is no table of Arrow: "):
        Corpus.from_arrow(frame, TOKENIZER)
