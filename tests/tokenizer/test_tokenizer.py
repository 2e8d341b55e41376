"""The tokenizer wrapper: folders, fingerprints, bytes of tokens."""

import hashlib
import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, trainers

from lar.errors import TokenizerError
from lar.tokenizer.tokenizer import Tokenizer
from testing.conversations import TOOL
from testing.metaspace import metaspace

TEXTS = [
    "Thought: I will look. Aktion: suche[Übergröße] 漢字 🙂\n\n",
    '{"name": "look", "arguments": {"at": 12}}',
] * 9


def byte_level() -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    )
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    backend.add_tokens(["<tool_call>", "né"])
    return backend


BYTE_LEVEL = Tokenizer(byte_level())


def flat_bytes(tokenizer: Tokenizer, ids: np.ndarray) -> bytes:
    data, offsets = tokenizer.token_bytes()
    return b"".join(data[offsets[i] : offsets[i + 1]].tobytes() for i in ids)


@given(text=st.text(max_size=40))
def test_bytes_of_tokens_are_the_texts_bytes(text):
    ids = BYTE_LEVEL.encode(text)
    assert flat_bytes(BYTE_LEVEL, ids) == text.encode()
    assert ids.dtype == np.uint32


def test_bytes_of_tokens_with_metaspace_and_byte_fallback():
    tokenizer = Tokenizer(metaspace())
    assert flat_bytes(tokenizer, tokenizer.encode("ab cé b</s>")) == " ab cé b</s>".encode()


def test_bytes_of_tokens_cover_all_ids():
    data, offsets = BYTE_LEVEL.token_bytes()
    assert (data.dtype, offsets.dtype, len(offsets)) == (np.uint8, np.uint64, BYTE_LEVEL.base_size + 1)


def test_bytes_of_tokens_refuse_an_unknown_decoder():
    backend = tokenizers.Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    backend.decoder = decoders.WordPiece()
    with pytest.raises(TokenizerError, match="WordPiece"):
        Tokenizer(backend).token_bytes()


def test_added_tokens_in_a_text_are_recognised_and_written_out():
    ids = BYTE_LEVEL.encode("a<|im_end|>\n<tool_call>")
    assert set(ids) & set(BYTE_LEVEL.barriers) == {
        BYTE_LEVEL.backend.token_to_id("<|im_end|>"),
        BYTE_LEVEL.backend.token_to_id("<tool_call>"),
    }
    assert BYTE_LEVEL.decode(ids) == "a<|im_end|>\n<tool_call>"


@pytest.mark.parametrize("wrong", [BYTE_LEVEL.base_size, -1, 2**40])
def test_an_id_of_no_token_is_refused_and_not_left_out(wrong):
    with pytest.raises(TokenizerError, match=f"id {wrong} is none of the tokenizer's"):
        BYTE_LEVEL.decode([*BYTE_LEVEL.encode("a"), wrong])
    assert BYTE_LEVEL.decode([]) == ""


def test_barriers_are_the_added_tokens_in_order():
    names = [BYTE_LEVEL.backend.id_to_token(int(index)) for index in BYTE_LEVEL.barriers]
    assert names == ["<|im_start|>", "<|im_end|>", "<tool_call>", "né"]


def test_piecewise_encoding_is_known_to_fail_where_a_space_is_prepended():
    assert BYTE_LEVEL.encodes_piecewise
    assert not Tokenizer(metaspace()).encodes_piecewise


def test_offsets_are_characters():
    text = "ü🙂 ab<|im_end|>x"
    ids, starts = BYTE_LEVEL.encode_with_offsets(text)
    assert (ids == BYTE_LEVEL.encode(text)).all()
    assert starts[0] == 0
    assert starts[-1] == len(text) - 1
    assert (np.diff(starts) >= 0).all()


def test_the_file_stands_for_its_folder(tmp_path):
    BYTE_LEVEL.save(tmp_path)
    assert Tokenizer.load(tmp_path / "tokenizer.json") == Tokenizer.load(tmp_path)
    with pytest.raises(TokenizerError, match=r"tokenizer_config\.json: no tokenizer\.json"):
        Tokenizer.load(tmp_path / "tokenizer_config.json")


def test_a_truncation_in_the_file_is_ignored(tmp_path):
    backend = byte_level()
    backend.enable_truncation(4)
    backend.enable_padding(length=8)
    backend.save(str(tmp_path / "tokenizer.json"))
    assert len(Tokenizer.load(tmp_path).encode("x" * 50)) == 50


def folder_with(tmp_path, **files):
    byte_level().save(str(tmp_path / "tokenizer.json"))
    for name, value in files.items():
        file = tmp_path / f"{name}.json"
        file.write_text(value if isinstance(value, str) else json.dumps(value))
    return tmp_path


