"""The vocabulary: exact round trips, streaming, files on disk, and errors."""

import contextlib
import json
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar import _core
from lar.errors import OptionError, StreamError, VocabularyError
from lar.utils.result_files import VOCABULARY_FILE
from lar.vocabulary.latent import Latent
from lar.vocabulary.segments import Segments
from lar.vocabulary.served_parse import ServedParse
from lar.vocabulary.storage import TASKS_NAME
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import toy
from testing.version_1 import as_version_1

TOKENIZER = toy.tokenizer()
IDS = st.lists(st.integers(0, TOKENIZER.base_size - 1), max_size=60)


def vocabulary_of(segments):
    base = TOKENIZER.base_size
    latents = tuple(
        Latent(base + index, tuple(segment), TOKENIZER.decode(segment), 1, 1, 1)
        for index, segment in enumerate(segments)
    )
    return LatentVocabulary(latents, TOKENIZER)


def segments():
    # Few different ids, so that segments do occur.
    return st.sets(st.tuples(*[st.integers(40, 43)] * 2) | st.tuples(*[st.integers(40, 43)] * 3), max_size=8)


@given(segments(), IDS, st.lists(st.integers(40, 43), max_size=60))
def test_expansion_undoes_encoding(segments, anything, likely):
    vocabulary = vocabulary_of(segments)
    for ids in (anything, likely, anything + likely):
        units = vocabulary.encode(ids)
        assert units.dtype == np.uint32
        assert len(units) <= len(ids)
        np.testing.assert_array_equal(vocabulary.expand(units), ids)


@given(segments(), st.lists(st.tuples(st.integers(40, 43), st.booleans()), max_size=60), st.integers(0, 60))
def test_units_of_a_conversation_are_those_of_its_stretches(segments, conversation, cut):
    vocabulary = vocabulary_of(segments)
    tokens = np.array([token for token, _ in conversation], dtype=np.uint32)
    action = np.array([agent for _, agent in conversation], dtype=np.bool_)
    bounds = np.array([0, min(cut, len(tokens)), len(tokens)], dtype=np.int64)
    form = vocabulary.reparameterize(tokens, action, bounds)
    cuts = sorted({*bounds.tolist(), *(np.flatnonzero(np.diff(action)) + 1).tolist()})
    stretches = [vocabulary.encode(tokens[a:b]) for a, b in pairwise(cuts)]
    np.testing.assert_array_equal(form.units, np.concatenate([*stretches, []]))
    np.testing.assert_array_equal(vocabulary.expand(form.units), tokens)
    np.testing.assert_array_equal(form.action, action[form.starts[:-1]])


@given(segments(), st.text(max_size=40), st.lists(st.text(min_size=1, max_size=3), max_size=2))
def test_a_stream_says_what_the_whole_says(segments, text, stop):
    vocabulary = vocabulary_of(segments)
    units = vocabulary.encode(TOKENIZER.encode(text))
    stream = vocabulary.stream(stop=stop)
    said = ""
    for unit in units.tolist():
        if stream.finish_reason is None:
            said += stream.push(unit)
    said += stream.flush()
    whole = TOKENIZER.decode(vocabulary.expand(units))
    ends = [whole.find(found) + len(found) for found in stop if found in whole]
    # The stop string that is complete first ends the text; of several at once, the longest.
    cuts = [min(ends) - len(found) for found in stop if ends and whole[: min(ends)].endswith(found)]
    assert said == whole[: min(cuts, default=len(whole))]


def test_a_batch_of_streams_is_its_streams(vocabulary, corpus):
    shard = next(corpus.shards())
    rows = [vocabulary.encode(shard.tokens[start : start + 40]) for start in range(0, 400, 40)]
    steps = min(map(len, rows))
    batch = vocabulary.stream_batch(len(rows), stop=["degrees"])
    together = [batch.push(np.array([row[step] for row in rows])) for step in range(steps)]
    texts = [
        "".join(column) + last
        for column, last in zip(zip(*together, strict=True), batch.flush(), strict=True)
    ]
    for row, text in zip(rows, texts, strict=True):
        stream = vocabulary.stream(stop=["degrees"])
        alone = "".join(stream.push(int(unit)) for unit in row[:steps] if stream.finish_reason is None)
        assert text == alone + stream.flush()


