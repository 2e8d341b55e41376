"""Corpora: exact masks, the same bytes for any number of workers, selections, splits."""

import gzip
import hashlib
import json
import unicodedata
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.corpus import Corpus, encoding, shards
from lar.corpus.shards import read_shard
from lar.errors import CorpusError, OptionError, TokenizerError
from lar.mining.one_machine import OneMachine
from lar.tokenizer import render
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Trajectory
from testing.chat_templates import TEMPLATES, without_tags
from testing.conversations import agent, conversations, result, tokenizer_with, user
from testing.corpora import CHATML, build, contents, make_trajectories
from testing.damage import loads_or_explains
from testing.metaspace import metaspace


def rows(corpus: Corpus):
    """Every trajectory of the corpus: id, task, success, tokens, action."""
    for shard in corpus.shards():
        for i, name in enumerate(shard.ids):
            part = slice(shard.offsets[i], shard.offsets[i + 1])
            yield name, shard.tasks[i], shard.success[i], shard.tokens[part], shard.action[part]


def check_mask(tokenizer: Tokenizer, trajectory: Trajectory, tokens, action) -> None:
    """The agent's tokens decode to the agent's text, and all tokens to the conversation, turn by turn."""
    spans = render(tokenizer, trajectory)
    borders = np.flatnonzero(np.diff(action.astype(np.int8))) + 1
    pieces = [tokenizer.decode(piece) for piece in np.split(tokens, borders)] if len(tokens) else []
    merged = ["".join(span.text for span in group) for group in encoding_groups(spans)]
    normal = [unicodedata.normalize("NFC", text) for text in merged]
    assert pieces in (merged, normal)
    assert action[:1].tolist() == [span.agent for span in spans[:1]]


def encoding_groups(spans):
    groups: list[list] = []
    for span in spans:
        if groups and groups[-1][-1].agent == span.agent:
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups


def test_what_was_put_in_comes_out(tmp_path):
    corpus = Corpus.load(build(tmp_path).path)
    trajectories = make_trajectories()
    found = list(rows(corpus))
    assert [row[:3] for row in found] == [(t.id, t.task, t.success) for t in trajectories]
    for trajectory, (*_, tokens, action) in zip(trajectories, found, strict=True):
        check_mask(CHATML, trajectory, tokens, action)
    assert corpus.num_trajectories == len(found)
    assert corpus.num_tokens == sum(len(row[3]) for row in found)
    assert corpus.num_action_tokens == sum(int(row[4].sum()) for row in found)
    assert corpus.tasks == {t.task for t in trajectories}
    assert len(corpus.manifest.parts) > 3


@settings(max_examples=30)
@given(messages=conversations)
def test_mask_is_exact_for_any_conversation(messages):
    corpus = Corpus.build([Trajectory("t", "task", messages)], CHATML, workers=1)
    ((*_, tokens, action),) = rows(corpus)
    check_mask(CHATML, Trajectory("t", "task", messages), tokens, action)


def test_tokenizers_that_prepend_a_space_are_encoded_as_one_text():
    template = "{% for m in messages %}<s>{{ m.content }}{% endfor %}"
    tokenizer = Tokenizer(metaspace(), chat_template=template)
    messages = [user("ab"), agent("b ab"), user(" ab"), agent("c"), agent("a")]
    ((*_, tokens, action),) = rows(Corpus.build([Trajectory("t", "task", messages)], tokenizer))
    text = "<s>ab<s>b ab<s> ab<s>c<s>a"
    assert tokens.tolist() == tokenizer.encode(text).tolist()
    pieces = [tokenizer.backend.id_to_token(int(token)) for token in tokens[action]]
    assert "".join(pieces) == "▁b▁ab▁c▁a"


def test_bytes_do_not_depend_on_workers(tmp_path, monkeypatch):
    one = contents(build(tmp_path, "one", workers=1).path)
    many = contents(build(tmp_path, "many", workers=5).path)
    monkeypatch.setattr(encoding, "CHUNK_TRAJECTORIES", 3)
    small = contents(build(tmp_path, "small", workers=2).path)
    assert one == many == small


def test_files_are_plain_arrow(tmp_path):
    corpus = build(tmp_path)
    with pa.memory_map(str(corpus.path / "part-00000.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.column_names == ["id", "task", "success", "tokens", "action", "continues"]
    assert table.schema.field("tokens").type == pa.list_(pa.uint32())


def test_tokens_are_views_of_the_mapped_file(tmp_path):
    shard = next(build(tmp_path).shards())
    assert not shard.tokens.flags.owndata
    assert not shard.tokens.flags.writeable
    assert (shard.tokens.dtype, shard.offsets.dtype, shard.action.dtype) == (np.uint32, np.int64, np.bool_)


def test_no_trajectories_write_nothing(tmp_path):
    with pytest.raises(CorpusError, match="no trajectories"):
        Corpus.build([], CHATML, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 0},
        {"workers": 1, "backend": OneMachine()},
        {"shard_tokens": 0},
        {"shard_tokens": 1 << 40},
    ],
)
def test_options_out_of_range(tmp_path, options):
    with pytest.raises(OptionError):
        build(tmp_path, **options)
    assert not (tmp_path / "corpus").exists()


