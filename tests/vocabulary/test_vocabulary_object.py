"""A vocabulary as a Python object: equality, pickling, iteration, errors."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from lar.errors import OptionError, VocabularyError
from lar.mining import mine
from lar.utils.result_files import VOCABULARY_FILE
from lar.vocabulary import LatentVocabulary


def test_two_loads_are_equal(vocabulary, corpus, tmp_path):
    vocabulary.save(tmp_path / "vocabulary")
    loads = [LatentVocabulary.load(tmp_path / "vocabulary") for _ in range(2)]
    assert loads[0] == loads[1] == vocabulary
    assert len({*loads, vocabulary}) == 1
    assert vocabulary != mine(corpus, 6)


def test_it_can_be_pickled(vocabulary):
    _ = vocabulary.encode([1, 2, 3])  # compiled, which a pickle leaves out
    back = pickle.loads(pickle.dumps(vocabulary))
    assert back == vocabulary
    assert (back.mining, back.mined_tasks) == (vocabulary.mining, vocabulary.mined_tasks)
    ids = vocabulary.tokenizer.encode("I will look up the weather in Lima.")
    assert (back.encode(ids) == vocabulary.encode(ids)).all()
    assert len(back.encode(ids)) < len(ids)


def test_iteration_gives_the_latents_and_the_repr_is_one_line(vocabulary):
    assert tuple(vocabulary) == vocabulary.latents
    assert len(vocabulary) == 12
    assert "12 latents" in repr(vocabulary)
    assert len(repr(vocabulary)) < 500


@pytest.mark.parametrize("stop", ["weather", ("weather",), ["weather", "Lima"]])
def test_a_string_is_one_stop(vocabulary, stop):
    stream = vocabulary.stream(stop=stop)
    units = vocabulary.encode(vocabulary.tokenizer.encode("look up the weather in Lima"))
    text = "".join(stream.push(int(unit)) for unit in units if stream.finish_reason is None) + stream.flush()
    assert text == "look up the "
    assert stream.stop_reason == "weather"
    batch = vocabulary.stream_batch(1, stop=stop)
    for unit in units:
        if batch.finish_reasons() == [None]:
            batch.push([int(unit)])
    assert batch.stop_reasons() == ["weather"]


@pytest.mark.parametrize("stop", ["\ud800", ["a", "x\ud83d"], [5], 5])
def test_what_is_no_text_is_no_stop(vocabulary, stop):
    for make in (vocabulary.stream, lambda stop: vocabulary.stream_batch(1, stop=stop)):
        with pytest.raises(OptionError, match="is no stop string"):
            make(stop=stop)


def test_latents_have_the_ids_of_their_places(vocabulary):
    """Else a folder would be saved that cannot be loaded, and ids would name other latents."""
    with pytest.raises(VocabularyError, match="latent 0 has id"):
        LatentVocabulary(vocabulary.latents[1:], vocabulary.tokenizer)
    wrong = replace(vocabulary.latents[0], tokens=(-1, 2))
    with pytest.raises(VocabularyError, match="latent 0 holds a negative token"):
        LatentVocabulary((wrong,), vocabulary.tokenizer)


def test_the_mask_of_an_action_holds_bools(vocabulary):
    ids = vocabulary.tokenizer.encode("look up the weather")
    mask = [True] * len(ids)
    units = vocabulary.reparameterize(ids, np.array(mask)).units
    assert vocabulary.reparameterize(ids, mask).units.tolist() == units.tolist()
    with pytest.raises(OptionError, match="must hold bools, not uint8"):
        vocabulary.reparameterize(ids, np.ones(len(ids), dtype=np.uint8))
    for wrong in (np.array([mask]), True, [mask, mask[1:]]):
        with pytest.raises(OptionError, match="action must be a list"):
            vocabulary.reparameterize(ids, wrong)


@pytest.mark.parametrize("latents", [True, False])  # a control is parsed by another function
def test_offsets_are_integers_of_any_width(vocabulary, latents):
    vocabulary = vocabulary if latents else LatentVocabulary((), vocabulary.tokenizer)
    ids = vocabulary.tokenizer.encode("look up the weather")
    mask, bounds = np.ones(len(ids), np.bool_), [0, 4, len(ids)]
    wanted = vocabulary.reparameterize(ids, mask, np.array(bounds)).units.tolist()
    for kind in (np.int32, np.uint32, np.uint64, ">i8"):
        assert vocabulary.reparameterize(ids, mask, np.array(bounds, kind)).units.tolist() == wanted
    spaced = np.repeat(bounds, 2)[::2]
    for given in (bounds, tuple(bounds), spaced):
        assert vocabulary.reparameterize(ids, mask, given).units.tolist() == wanted
    for wrong in ([bounds], 5, [0.0, 4.0], ["0"], [0, 2**63], [0, 2**70], [[0], [0, 4]], [], [0, -1]):
        with pytest.raises(OptionError, match=r"\A.*offset.*\Z"):
            vocabulary.reparameterize(ids, mask, wrong)


def test_none_is_no_stop(vocabulary):
    units = vocabulary.encode_text("look up the weather")
    stream = vocabulary.stream(stop=None)
    assert "".join(stream.push(int(unit)) for unit in units) + stream.flush() == "look up the weather"


def test_a_lone_surrogate_is_no_text(vocabulary):
    with pytest.raises(VocabularyError, match=r"lone surrogate \('\\ud83d'\)"):
        vocabulary.encode_text("x\ud83d")


def test_text_and_ids_of_a_vocabulary_are_not_taken_for_each_other(vocabulary):
    with pytest.raises(VocabularyError, match="not a list: encode takes base ids"):
        vocabulary.encode_text([1, 2])
    with pytest.raises(VocabularyError, match="not text: encode_text takes text"):
        vocabulary.encode("x")


def test_a_text_that_is_not_its_tokens_is_refused(vocabulary, tmp_path):
    vocabulary.save(tmp_path / "vocabulary")
    file = tmp_path / "vocabulary" / VOCABULARY_FILE
    content = json.loads(file.read_text())
    content["latents"][3]["text"] += "!"
    file.write_text(json.dumps(content))
    with pytest.raises(VocabularyError, match="latent 3 has the text"):
        LatentVocabulary.load(tmp_path / "vocabulary")


def test_ids_of_two_dimensions_are_refused(vocabulary):
    with pytest.raises(VocabularyError, match="2 dimensions"):
        vocabulary.encode(np.zeros((2, 3), dtype=np.uint32))
    with pytest.raises(VocabularyError, match="must be a list of integers"):
        vocabulary.encode([[1], [2, 3]])


def test_mine_takes_a_folder_and_a_size(corpus, vocabulary):
    assert mine(str(corpus.path), 12) == vocabulary


def test_the_names_of_transformers_are_there(vocabulary, tmp_path):
    vocabulary.save_pretrained(tmp_path / "vocabulary")
    assert LatentVocabulary.from_pretrained(str(tmp_path / "vocabulary")) == vocabulary


def test_a_vocabulary_is_a_sequence_of_its_latents(vocabulary):
    latents = list(vocabulary)
    assert [vocabulary[rank] for rank in range(-len(latents), len(latents))] == 2 * latents
    for rank in (len(latents), -len(latents) - 1):
        with pytest.raises(IndexError):
            vocabulary[rank]