@pytest.mark.parametrize(
    "options", [{"max_units": 1}, {"max_base_tokens": 2}, {"max_units": 3}, {"skip_special_tokens": False}]
)
def test_a_batch_has_the_budgets_and_the_special_tokens_of_a_stream(vocabulary, tokenizer, options):
    latent = max(vocabulary, key=len)
    alone, batch = vocabulary.stream(**options), vocabulary.stream_batch(1, **options)
    for unit in [latent.id, *vocabulary.encode(tokenizer.encode("hi<|im_end|>")).tolist()]:
        said = alone.push(unit) if alone.finish_reason is None else ""
        assert batch.push([unit]) == [said]
    assert batch.finish_reasons() == [alone.finish_reason]


@given(segments(), st.text(max_size=40), st.text(min_size=1, max_size=3))
def test_every_way_to_push_says_the_same(segments, text, stop):
    vocabulary = vocabulary_of(segments)
    units = vocabulary.encode(TOKENIZER.encode(text))
    alone = vocabulary.stream(stop=[stop])
    arrays, lists = (vocabulary.stream_batch(2, stop=[stop]) for _ in range(2))
    for unit in units:
        said = alone.push(int(unit)) if alone.finish_reason is None else ""
        assert arrays.push(np.array([unit, unit])) == [said, said]
        assert lists.push([int(unit), int(unit)]) == [said, said]
    held = alone.flush()
    assert arrays.flush() == lists.flush() == [held, held]
    assert arrays.finish_reasons() == lists.finish_reasons() == [alone.finish_reason] * 2


def test_the_text_of_a_unit_is_one_string(vocabulary):
    latent = vocabulary.latents[0]
    one, other = vocabulary.stream(), vocabulary.stream(stop=["never said"])
    assert one.push(latent.id) is other.push(latent.id)
    assert vocabulary.stream_batch(1).push([latent.id])[0] is one.push(latent.id)


@pytest.mark.parametrize("wrong", [-1, 2**70])
def test_a_budget_outside_64_bits_is_refused(vocabulary, wrong):
    for begin in (vocabulary.stream, partial(vocabulary.stream_batch, 1)):
        for budget in ("max_units", "max_base_tokens"):
            with pytest.raises(OptionError, match="negative or too large"):
                begin(**{budget: wrong})


@pytest.mark.parametrize("requests", [-1, 2**58, 2**63, 2**70])
def test_streams_without_memory_are_refused(vocabulary, requests):
    with pytest.raises(OptionError, match=r"too large|no memory"):
        vocabulary.stream_batch(requests)


@pytest.mark.parametrize("wrong", [-1, 2**31, 2**32 - 1, 2**32, 2**70])
def test_a_wrong_unit_is_refused_and_changes_nothing(vocabulary, wrong):
    latent = vocabulary.latents[0]
    stream, batch = vocabulary.stream(), vocabulary.stream_batch(2)
    with pytest.raises(VocabularyError):
        stream.push(wrong)
    with pytest.raises(VocabularyError):
        batch.push([latent.id, wrong])
    if 0 <= wrong < 2**32:
        with pytest.raises(VocabularyError, match="at position 1"):
            batch.push(np.array([latent.id, wrong], dtype=np.uint32))
    with pytest.raises(OptionError, match="1 entries where 2 are needed"):
        batch.push([latent.id])
    for no_id in ("text", True):
        with pytest.raises(TypeError):
            stream.push(no_id)
        with pytest.raises(TypeError):
            batch.push([latent.id, no_id])
    for no_ids in (b"ab", bytearray(b"ab")):
        with pytest.raises(TypeError, match="not bytes"):
            batch.push(no_ids)
    assert (stream.units, batch.units()) == (0, [0, 0])