def test_saving_and_loading_keeps_everything(tmp_path):
    config = {"eos_token": {"content": "<|im_end|>"}, "pad_token": None, "chat_template": "{{ messages }} é"}
    folder = folder_with(tmp_path, tokenizer_config=config)
    tokenizer = Tokenizer.load(folder)
    tokenizer.save(tmp_path / "copy")
    copy = Tokenizer.load(tmp_path / "copy")
    for name in ("fingerprint", "template_hash", "chat_template", "special_tokens", "base_size"):
        assert getattr(copy, name) == getattr(tokenizer, name)
    assert copy.special_tokens == {"eos_token": "<|im_end|>"}
    assert copy.chat_template == "{{ messages }} é"


def named_templates(folder: Path, layout: str, templates: dict[str, str]) -> Path:
    """A tokenizer's folder with named templates, in a form that transformers reads."""
    if layout == "config":
        listed = [{"name": name, "template": text} for name, text in templates.items()]
        return folder_with(folder, tokenizer_config={"chat_template": listed})
    folder_with(folder, tokenizer_config={"chat_template": "of the files, this is not read"})
    further = folder / "additional_chat_templates"
    further.mkdir()
    for name, text in templates.items():
        (folder / "chat_template.jinja" if name == "default" else further / f"{name}.jinja").write_text(text)
    return folder


@pytest.mark.parametrize("layout", ["config", "files"])
@pytest.mark.parametrize(
    "names", [["default"], ["default", "rag"], ["default", "tool_use", "rag"], ["tool_use"]]
)
def test_named_templates_are_taken_as_by_transformers(tmp_path, layout, names):
    transformers = pytest.importorskip("transformers", reason="compares with transformers")
    folder = named_templates(tmp_path, layout, {name: f"{name} {{{{ tools }}}}" for name in names})
    found = Tokenizer.load(folder)
    found.save(tmp_path / "copy")
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    again = [
        found,
        Tokenizer.load(tmp_path / "copy"),
        Tokenizer.of(theirs),
        pickle.loads(pickle.dumps(found)),
    ]
    for one in again:
        assert one.template_hash == found.template_hash
        assert one.other_templates == found.other_templates
        for tools in (None, [TOOL]):
            if tools or "default" in names:
                assert one.template_for(tools) == theirs.get_chat_template(tools=tools)
            else:
                assert one.template_for(tools) is None


def test_another_template_for_tools_is_another_tokenizer():
    """One template has the hash of its text alone, so that corpora of such tokenizers stay what they are."""
    one = Tokenizer(byte_level(), chat_template="a")
    assert one.template_hash == hashlib.sha256(b"a").hexdigest()
    same = [{"default": "a"}, {"default": "a", "tool_use": "a"}, {"default": "a", "rag": "b"}]
    for templates in same:
        other = Tokenizer(byte_level(), chat_template=templates)
        assert (other.template_hash, other) == (one.template_hash, one)
    hashes = {one.template_hash}
    for templates in (
        {"default": "a", "tool_use": "b"},
        {"default": "b", "tool_use": "a"},
        {"tool_use": "a"},
    ):
        other = Tokenizer(byte_level(), chat_template=templates)
        assert other != one
        hashes.add(other.template_hash)
    assert len(hashes) == 4


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\\b", "a\0"])
def test_a_template_with_the_name_of_a_path_is_refused(tmp_path, name):
    folder = named_templates(tmp_path, "config", {"default": "x", name: "y"})
    with pytest.raises(TokenizerError, match="no file's name"):
        Tokenizer.load(folder)


def test_the_base_size_is_the_tokenizers_own_whatever_rows_its_model_has(tmp_path):
    folder = folder_with(tmp_path, config={"vocab_size": 512})
    assert Tokenizer.load(folder).base_size == max(byte_level().get_vocab().values()) + 1


def test_fingerprint_does_not_depend_on_how_merges_are_written(tmp_path):
    folder = folder_with(tmp_path)
    fingerprint = Tokenizer.load(folder).fingerprint
    data = json.loads((folder / "tokenizer.json").read_text())
    data["model"]["merges"] = [" ".join(merge) for merge in data["model"]["merges"]]
    (folder / "tokenizer.json").write_text(json.dumps(data))
    assert Tokenizer.load(folder).fingerprint == fingerprint


@pytest.mark.parametrize("change", ["merge", "token", "added"])
def test_fingerprints_of_different_tokenizers_differ(tmp_path, change):
    data = json.loads(byte_level().to_str())
    if change == "merge":
        data["model"]["merges"][-1], data["model"]["merges"][-2] = data["model"]["merges"][-2:]
    elif change == "token":
        first, second = list(data["model"]["vocab"])[:2]
        vocab = data["model"]["vocab"]
        vocab[first], vocab[second] = vocab[second], vocab[first]
    else:
        data["added_tokens"][0]["content"] = "<|im_begin|>"
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    assert Tokenizer.load(tmp_path).fingerprint != BYTE_LEVEL.fingerprint


def test_tokens_that_only_the_config_names_are_added(tmp_path):
    size = max(byte_level().get_vocab().values()) + 1
    listed = {str(size): {"content": "<extra>", "special": True, "lstrip": False, "rstrip": False}}
    tokenizer = Tokenizer.load(folder_with(tmp_path, tokenizer_config={"added_tokens_decoder": listed}))
    assert tokenizer.encode("<extra>").tolist() == [size]


FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")
MARKED = ["hi<|im_end|>\n  foo", "a <|im_end|> <|im_start|>b", "<|im_start|><|im_end|>", "x <tool_call>  né"]


@given(changed=st.dictionaries(st.integers(0, 3), st.dictionaries(st.sampled_from(FLAGS), st.booleans())))
@settings(max_examples=20)
def test_flags_of_added_tokens_are_those_that_transformers_obeys(changed, tmp_path_factory):
    known = sorted(byte_level().get_added_tokens_decoder().items())
    listed = {
        index: {name: getattr(token, name) for name in ("content", *FLAGS)} | changed.get(n, {})
        for n, (index, token) in enumerate(known)
    }
    config = {"added_tokens_decoder": listed, "eos_token": "<|im_end|>"}
    folder = folder_with(tmp_path_factory.mktemp("flags"), tokenizer_config=config)
    transformers = pytest.importorskip("transformers", reason="needs a tokenizer of transformers")
    expected = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer = Tokenizer.load(folder)
    found = tokenizer.backend.get_added_tokens_decoder()
    assert str(sorted(found.items())) == str(sorted(expected.added_tokens_decoder.items()))
    tokenizer.save(folder / "again")
    for text in MARKED:
        ids = expected.encode(text, add_special_tokens=False)
        assert tokenizer.encode(text).tolist() == ids
        assert Tokenizer.load(folder / "again").encode(text).tolist() == ids


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer_config": "{"}, "tokenizer_config.json: not JSON"),
        ({"tokenizer_config": "[]"}, "not a JSON object"),
        ({"tokenizer_config": {"added_tokens_decoder": {"9999": {"content": "<far>"}}}}, "has id 9999"),
        ({"tokenizer_config": {"added_tokens_decoder": {"x": {}}}}, "tokenizer_config.json: .*'x'"),
        ({"tokenizer_config": {"added_tokens_decoder": {"9": {}}}}, "tokenizer_config.json: .*'content'"),
        ({"tokenizer_config": {"added_tokens_decoder": ["<far>"]}}, "tokenizer_config.json: "),
        ({"tokenizer_config": {"chat_template": [{"template": "x"}]}}, "tokenizer_config.json: .*'name'"),
        ({"tokenizer_config": {"chat_template": {"default": 1}}}, "tokenizer_config.json: .*text, not int"),
    ],
)
def test_a_broken_folder_is_one_clear_line(tmp_path, files, message):
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.load(folder_with(tmp_path, **files))


def test_a_chat_template_that_is_no_text_is_refused(tmp_path):
    folder = folder_with(tmp_path)
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(TokenizerError, match=r"chat_template\.jinja: "):
        Tokenizer.load(folder)


def test_what_is_no_tokenizer_is_refused(tmp_path):
    with pytest.raises(TokenizerError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: "):
        Tokenizer.load(tmp_path)
    with pytest.raises(TokenizerError, match="int"):
        Tokenizer.of(3)


def test_of_takes_a_transformers_tokenizer(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs a tokenizer of transformers")
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=byte_level(), eos_token="<|im_end|>", chat_template="{{ eos_token }}"
    )
    ours = Tokenizer.of(theirs)
    assert ours.fingerprint == BYTE_LEVEL.fingerprint
    assert ours.special_tokens == {"eos_token": "<|im_end|>"}
    ours.save(tmp_path / "copy")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "copy")
    assert Tokenizer.of(again).fingerprint == ours.fingerprint
    assert again.chat_template == "{{ eos_token }}"
    for text in TEXTS:
        assert again.encode(text, add_special_tokens=False) == ours.encode(text).tolist()


def test_of_takes_folders_and_itself(tmp_path):
    assert Tokenizer.of(BYTE_LEVEL) is BYTE_LEVEL
    assert Tokenizer.of(str(folder_with(tmp_path))).fingerprint == BYTE_LEVEL.fingerprint
    assert Tokenizer.of(byte_level()).fingerprint == BYTE_LEVEL.fingerprint


def test_a_tokenizer_that_is_given_keeps_its_truncation():
    backend = byte_level()
    backend.enable_truncation(4)
    assert len(Tokenizer.of(backend).encode("x" * 50)) == 50
    assert backend.truncation["max_length"] == 4


def test_of_several_chat_templates_the_default_one_is_taken():
    fast = SimpleNamespace(  # as one of transformers
        backend_tokenizer=byte_level(),
        special_tokens_map={"eos_token": "<|im_end|>"},
        chat_template={"tool_use": "tools", "default": "plain"},
    )
    assert Tokenizer.of(fast).chat_template == "plain"


def test_qwen3(shared):
    folder = shared / "tokenizers/qwen3"
    if not folder.is_dir():
        pytest.skip("no shared/tokenizers/qwen3")
    tokenizer = Tokenizer.load(folder)
    assert (tokenizer.base_size, len(tokenizer.barriers)) == (151_669, 26)
    text = 'Thought: "né" 漢字 🙂\n<tool_call>\n{"a": 1}\n</tool_call><|im_end|>'
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert flat_bytes(tokenizer, tokenizer.encode(text)) == text.encode()