def test_trajectories_without_the_agent_are_counted(tmp_path):
    corpus = Corpus.build(
        [Trajectory("t", "task", [user("hello?")]), *make_trajectories(3)], CHATML, tmp_path / "c"
    )
    assert [part.without_action for part in corpus.manifest.parts] == [1]
    assert corpus.num_trajectories == 4


def test_refused_trajectories(tmp_path, caplog):
    mistral = tokenizer_with(without_tags(TEMPLATES["mistral"]))
    orphan = Trajectory("orphan", "task", [user("go"), result("from nowhere")])
    lone = Trajectory("lone", "task", [user("\ud800")])
    for workers in (1, 2):
        with pytest.raises(TokenizerError, match=r"trajectory orphan: .*must follow a tool call"):
            Corpus.build(
                [*make_trajectories(3), orphan], mistral, tmp_path / f"strict{workers}", workers=workers
            )
    corpus = Corpus.build(
        [*make_trajectories(3), orphan, lone], mistral, tmp_path / "lenient", skip_refused=True
    )
    assert (corpus.num_trajectories, corpus.manifest.left_out) == (3, 2)
    assert "orphan" in corpus.manifest.left_out_examples[0]
    assert "lone surrogate" in corpus.manifest.left_out_examples[1]
    assert "2 trajectories left out; the first: trajectory orphan" in caplog.text
    with pytest.raises(CorpusError, match=r"refuses all 1 .*orphan"):
        Corpus.build([orphan], mistral, tmp_path / "none", skip_refused=True)
    assert not (tmp_path / "none").exists()


def test_a_corpus_without_a_path_goes_with_the_object():
    corpus = Corpus.build(make_trajectories(5), CHATML)
    folder = corpus.path
    view = corpus.select(lambda task: task == "task1")
    del corpus
    assert [row[0] for row in rows(view)] == ["run1"]
    del view
    assert not folder.exists()