@pytest.mark.parametrize("base_size", [-1, 2**40])
def test_a_number_of_base_ids_out_of_range_is_refused(base_size):
    with pytest.raises(OptionError, match=f"the number {base_size} is negative or too large"):
        _core.Vocabulary(base_size, np.zeros(0, np.uint32), np.zeros(1, np.int64))


def test_a_lone_surrogate_is_no_text_for_the_core(vocabulary):
    said = "a text has a lone surrogate at index 1, which is no character"
    with pytest.raises(OptionError, match=said):
        vocabulary._full_expander.stream(["a", "x\ud83d"])
    with pytest.raises(OptionError, match=said):
        vocabulary._full_expander.stream_batch(1, ["x\ud83d"])
    with pytest.raises(OptionError, match=said):
        ServedParse(TOKENIZER, Segments.of([]))._core.learn(
            ["x\ud83d"], np.zeros(0, np.uint32), np.zeros(2, np.int64)
        )


def test_special_tokens_are_silent_unless_asked_for(vocabulary, tokenizer):
    units = vocabulary.encode(tokenizer.encode("hello<|im_end|>"))
    quiet, full = vocabulary.stream(), vocabulary.stream(skip_special_tokens=False)
    assert "".join(quiet.push(int(unit)) for unit in units) == "hello"
    assert "".join(full.push(int(unit)) for unit in units) == "hello<|im_end|>"


def test_budgets_in_units_and_in_base_tokens(vocabulary):
    latent = max(vocabulary.latents, key=lambda latent: len(latent.tokens))
    in_units = vocabulary.stream(max_units=1)
    assert in_units.push(latent.id) == latent.text
    assert (in_units.finish_reason, in_units.units) == ("length", 1)
    in_tokens = vocabulary.stream(max_base_tokens=2)
    assert in_tokens.push(latent.id) == vocabulary.tokenizer.decode(latent.tokens[:2])
    assert (in_tokens.finish_reason, in_tokens.base_tokens) == ("length", 2)
    with pytest.raises(StreamError, match="has ended"):
        in_tokens.push(latent.id)
    with pytest.raises(OptionError, match="not both"):
        vocabulary.stream(max_units=1, max_base_tokens=1)
    with pytest.raises(OptionError, match="empty"):
        vocabulary.stream(stop=[""])


def test_saved_and_loaded_it_is_the_same(vocabulary, tmp_path):
    vocabulary.save(tmp_path / "vocabulary")
    loaded = LatentVocabulary.load(tmp_path / "vocabulary")
    assert loaded.latents == vocabulary.latents
    assert loaded.mining == vocabulary.mining
    assert loaded.mined_tasks == vocabulary.mined_tasks
    assert loaded.tokenizer_fingerprint == vocabulary.tokenizer_fingerprint


def change(name, value):
    def changed(content):
        content[name] = value

    return changed


def change_latent(name, value):
    def changed(content):
        content["latents"][1][name] = value

    return changed


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change("format_version", 99), "format version"),
        (change("base_size", "many"), "'base_size'"),
        (change("base_size", 10_000), "'base_size' is 10000, the tokenizer beside it has"),
        (change("tokenizer_fingerprint", "0" * 64), "mined with another tokenizer"),
        (change_latent("id", 3), "latent 1 has id 3"),
        (change_latent("tokens", [41, 10**6]), "latent 1 holds a token outside"),
        (change_latent("tokens", [41]), "segment 1 has 1 tokens"),
        (change_latent("surprise", 1), "latent 1 is malformed"),
        *(
            (change_latent(name, wrong), "latent 1 has a frequency that is not a count")
            for name in ("count", "support", "uses", "prompt_uses")
            for wrong in (-1, "2", 0.5, True)
        ),
        (change_latent("mean_entropy", "low"), "latent 1 has a mean entropy that is not a number"),
        (lambda content: content["latents"].append({**content["latents"][0]}), "has id"),
    ],
)
def test_a_damaged_file_is_refused_with_the_place(vocabulary, tmp_path, damage, message):
    folder = tmp_path / "vocabulary"
    vocabulary.save(folder)
    content = json.loads((folder / VOCABULARY_FILE).read_text())
    damage(content)
    (folder / VOCABULARY_FILE).write_text(json.dumps(content))
    with pytest.raises(VocabularyError, match=message):
        LatentVocabulary.load(folder)


