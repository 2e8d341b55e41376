"""Whatever has happened to a file, its loader reads it or says in one line what is wrong with it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lar.corpus import Corpus
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.result_files import VOCABULARY_FILE
from lar.vocabulary.vocabulary import LatentVocabulary
from testing.damage import ENDS, FLIPS, flip, loads_or_explains

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
# A folder of its own for each example would be copied as often; each example writes what it changes.
quickly = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every container within `content` with each of its keys or indices."""
    if isinstance(content, dict | list):
        for key in list(content) if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from places(content[key])


def damage(content: Any, draw: st.DataObject) -> Any:
    """`content` with one or two of its parts replaced, removed or doubled."""
    for _ in range(draw.draw(st.integers(1, 2))):
        container, key = draw.draw(st.sampled_from(list(places(content))))
        how = draw.draw(st.sampled_from(["replace", "remove", "double"]))
        if how == "replace":
            container[key] = draw.draw(VALUES)
        elif how == "remove":
            del container[key]
        elif isinstance(container, list):
            container.append(container[key])
        else:
            container[f"{key}_"] = container[key]
        if not list(places(content)):
            break
    return content


@pytest.fixture(scope="module")
def vocabulary_folder(vocabulary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("loaders") / "vocabulary"
    vocabulary.save(folder)
    return folder


@pytest.fixture(scope="module")
def corpus_folder(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("loaders") / "corpus"
    shutil.copytree(corpus.path, folder)
    return folder


@pytest.fixture(scope="module")
def vocabulary_text(vocabulary_folder):
    return (vocabulary_folder / VOCABULARY_FILE).read_bytes()


@pytest.fixture(scope="module")
def manifest_text(corpus_folder):
    return (corpus_folder / "manifest.json").read_bytes()


@pytest.fixture(scope="module")
def whole_shard(corpus_folder, tmp_path_factory):
    return Path(shutil.copy(corpus_folder / "part-00000.arrow", tmp_path_factory.mktemp("loaders")))


def use(vocabulary):
    """A vocabulary that loads can be used."""
    if vocabulary is not None:
        units = vocabulary.encode([0, 1, 2])
        assert vocabulary.expand(units).tolist() == [0, 1, 2]
        assert vocabulary.stream().push(0) is not None


@quickly
@given(st.data())
def test_a_damaged_vocabulary(vocabulary_folder, vocabulary_text, data):
    content = damage(json.loads(vocabulary_text), data)
    (vocabulary_folder / VOCABULARY_FILE).write_text(json.dumps(content))
    use(loads_or_explains(LatentVocabulary.load, vocabulary_folder))


@quickly
@given(FLIPS, ENDS)
def test_a_vocabulary_with_wrong_bytes(vocabulary_folder, vocabulary_text, flips, end):
    (vocabulary_folder / VOCABULARY_FILE).write_bytes(flip(vocabulary_text, flips, end))
    use(loads_or_explains(LatentVocabulary.load, vocabulary_folder))


@pytest.fixture(scope="module")
def tokenizer_folder(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("loaders") / "tokenizer"
    tokenizer.save(folder)
    return folder


@quickly
@given(st.data())
def test_a_damaged_tokenizer_config(tokenizer_folder, tokenizer, data):
    content = {
        "added_tokens_decoder": {
            str(tokenizer.base_size): {"content": "<x>", "lstrip": False, "special": True},
            str(tokenizer.base_size + 1): {"content": "<y>"},
        },
        "chat_template": [{"name": "default", "template": "{{ messages }}"}],
        "eos_token": {"content": "<x>"},
        "extra_special_tokens": {"call_token": "<y>"},
    }
    (tokenizer_folder / "chat_template.jinja").unlink(missing_ok=True)
    (tokenizer_folder / "tokenizer_config.json").write_text(json.dumps(damage(content, data)))
    loaded = loads_or_explains(Tokenizer.load, tokenizer_folder)
    assert loaded is None or loaded.special_tokens is not None


def read_corpus(folder):
    corpus = Corpus.load(folder)
    return [len(shard.tokens) for shard in corpus.shards()], corpus.num_tokens, corpus.tasks


@quickly
@given(st.data())
def test_a_damaged_manifest(corpus_folder, manifest_text, data):
    content = damage(json.loads(manifest_text), data)
    try:
        (corpus_folder / "manifest.json").write_text(json.dumps(content))
        loads_or_explains(read_corpus, corpus_folder)
    finally:
        (corpus_folder / "manifest.json").write_bytes(manifest_text)


@quickly
@given(FLIPS, ENDS)
@example([(164750, 128)], None)  # a column's name is no UTF-8
def test_a_shard_with_wrong_bytes(corpus_folder, whole_shard, flips, end):
    file = corpus_folder / "part-00000.arrow"
    content = flip(whole_shard.read_bytes(), flips, end)
    file.unlink()  # a new file each time: the old one may still be mapped
    try:
        file.write_bytes(content)
        loads_or_explains(read_corpus, corpus_folder)
    finally:
        file.unlink()
        shutil.copy(whole_shard, file)