def rename_part(folder: Path, name: str) -> None:
    """Name another file as the second shard in the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["parts"][1]["file"] = name
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: (c / "manifest.json").unlink(), "not a corpus"),
        (lambda c: (c / "manifest.json").write_text("{"), "not a corpus manifest"),
        (lambda c: (c / "manifest.json").write_text("[" * 100_000), "not a corpus manifest"),
        (lambda c: (c / "manifest.json").write_text('{"format_version": 9}'), "format version 9"),
        (lambda c: (c / "manifest.json").write_text('{"format_version": 1}'), "missing or unknown"),
        (lambda c: (c / "manifest.json").write_text('{"format_version": 2}'), "missing or unknown"),
        (
            lambda c: rename_part(c, "../part-00001.arrow"),
            r"'\.\./part-00001\.arrow' is not the name of a file",
        ),
        (lambda c: (c / "part-00001.arrow").unlink(), r"part-00001\.arrow: the shard is missing"),
        (lambda c: (c / "part-00001.arrow").write_bytes(b"x" * 99), r"part-00001\.arrow: a broken shard"),
        (lambda c: (c / "part-00001.arrow").write_bytes(b""), r"part-00001\.arrow: a broken shard"),
        (lambda c: (c / "part-00001.arrow").replace(c / "part-00000.arrow"), r"part-00000\.arrow: \d+ rows"),
    ],
)
def test_a_broken_folder_is_refused_with_the_file_and_the_reason(tmp_path, damage, message):
    folder = build(tmp_path).path
    damage(folder)
    with pytest.raises(CorpusError, match=message):
        Corpus.load(folder)


@pytest.fixture(scope="module")
def whole_shard(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("whole")).path / "part-00000.arrow"


@settings(max_examples=40)
@given(st.data())
def test_a_changed_byte_is_refused_or_changes_nothing(whole_shard, data):
    """Also one by which the file is a shard all the same: of an id, a mask, an offset, a task's name."""
    content, before = bytearray(whole_shard.read_bytes()), read_shard(whole_shard)
    parts = (before.tokens.tobytes(), before.tasks[3].encode(), before.offsets.astype(np.int32).tobytes())
    stretches = [(content.index(part), len(part)) for part in parts] + [(0, len(content))]
    first, length = data.draw(st.sampled_from(stretches))
    content[first + data.draw(st.integers(0, length - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with TemporaryDirectory() as folder:
        changed = Path(folder) / "part-00000.arrow"
        changed.write_bytes(content)
        found = loads_or_explains(read_shard, changed)
        assert found is None or list(found.rows()) == list(before.rows())


def test_a_shard_is_compared_once_and_again_when_it_is_written_anew(tmp_path, monkeypatch):
    file, compared = build(tmp_path).path / "part-00000.arrow", []
    monkeypatch.setattr(shards, "_compare", lambda *_: compared.append(1))
    for _ in range(3):
        read_shard(file)
    assert len(compared) == 1
    file.write_bytes(file.read_bytes())
    read_shard(file)
    assert len(compared) == 2
    monkeypatch.undo()
    content = file.read_bytes()
    ids = read_shard(file).tokens.tobytes()
    changed = bytes([ids[0] ^ 1]) + ids[1:]
    file.write_bytes(content.replace(ids, changed))
    with pytest.raises(CorpusError, match=r"part-00000\.arrow: a damaged shard"):
        read_shard(file)


def test_another_tokenizer_in_the_folder_is_noticed(tmp_path):
    corpus = build(tmp_path)
    assert corpus.tokenizer.fingerprint == CHATML.fingerprint
    other = tokenizer_with(None)
    other.backend.add_tokens(["<more>"])
    other.save(corpus.path / "tokenizer")
    with pytest.raises(CorpusError, match="not the tokenizer that made the corpus"):
        _ = Corpus.load(corpus.path).tokenizer


@settings(max_examples=20)
@given(names=st.sets(st.integers(0, 19).map("task{}".format)))
def test_a_selection_is_the_corpus_of_its_tasks(tmp_path_factory, names):
    folder = tmp_path_factory.getbasetemp() / "selection"
    corpus = Corpus.build(make_trajectories(), CHATML, folder, shard_tokens=2000)
    view = corpus.select(lambda task: task in names)
    expected = [row for row in rows(corpus) if row[1] in names]
    found = list(rows(view))
    assert len(found) == len(expected) == view.num_trajectories
    for one, other in zip(found, expected, strict=True):
        assert one[:3] == other[:3]
        assert (one[3] == other[3]).all()
        assert (one[4] == other[4]).all()
    assert view.tasks == names
    assert view.num_tokens == sum(len(row[3]) for row in expected)
    assert view.num_action_tokens == sum(int(row[4].sum()) for row in expected)
    assert view.select(lambda _: False).num_trajectories == 0


def test_split_is_stable_disjoint_and_complete(tmp_path):
    corpus = build(tmp_path)
    train, held = corpus.split(0.3)
    assert train.tasks | held.tasks == corpus.tasks
    assert not train.tasks & held.tasks
    assert train.num_tokens + held.num_tokens == corpus.num_tokens
    reverse = Corpus.build(make_trajectories()[::-1], CHATML).split(0.3)
    assert (reverse[0].tasks, reverse[1].tasks) == (train.tasks, held.tasks)
    assert held.tasks <= corpus.split(0.5)[1].tasks
    assert corpus.split(0.3, seed=1)[1].tasks != held.tasks
    assert corpus.split(0.0)[1].num_trajectories == 0
    # SHA-256 of "0:task3" begins so: the side of a task never changes between versions.
    assert sorted(held.tasks) == sorted(task for task in corpus.tasks if position(task) < 0.3)


def position(task: str) -> float:
    return int(hashlib.sha256(f"0:{task}".encode()).hexdigest()[:16], 16) / 2**64


def test_split_refuses_what_cannot_be(tmp_path):
    corpus = build(tmp_path)
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(OptionError):
            corpus.split(share)
    with pytest.raises(CorpusError, match="held-out side"):
        corpus.split(1e-9)
    with pytest.raises(CorpusError, match="training side"):
        corpus.split(1 - 1e-9)


def test_progress_counts_trajectories(tmp_path):
    seen = []
    build(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number + 1, None) for number in range(200)]


def read_sample(file: Path, count: int) -> list[Trajectory]:
    """The first trajectories of one of the shared corpora, in the form that the importer gives."""
    found = []
    with gzip.open(file, "rt") as lines:
        for _, line in zip(range(count), lines, strict=False):
            record = json.loads(line)
            messages = [{**m, "content": m.get("content") or ""} for m in record["messages"]]
            found.append(Trajectory(record["id"], record["split_key"], messages, tools=record["tools"]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("template", ["qwen3", "chatml"])
def test_masks_of_real_corpora(shared, template):
    folder = shared / "tokenizers/qwen3"
    files = sorted((shared / "data").glob("*.jsonl.gz"))
    if not (folder.is_dir() and files):
        pytest.skip("no shared/data or shared/tokenizers/qwen3")
    tokenizer = Tokenizer.load(folder)
    if template == "chatml":
        tokenizer = Tokenizer(
            tokenizer.backend, config={"eos_token": "<|im_end|>"}, chat_template=TEMPLATES["chatml"]
        )
    for file in files:
        trajectories = read_sample(file, 12)
        found = list(rows(Corpus.build(trajectories, tokenizer)))
        for trajectory, (*_, tokens, action) in zip(trajectories, found, strict=True):
            check_mask(tokenizer, trajectory, tokens, action)
