"""The public functions take an object or its path, and name the right call where arguments change places."""

import pytest

import lar
from lar.errors import CorpusError, LarError, OptionError, VocabularyError
from testing import toy


@pytest.fixture(scope="module")
def vocabulary_folder(vocabulary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("arguments") / "vocabulary"
    vocabulary.save(folder)
    return folder


def test_paths_and_objects_give_the_same(corpus, vocabulary, vocabulary_folder):
    expected = lar.evaluate(corpus, vocabulary).to_dict()
    for found in (
        lar.evaluate(str(corpus.path), str(vocabulary_folder)),
        lar.evaluate(corpus.path, vocabulary),
        lar.evaluate({corpus.path.name: str(corpus.path)}, vocabulary_folder),
    ):
        assert found.to_dict() == expected
    assert lar.mine(str(corpus.path), 4) == lar.mine(corpus, 4)
    assert lar.mine(corpus, 4, update=vocabulary_folder) == lar.mine(corpus, 4, update=vocabulary)


def test_a_report_takes_paths(corpus, vocabulary, vocabulary_folder, tmp_path):
    lar.report(str(corpus.path), tmp_path / "paths.html", vocabulary=str(vocabulary_folder))
    lar.report(corpus, tmp_path / "objects.html", vocabulary=vocabulary)
    assert (tmp_path / "paths.html").read_text() == (tmp_path / "objects.html").read_text()


CALLS = {
    "evaluate": lambda corpus, vocabulary, _: lar.evaluate(vocabulary, corpus),
    "mine": lambda _, vocabulary, __: lar.mine(vocabulary),
    "update": lambda corpus, *_: lar.mine(corpus, update=corpus),
    "report": lambda _, vocabulary, out: lar.report(vocabulary, out),
    "score": lambda _, vocabulary, __: lar.score(vocabulary, "model"),
    "distill": lambda corpus, vocabulary, _: lar.distill(vocabulary, "model", corpus),
    "estimate": lambda *_: lar.estimate(iter(toy.trajectories(3))),
    "held_out": lambda corpus, vocabulary, _: lar.distill(corpus, "model", vocabulary, held_out=vocabulary),
    "adapt": lambda _, vocabulary, __: lar.adapt(vocabulary, "model"),
    "generate": lambda *_: lar.generate(["a prompt"], "student"),
    "export": lambda corpus, _, out: lar.export(corpus, out),
    "write": lambda *_: lar.write_trajectories("logs.jsonl", "out.parquet"),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_such_object_is_refused_with_the_right_call(name, corpus, vocabulary, tmp_path):
    with pytest.raises(TypeError, match=r"(lar\.\w+|write_trajectories)\(.*(takes a|takes the|read)"):
        CALLS[name](corpus, vocabulary, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_paths_in_each_others_place_are_named(corpus, vocabulary_folder):
    with pytest.raises(LarError, match=r"vocabulary: not a corpus"):
        lar.evaluate(vocabulary_folder, corpus.path)
    with pytest.raises(FileNotFoundError, match="no vocabulary"):
        lar.evaluate(corpus.path, corpus.path)


@pytest.mark.parametrize("is_folder", [False, True])
def test_logs_in_place_of_a_corpus_are_named_with_the_call_that_makes_one(is_folder, vocabulary, tmp_path):
    logs = tmp_path / "logs.jsonl.gz"
    lar.write_trajectories(toy.trajectories(3), logs)
    given = tmp_path if is_folder else logs
    for call in (lar.mine, lar.estimate, lambda path: lar.evaluate(path, vocabulary)):
        with pytest.raises(CorpusError, match=r"not a corpus .*lar\.Corpus\.build.* makes one") as refused:
            call(given)
        assert str(refused.value).startswith(f"{given}: ")
        assert "Errno" not in str(refused.value)


WRONG_OPTIONS = {
    "size": lambda corpus: lar.mine(corpus, size="64"),
    "min_count": lambda corpus: lar.mine(corpus, min_count=2.5),
    "max_entropy": lambda corpus: lar.mine(corpus, max_entropy=["p60"]),
    "size ": lambda corpus: lar.estimate(corpus, sizes=[4, "8"]),
    "gates": lambda corpus: lar.mine(corpus, gates=["border"]),
    r"gates .* entropy_gates": lambda corpus: lar.estimate(corpus, gates=["p60"]),
    "sizes, .* in place of size": lambda corpus: lar.estimate(corpus, sizes=[4, 8], size=1),
    "entropy_gates, .* in place of max_entropy": lambda corpus: lar.estimate(corpus, max_entropy="p60"),
}


@pytest.mark.parametrize("message", WRONG_OPTIONS)
def test_an_option_of_another_type_is_named(message, corpus):
    with pytest.raises(OptionError, match=message) as refused:
        WRONG_OPTIONS[message](corpus)
    assert "\n" not in str(refused.value)


def test_text_and_ids_in_each_others_place_are_named(vocabulary):
    with pytest.raises(VocabularyError, match="encode_text"):
        vocabulary.encode("hello")
    with pytest.raises(VocabularyError, match=r"encode\b"):
        vocabulary.encode_text([1, 2])


def test_trajectories_are_written_from_all_that_a_corpus_is_built_of(tmp_path):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    assert lar.write_trajectories([{"messages": turns}, turns], tmp_path / "given.jsonl") == 2
    objects = toy.trajectories(3)
    assert lar.write_trajectories(objects, tmp_path / "objects.parquet") == 3
    assert list(lar.read_trajectories(tmp_path / "objects.parquet")) == objects
    with pytest.raises(LarError, match="list of lists"):
        lar.write_trajectories(turns, tmp_path / "turns.jsonl")
    assert not (tmp_path / "turns.jsonl").exists()