def test_a_latent_with_an_added_token_is_refused(vocabulary, tmp_path):
    tokens = [int(vocabulary.tokenizer.barriers[0]), 41]
    text = vocabulary.tokenizer.decode(tokens)
    with_added = replace(vocabulary.latents[0], tokens=tuple(tokens), text=text)
    LatentVocabulary((with_added, *vocabulary.latents[1:]), vocabulary.tokenizer).save(tmp_path / "v")
    with pytest.raises(VocabularyError, match="latent 0 holds an added token"):
        LatentVocabulary.load(tmp_path / "v")


def test_no_json_and_no_file_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError):
        LatentVocabulary.load(tmp_path)
    for text in ('{"format_version": 1,', "[" * 100_000, '{"base_size": %s}' % ("9" * 5000)):
        (tmp_path / VOCABULARY_FILE).write_text(text)
        with pytest.raises(VocabularyError, match="not valid JSON"):
            LatentVocabulary.load(tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"task-1\n", b"0123456789abcdeF\n", b"0123456789abcdef 0"])
def test_what_is_no_list_of_tasks_is_refused(vocabulary, tmp_path, content):
    folder = tmp_path / "vocabulary"
    vocabulary.save(folder)
    (folder / TASKS_NAME).write_bytes(content)
    with pytest.raises(VocabularyError, match=f"{TASKS_NAME}: not a list of digests"):
        LatentVocabulary.load(folder)


@given(segments(), st.lists(st.integers(40, 43), max_size=200), st.lists(st.integers(40, 43), max_size=9))
def test_a_longer_text_changes_nothing_before_the_last_open_match(segments, ids, more):
    vocabulary = vocabulary_of(segments)
    short, long = vocabulary.encode(ids), vocabulary.encode(ids + more)
    ends = np.cumsum([len(vocabulary.expand([unit])) for unit in short])
    # No segment here is longer than three tokens: a match that ends two or more before the end is closed.
    closed = int((ends <= len(ids) - 2).sum()) if len(ids) else 0
    np.testing.assert_array_equal(short[:closed], long[:closed])


@pytest.mark.parametrize("ids", [[-1], [2**31], [2**32 - 1], [2**32], [0.5], [10**9]])
def test_ids_outside_the_vocabulary_are_refused(vocabulary, ids):
    with pytest.raises(VocabularyError):
        vocabulary.encode(ids)
    with pytest.raises(VocabularyError):
        vocabulary.expand(ids)


@pytest.mark.parametrize("budget", [{"max_units": 1}, {"max_base_tokens": 1}, {}])
def test_half_a_character_at_the_end_is_replaced(budget):
    half, _ = TOKENIZER.encode("é").tolist()
    stream = vocabulary_of([]).stream(**budget)
    assert stream.push(half) + stream.flush() == "\ufffd"
    assert stream.finish_reason == ("length" if budget else "flushed")


@given(IDS, st.integers(0, 7), st.sampled_from([1, 2, 3]))
def test_ids_are_read_wherever_they_lie_in_a_buffer(ids, offset, step):
    plain = np.array(ids, dtype=np.uint32)
    given = np.frombuffer(bytes(offset) + np.repeat(plain, step).tobytes(), np.uint32, offset=offset)[::step]
    vocabulary = vocabulary_of([(40, 41), (41, 42, 43)])
    units = vocabulary.encode(given)
    np.testing.assert_array_equal(units, vocabulary.encode(ids))
    np.testing.assert_array_equal(vocabulary.expand(given), plain)
    assert vocabulary.text(given) == vocabulary.text(ids)


