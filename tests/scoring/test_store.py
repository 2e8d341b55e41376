"""The store of a teacher's scores: one teacher's, complete after any stop, read as its distributions."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from lar import distill
from lar.corpus import Corpus
from lar.corpus.scores import TEACHER_FOLDER, Scores, TeacherRecord, scores_file
from lar.corpus.shards import read_shard
from lar.distillation import DistillOptions
from lar.distillation.data import Examples
from lar.errors import CorpusError, OptionError
from lar.scoring import store
from lar.scoring.score import score
from lar.scoring.store import CachedTeacher
from testing import tiny, toy
from testing.corpora import contents
from testing.few_steps import KilledError, kill_at

FEW = {"lora_rank": 4, "lora_alpha": 8, "device": "cpu", "logging_steps": 1, "max_steps": 3}


@pytest.fixture(scope="module")
def model(corpus):
    return tiny.teacher(corpus)


@pytest.fixture
def scored(corpus, model, tmp_path):
    return score(tiny.copy(corpus, tmp_path / "corpus"), model, max_length=64, top_k=16)


def teacher_of(corpus):
    return CachedTeacher(corpus, corpus.teacher.identity)


def file_of(corpus):
    return scores_file(corpus.path / "part-00000.arrow")


def test_contains_the_likeliest_tokens_before_each_of_the_agents(corpus, model, tmp_path):
    whole = score(tiny.copy(corpus, tmp_path / "corpus"), model, top_k=16)
    shard = next(whole.shards())
    for trajectory in (0, 7):
        begin, end = shard.offsets[trajectory : trajectory + 2].tolist()
        positions = np.flatnonzero(shard.action[begin:end])
        top = teacher_of(whole).top(shard, trajectory, positions)
        with torch.no_grad():
            ids = torch.from_numpy(shard.tokens[begin:end].astype(np.int64))
            p = model(ids[None]).logits[0, positions - 1].double().softmax(-1)
        expected, tokens = p.topk(16, dim=-1)
        assert (top.ids == tokens.numpy()).mean() > 0.99  # but for ties
        np.testing.assert_allclose(top.probabilities, expected, rtol=1e-2, atol=1e-6)
        np.testing.assert_allclose(top.tail, 1 - expected.sum(-1), rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(top.probabilities.sum(-1) + top.tail, 1, rtol=1e-6)


def test_a_store_of_all_tokens_trains_the_student_that_the_teacher_trains(
    corpus, vocabulary, model, tmp_path
):
    model.save_pretrained(tmp_path / "model")
    whole = score(
        tiny.copy(corpus, tmp_path / "corpus"), tmp_path / "model", max_length=256, top_k=vocabulary.base_size
    )
    runs = [
        distill(
            whole,
            tmp_path / "model",
            vocabulary,
            DistillOptions(
                **FEW, max_length=256, loss="marginal", cached_teacher=cached, output_start="first"
            ),
        )
        for cached in (False, True)
    ]
    losses = [[line["loss"] for line in run.record["log"] if "loss" in line] for run in runs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_a_stopped_student_does_not_go_on_with_other_distributions(scored, model, vocabulary, tmp_path):
    cached = {"loss": "marginal", "cached_teacher": True, "max_length": 64}
    options = DistillOptions(**FEW, **cached, save_steps=1, output_start="first")
    with pytest.raises(KilledError):
        distill(scored, model, vocabulary, options, tmp_path / "student", progress=kill_at(2))
    score(scored, model, max_length=64, top_k=20)
    with pytest.raises(OptionError, match="other cached_teacher"):
        distill(scored, model, vocabulary, options, tmp_path / "student")
    store.clear(scored)  # which keeps the larger number otherwise
    score(scored, model, max_length=64, top_k=16)
    assert distill(scored, model, vocabulary, options, tmp_path / "student").record["steps"] == 3


def test_a_selection_reads_its_own_rows(scored, vocabulary):
    """Its examples have the distributions, and its shards the entropies, of the same text in the corpus."""
    train, _ = scored.split(0.5)
    whole = {e.tokens.tobytes(): e.top for e in Examples(scored, vocabulary, 64, teacher_of(scored))}
    for example in Examples(train, vocabulary, 64, teacher_of(train)):
        assert (example.top.ids == whole[example.tokens.tobytes()].ids).all()
    entropies = {}
    for view in (scored, train, train.split(0.5, seed=1)[0]):
        for shard in view.shards():
            assert len(shard.entropy) == len(shard.tokens)
            for name, begin, end in zip(shard.ids, shard.offsets, shard.offsets[1:], strict=False):
                expected = entropies.setdefault(name, shard.entropy[begin:end])
                np.testing.assert_array_equal(shard.entropy[begin:end], expected)


def test_a_selection_of_a_selection_has_the_entropies_of_its_tokens(scored):
    shard = next(scored.shards())
    even = shard.take(np.arange(len(shard.ids)) % 2 == 0)
    one = even.take(np.arange(len(even.ids)) == 3)
    begin, end = shard.offsets[6:8]
    assert one.ids == [shard.ids[6]]
    np.testing.assert_array_equal(one.entropy, shard.entropy[begin:end])


def test_a_corpus_scored_anew_in_the_same_folder_is_read_anew(scored):
    """An object that has read the scores of a shard reads those that took their place."""
    teacher = teacher_of(scored)
    first = next(scored.shards())
    positions = np.flatnonzero(first.action[: first.offsets[1]])
    before = teacher.top(first, 0, positions)
    likely = first.scores.likely
    flipped = likely._replace(ids=np.flip(likely.ids, 1), logprob=np.flip(likely.logprob, 1))
    store.write(first, Scores(first.scores.teacher, first.scores.entropy, flipped))
    assert (teacher.top(next(scored.shards()), 0, positions).ids == np.flip(before.ids, 1)).all()


def test_a_corpus_built_anew_in_the_same_folder_is_not_scored(scored, model, tokenizer):
    kept = contents(scored.path / TEACHER_FOLDER)
    shutil.rmtree(scored.path)
    other = Corpus.build(toy.trajectories(60, first=100), tokenizer, scored.path)
    (other.path / TEACHER_FOLDER).mkdir()
    for name, content in kept.items():
        (other.path / TEACHER_FOLDER / name).write_bytes(content)
    with pytest.raises(CorpusError, match="another corpus"):
        _ = next(other.shards()).entropy
    score(other, model, max_length=64, top_k=16)  # computes them
    assert next(other.shards()).entropy is not None


def test_another_teachers_store_is_refused(scored, vocabulary):
    options = DistillOptions(**FEW, max_length=64, loss="marginal", cached_teacher=True)
    with pytest.raises(CorpusError, match="another model"):
        distill(scored, tiny.model(vocabulary.base_size, seed=5), vocabulary, options)


def test_other_windows_are_refused(scored, model, vocabulary):
    with pytest.raises(CorpusError, match="same max_length"):
        distill(
            scored,
            model,
            vocabulary,
            DistillOptions(**FEW, max_length=128, loss="marginal", cached_teacher=True),
        )


def test_missing_and_broken_scores_are_refused(scored, corpus):
    with pytest.raises(CorpusError, match="no teacher"):
        CachedTeacher(corpus, scored.teacher.identity)
    file, part = file_of(scored), scored.path / "part-00000.arrow"
    content = file.read_bytes()
    for broken in (b"", content[:100], content[: len(content) // 2]):
        file.write_bytes(broken)
        with pytest.raises(CorpusError, match=r"teacher/part-00000\.arrow: broken scores"):
            teacher_of(scored).likely(read_shard(part))
    file.unlink()
    with pytest.raises(CorpusError, match="run lar score again"):
        teacher_of(scored).likely(read_shard(part))
    file.write_bytes(content)
    assert teacher_of(scored).likely(read_shard(part)).ids.shape == (scored.num_action_tokens, 16)


RECORD = '{"fingerprint": %s, "max_length": null, "name": "a", "dtype": "b", "rows": %s, "top_k": null}'


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", RECORD % ("1", "1"), RECORD % ('"a"', "true")])
def test_a_broken_record_is_refused_and_can_be_replaced(scored, model, content):
    (scored.path / TEACHER_FOLDER / "teacher.json").write_text(content)
    for read in (lambda: scored.teacher, lambda: score(scored, model, max_length=64)):
        with pytest.raises(CorpusError, match=r"teacher\.json: a broken record"):
            read()
    score(scored, model, max_length=64, overwrite=True)
    assert scored.teacher.top_k is None


def test_scoring_again_adds_what_is_missing_and_another_teacher_clears_it(scored, model, vocabulary):
    file = file_of(scored)
    content = file.read_bytes()
    file.unlink()
    score(scored, model, max_length=64, top_k=16)
    assert file.read_bytes() == content
    score(scored, tiny.model(vocabulary.base_size, seed=7), max_length=64, overwrite=True)
    assert next(scored.shards()).scores.likely is None
    assert scored.teacher.top_k is None


def test_a_larger_k_scores_again_and_less_or_none_does_not(scored, model):
    def written():
        return file_of(scored).stat().st_ino, file_of(scored).stat().st_mtime_ns

    before = written()
    for top_k in (16, 4, None):
        score(scored, model, max_length=64, top_k=top_k)
        assert written() == before
        assert scored.teacher.top_k == 16
    score(scored, model, max_length=64, top_k=20)
    assert written() != before
    assert scored.teacher.top_k == next(scored.shards()).scores.top_k == 20


def test_a_run_that_goes_on_with_a_smaller_k_stores_the_larger_one(model, tokenizer, tmp_path):
    corpus = Corpus.build(toy.trajectories(10), tokenizer, tmp_path / "corpus", shard_tokens=500)
    score(corpus, model, top_k=8)
    scores_file(corpus.path / "part-00001.arrow").unlink()
    with pytest.raises(CorpusError, match=r"part-00001\.arrow: not scored, though other parts are"):
        Examples(corpus, tiny.no_latents(corpus), 1024, teacher_of(corpus))
    score(corpus, model)
    assert {shard.scores.top_k for shard in corpus.shards()} == {8}
    assert len(Examples(corpus, tiny.no_latents(corpus), 1024, teacher_of(corpus))) == 10


def test_a_k_beyond_the_models_rows_is_all_of_them(scored, model, vocabulary):
    for _ in range(2):
        score(scored, model, max_length=64, top_k=10 * vocabulary.base_size)
        assert scored.teacher.top_k == next(scored.shards()).scores.top_k == vocabulary.base_size


def test_scoring_leaves_the_shards_and_the_manifest_as_they_are(corpus, model, tmp_path):
    copied = tiny.copy(corpus, tmp_path / "corpus")
    before = {file: file.stat().st_mtime_ns for file in copied.path.iterdir()}
    score(copied, model, top_k=4)
    after = {file: file.stat().st_mtime_ns for file in copied.path.iterdir()}
    added = {file.name for file in after.keys() - before.keys()}
    assert added == {TEACHER_FOLDER}
    assert before.items() <= after.items()
    assert contents(copied.path / TEACHER_FOLDER).keys() == {"teacher.json", "part-00000.arrow"}


def test_a_row_takes_the_bytes_that_are_promised(scored, model):
    rows, header = scored.num_action_tokens, 4096
    with_tokens = file_of(scored).stat().st_size
    store.clear(scored)
    score(scored, model, max_length=64)
    assert rows * 2 <= file_of(scored).stat().st_size <= rows * 2 + header
    assert rows * (2 + 6 * 16 + 4) <= with_tokens <= rows * (2 + 6 * 16 + 4) + header


def test_a_selection_is_not_scored(scored, model):
    part = scored.split(0.5)[0]
    before = contents(scored.path)
    with pytest.raises(CorpusError, match="score the whole corpus"):
        score(part, model, max_length=64)
    shard = next(part.shards())
    with pytest.raises(CorpusError, match="whole shards"):
        store.write(shard, shard.scores)
    assert contents(scored.path) == before


def test_scores_that_do_not_fit_are_refused(scored):
    shard = next(scored.shards())
    short = Scores(shard.scores.teacher, shard.scores.entropy[1:], None)
    with pytest.raises(CorpusError, match=r"part-00000\.arrow: \d+ of the agent's tokens, but \d+ entropies"):
        store.write(shard, short)


def test_a_run_that_goes_on_removes_what_a_killed_one_left(scored, model):
    before = contents(scored.path)
    (scored.path / TEACHER_FOLDER / ".part-00000.arrow.abc.partial").write_bytes(b"half")
    score(scored, model, max_length=64, top_k=16)
    assert contents(scored.path) == before


def test_a_cleared_store_is_empty(scored):
    store.clear(scored)
    assert contents(scored.path / TEACHER_FOLDER) == {}
    assert TeacherRecord.read(scored.path) is None
    assert next(scored.shards()).entropy is None


def test_tasks_that_the_teacher_has_seen_stay_recorded(scored):
    """The same weights may come again from a folder without the list of tasks."""
    record = scored.teacher
    for trained_tasks in ({"a" * 16}, set(), {"b" * 16}):
        store.claim(scored, record, overwrite=False, trained_tasks=frozenset(trained_tasks))
        assert "a" * 16 in scored.teacher_tasks
    assert scored.teacher_tasks == {"a" * 16, "b" * 16}
    other = replace(record, fingerprint="another")
    store.claim(scored, other, overwrite=True)
    assert scored.teacher_tasks == frozenset()


def test_a_broken_list_of_seen_tasks_is_refused_and_can_be_replaced(scored, model):
    (scored.path / TEACHER_FOLDER / "trained_tasks.txt").write_text("a lot")
    with pytest.raises(CorpusError, match="not a list of digests"):
        score(scored, model, max_length=64)
    score(scored, model, max_length=64, overwrite=True)
    assert scored.teacher_tasks == frozenset()