def test_another_tokenizer_is_refused(vocabulary):
    with pytest.raises(VocabularyError, match="mined with tokenizer"):
        vocabulary.stream(toy.tokenizer(size=300))


def test_a_file_of_version_1_is_read_with_the_ids_of_today(vocabulary, tmp_path):
    as_version_1(vocabulary, tmp_path / "old", padding=64)
    old = LatentVocabulary.load(tmp_path / "old")
    assert old == vocabulary
    old.save(tmp_path / "old")
    content = json.loads((tmp_path / "old" / VOCABULARY_FILE).read_text())
    assert (content["format_version"], content["base_size"]) == (2, vocabulary.base_size)


def test_a_damaged_file_of_version_1_is_refused(vocabulary, tmp_path):
    as_version_1(vocabulary, tmp_path / "old", padding=64)
    file = tmp_path / "old" / VOCABULARY_FILE
    content = json.loads(file.read_text())
    content["latents"][1]["id"] -= 64
    file.write_text(json.dumps(content))
    with pytest.raises(VocabularyError, match="latent 1 has id"):
        LatentVocabulary.load(tmp_path / "old")


@pytest.mark.parametrize("path", ["encode", "expand", "reparameterize"])
def test_another_thread_runs_during_one_call(vocabulary, path):
    ids = np.full(4_000_000, 41, dtype=np.uint32)
    action = np.ones(len(ids), dtype=np.bool_)
    arguments = (ids, action) if path == "reparameterize" else (ids,)
    assert_another_thread_runs(partial(getattr(vocabulary, path), *arguments))


def test_another_thread_runs_while_texts_are_learnt():
    parse = ServedParse(TOKENIZER, Segments.of([]))._core
    ids = np.repeat(np.array(TOKENIZER.encode("a"), dtype=np.uint32), 4_000_000)
    assert_another_thread_runs(partial(parse.learn, ["a" * len(ids)], ids, np.array([0, len(ids)])))


def test_another_thread_runs_while_runs_are_copied():
    tokens, number = np.full(8_000_000, 41, dtype=np.uint32), 80_000
    tokens[::100] = np.arange(number)
    tasks, offsets = np.zeros(number, np.uint32), np.arange(number + 1)
    runs = _core.Runs.from_arrays(tokens, 100 * offsets, np.ones(number, np.uint64), tasks, offsets)
    # The call releases the interpreter for a moment before it copies, too.
    assert_another_thread_runs(runs.to_arrays, steps_each=20)


def assert_another_thread_runs(call, steps_each=1):
    """During one of a hundred calls, for so many steps, where no thread is switched to by time."""
    steps, done = 0, False

    def step():
        nonlocal steps
        while not done:
            steps += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    worker = threading.Thread(target=step)
    worker.start()
    try:
        # Without switches by time, the other thread runs only if a call releases the interpreter.
        sys.setswitchinterval(1000)
        progress = 0
        for _ in range(100):
            before = steps
            call()
            progress = max(progress, steps - before)
            if progress >= steps_each:
                break
    finally:
        done = True
        sys.setswitchinterval(interval)
        worker.join()
    assert progress >= steps_each


def test_two_threads_may_share_a_stream_but_not_at_once(vocabulary):
    latent = vocabulary.latents[0]
    stream = vocabulary.stream()
    said: list[str] = []

    def push():
        for _ in range(2000):
            # A free-threaded interpreter raises an error instead of a race; with a GIL, threads alternate.
            with contextlib.suppress(RuntimeError):
                said.append(stream.push(latent.id))

    workers = [threading.Thread(target=push) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert said == [latent.text] * stream.units


def test_a_folder_of_something_else_is_never_replaced(vocabulary, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OptionError, match="something else"):
        vocabulary.save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    vocabulary.save(tmp_path / "new")
    vocabulary.save(tmp_path / "new")  # an older vocabulary is replaced
