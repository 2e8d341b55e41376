"""Exports: a folder reads back as the student, in every form, or there is no folder."""

import json
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from lar import adapt, distill
from lar.corpus import Corpus
from lar.distillation import AdaptOptions, DistillOptions
from lar.distillation.student import Student
from lar.errors import EngineError, ExportError, OptionError, TrainingError, VocabularyError
from lar.generation.calls import blank_configuration
from lar.generation.requests import Requests
from lar.generation.sampling import Sampling
from lar.mining.mine import mine
from lar.models.causal_lm import load_model
from lar.models.compatibility import quiet_peft
from lar.models.turn_ends import _warn
from lar.serving.export import checkpoint, export
from lar.serving.export.generation_defaults import drop_latents, generation_defaults
from lar.serving.export.gguf import GGUF_FILE, check_head, write_gguf
from lar.serving.export.inputs import teacher_of
from lar.serving.export.options import ExportOptions
from lar.serving.export.ordinary_text import check_ordinary_text
from lar.serving.export.reference import write_reference
from lar.serving.export.self_check import check_tokenizer, check_version, check_weights, self_check
from lar.serving.export.tokenizer_files import turn_ids, write_tokenizer
from lar.serving.export.weights import ROWS_MULTIPLE, check_plain_lora, plain_model
from lar.tokenizer.tokenizer import Tokenizer
from lar.vocabulary.engine_tokenizer import decode_only_backend, exported_backend
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import tiny, toy

TEXTS = [
    "I will look up the weather in Lima.",
    'Kyoto <tool_call>\n{"name": "get_weather"} degrees Celsius. Anything else?',
    "The temperature in Quito is 12 degrees, \u00e9t\u00e9 \u4eac\u90fd",
]


@pytest.fixture(scope="module")
def student_folder(teacher_folder, corpus, vocabulary, tmp_path_factory) -> Path:
    options = DistillOptions(
        loss="sft", max_steps=6, max_length=256, row_learning_rate=3e-2, device="cpu", fitted_batches=2
    )
    folder = tmp_path_factory.mktemp("student") / "student"
    distill(corpus, teacher_folder, vocabulary, options, folder)
    return folder


@pytest.fixture(scope="module")
def merged(student_folder, tmp_path_factory):
    return export(student_folder, tmp_path_factory.mktemp("export") / "export")


def student_of(folder: Path, teacher: Path) -> Student:
    return Student.load(folder, teacher, dtype="float32", device="cpu")


def logits_of(student: Student, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return student(ids[None]).logits[0]


def exported_logits(folder: Path, ids: torch.Tensor) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return model(ids[None]).logits[0]


def test_what_transformers_reads_is_the_student(merged, student_folder, teacher_folder, vocabulary):
    student = student_of(student_folder, teacher_folder)
    tokenizer = AutoTokenizer.from_pretrained(merged.folder)
    for text in TEXTS:
        ids = torch.from_numpy(vocabulary.encode(vocabulary.tokenizer.encode(text)).astype("int64"))
        assert tokenizer.encode(text, add_special_tokens=False) == ids.tolist()
        assert tokenizer.decode(ids) == text
        expected, found = logits_of(student, ids), exported_logits(merged.folder, ids)
        assert torch.allclose(found[:, : expected.shape[1]], expected, atol=1e-4)


@pytest.mark.parametrize("own", [None, 5, [7, 5]])
def test_engines_end_a_turn_where_we_do(own, student_folder, teacher_folder, vocabulary):
    student = student_of(student_folder, teacher_folder)
    student.base.generation_config.eos_token_id = own
    ends = generation_defaults(student, vocabulary.tokenizer).eos_token_id
    first = [] if own is None else [own] if own == 5 else own
    assert ends == [*first, vocabulary.tokenizer.backend.token_to_id("<|im_end|>")]
    assert set(ends) == Requests(student, Sampling(), 1, None).ends
    assert student.base.generation_config.eos_token_id == own


def test_an_export_ends_its_turns(merged, vocabulary):
    ends = GenerationConfig.from_pretrained(merged.folder).eos_token_id
    assert ends == [vocabulary.tokenizer.backend.token_to_id("<|im_end|>")]


def test_no_latent_ends_a_turn(student_folder, teacher_folder, vocabulary, caplog):
    """Whose id a base names that its tokenizer does not have."""
    _warn.cache_clear()
    student = student_of(student_folder, teacher_folder)
    beyond = vocabulary.base_size + 1
    own = student.base.generation_config
    own.eos_token_id, own.pad_token_id, own.bos_token_id = [5, beyond], beyond + 1, 3
    end = vocabulary.tokenizer.backend.token_to_id("<|im_end|>")
    written = generation_defaults(student, vocabulary.tokenizer)
    assert (written.eos_token_id, written.pad_token_id, written.bos_token_id) == ([5, end], None, 3)
    said = [record.message for record in caplog.records if "left out" in record.message]
    assert [message.rsplit(": ", 1)[1] for message in said] == [str(beyond), str(beyond + 1)]
    assert Requests(student, Sampling(), 1, None).ends == {5, end}
    with blank_configuration(student):
        assert student.base.generation_config.eos_token_id == [5]
    drop_latents(own, vocabulary)
    assert (own.eos_token_id, own.pad_token_id, own.bos_token_id) == ([5], None, 3)
    own.eos_token_id = [5, beyond]
    plain = Student.plain(student.unload(), vocabulary.tokenizer)
    assert generation_defaults(plain, vocabulary.tokenizer).eos_token_id == [5, beyond, end]


@pytest.mark.parametrize("name", ["suppress_tokens", "begin_suppress_tokens"])
@pytest.mark.parametrize("beyond", [[0], [0, 1]])
def test_no_latent_is_suppressed(name, beyond, student_folder, teacher_folder, vocabulary):
    """A base may suppress the rows that no token has; with latents, these are theirs."""
    student = student_of(student_folder, teacher_folder)
    rows = [vocabulary.base_size + latent for latent in beyond]
    for own, kept in (([5, *rows, 7], [5, 7]), (rows, None)):
        setattr(student.base.generation_config, name, own)
        assert getattr(generation_defaults(student, vocabulary.tokenizer), name) == kept
        plain = Student.plain(student.base, vocabulary.tokenizer)
        assert getattr(generation_defaults(plain, vocabulary.tokenizer), name) == own


def with_generation(folder: Path, teacher: Path, values: dict[str, object]) -> Path:
    """A copy of a teacher in `folder` that has `values` as its generation configuration."""
    copy = shutil.copytree(teacher, folder / "teacher")
    (copy / "generation_config.json").write_text(json.dumps(values))
    return copy


@pytest.mark.parametrize("latents", [True, False])
def test_no_engine_penalizes_the_uses_of_a_latent(
    latents, student_folder, teacher_folder, vocabulary, caplog
):
    penalties = {"repetition_penalty": 1.05, "no_repeat_ngram_size": 3, "presence_penalty": 0.5}
    student = student_of(student_folder, teacher_folder)
    if not latents:
        student = Student.plain(student.unload(), vocabulary.tokenizer)
    own = student.base.generation_config
    own.update(**penalties, temperature=0.7, do_sample=True, allow_custom_entries=True)
    written = generation_defaults(student, vocabulary.tokenizer).to_diff_dict()
    kept = {name: written[name] for name in penalties if name in written}
    assert kept == ({} if latents else penalties)
    assert (written["temperature"], written["do_sample"]) == (0.7, True)
    assert (own.repetition_penalty, own.presence_penalty) == (1.05, 0.5)
    said = [record.message for record in caplog.records if "penalize" in record.message]
    assert len(said) == latents
    assert all(f"{name} {value}" in said[0] for name, value in penalties.items() if latents)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"temperature": 0.9, "top_p": 0.6}, True),
        ({"do_sample": False, "top_k": 20}, True),
        ({"temperature": 1.0, "top_k": 50}, None),
        ({"temperature": 0.0}, None),
        ({}, None),
    ],
)
def test_what_engines_sample_with_is_a_valid_configuration(own, expected, student_folder, teacher_folder):
    student = student_of(student_folder, teacher_folder)
    student.base.generation_config = GenerationConfig(**own)
    written = generation_defaults(student, student.vocabulary.tokenizer)
    assert written.do_sample is expected
    assert written.temperature == own.get("temperature")
    if own.get("temperature") != 0:
        written.validate(strict=True)


@pytest.mark.parametrize("own", [{"temperature": 0.9, "top_p": 0.6}, {"temperature": 0.0}])
def test_a_base_with_an_odd_generation_configuration_is_exported(
    own, student_folder, teacher_folder, tmp_path
):
    teacher = with_generation(tmp_path, teacher_folder, {**own, "repetition_penalty": 1.05})
    export(student_folder, tmp_path / "export", model=teacher)
    written = json.loads((tmp_path / "export" / "generation_config.json").read_text())
    assert {name: written[name] for name in own} == own
    assert "repetition_penalty" not in written


def test_the_report_says_what_was_checked(merged, vocabulary):
    assert merged.report["latents"] == len(vocabulary)
    assert merged.report["prefixes_kept"] == ["prompt", "history"]
    assert merged.report["logits_difference"] < 1e-4
    assert merged.report["same_likeliest"] == 1.0
    assert merged.record["first_latent"] == vocabulary.base_size
    assert sorted(file.name for file in merged.folder.iterdir() if file.is_dir()) == ["latent_vocabulary"]
    assert not list(merged.folder.parent.glob("*.partial"))


def test_weights_are_as_readable_as_the_tokenizer(merged):
    modes = {(merged.folder / name).stat().st_mode for name in ("model.safetensors", "tokenizer.json")}
    assert len(modes) == 1


def test_rows_are_padded_and_padding_is_never_likely(merged):
    model = AutoModelForCausalLM.from_pretrained(merged.folder, dtype=torch.float32)
    first, latents = merged.record["first_latent"], merged.record["latents"]
    rows = model.config.vocab_size
    assert rows % ROWS_MULTIPLE == 0
    assert (
        model.get_input_embeddings().weight.shape[0] == model.get_output_embeddings().weight.shape[0] == rows
    )
    torch.manual_seed(0)
    with torch.no_grad():
        hidden = 5 * torch.randn(200, model.config.hidden_size)
        probabilities = model.get_output_embeddings()(hidden).double().softmax(-1)
    mean_of_base = probabilities[:, :first].mean(-1, keepdim=True)
    assert (probabilities[:, first + latents :] <= mean_of_base * (1 + 1e-6)).all()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_tied_students_are_untied(family, corpus, vocabulary, tmp_path):
    teacher = tmp_path / "teacher"
    tiny.model(vocabulary.base_size, tied=True, family=family).save_pretrained(teacher)
    corpus.tokenizer.save(teacher)
    options = DistillOptions(loss="sft", max_steps=2, max_length=256, device="cpu", fitted_batches=2)
    distill(corpus, teacher, vocabulary, options, tmp_path / "student")
    done = export(tmp_path / "student", tmp_path / "export")
    config = json.loads((done.folder / "config.json").read_text())
    assert config["tie_word_embeddings"] is False
    assert done.report["logits_difference"] < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_weights_pass_within_their_rounding(dtype, student_folder, tmp_path):
    done = export(student_folder, tmp_path / "export", ExportOptions(dtype=dtype))
    assert json.loads((done.folder / "config.json").read_text())["dtype"] == dtype
    assert 0 < done.report["logits_difference"] < 0.05


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_auto_is_the_dtype_of_the_teachers_base(dtype, teacher_folder, tmp_path):
    base = tmp_path / "base"
    model = AutoModelForCausalLM.from_pretrained(teacher_folder)
    model.to(getattr(torch, dtype)).save_pretrained(base)
    names = [base]
    for name in ("adapted", "adapted-again"):
        adapter = tmp_path / name
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(names[-1])}))
        names.append(adapter)
    for teacher in names:
        assert checkpoint._dtype("auto", teacher) == getattr(torch, dtype)
        assert checkpoint._dtype("float16", teacher) == torch.float16


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("largest", ["1GB", "20KB"])
def test_auto_is_the_dtype_of_weights_whose_configuration_has_none(dtype, largest, vocabulary, tmp_path):
    model = tiny.model(vocabulary.base_size).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path, max_shard_size=largest)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    del config["dtype"]
    file.write_text(json.dumps(config))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1 or largest == "20KB"
    assert checkpoint._dtype("auto", tmp_path) == getattr(torch, dtype)


def test_auto_writes_a_teacher_in_bfloat16_as_it_was(corpus, vocabulary, tmp_path):
    teacher = tmp_path / "teacher"
    tiny.model(vocabulary.base_size).to(torch.bfloat16).save_pretrained(teacher)
    corpus.tokenizer.save(teacher)
    options = DistillOptions(control=True, loss="sft", max_steps=1, max_length=256, device="cpu")
    distill(corpus, teacher, None, options, tmp_path / "control")
    done = export(tmp_path / "control", tmp_path / "export")
    assert done.record["dtype"] == "bfloat16"
    weights = load_file(done.folder / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_transformers_keeps_in_float32_is_not_rounded(dtype, vocabulary, tmp_path):
    """A router's correction, for example: rounded, it sends tokens to other experts."""
    experts = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_group": 1}
    model = tiny.of_family("glm4_moe", vocabulary.base_size, **experts, topk_group=1, first_k_dense_replace=1)
    router = dict(model.named_modules())["model.layers.1.mlp.gate"]
    with torch.no_grad():
        router.e_score_correction_bias.copy_(8 + torch.rand(4))
    expected = {name: value.clone() for name, value in router.state_dict(keep_vars=False).items()}
    student = Student.begin(model, vocabulary, DistillOptions(device="cpu")).eval()
    write_reference(student, tmp_path / "reference", dtype)
    checkpoint._write_weights(student, tmp_path, dtype, ExportOptions(), GenerationConfig())
    written = load_file(tmp_path / "model.safetensors")
    kept = [name for name, value in written.items() if value.dtype != dtype]
    assert sorted(kept) == sorted(f"model.layers.1.mlp.gate.{name}" for name in expected)
    for name in kept:
        assert torch.equal(written[name], expected[name.rsplit(".", 1)[1]]), name
    record = {"form": "merged", "dtype": str(dtype).removeprefix("torch.")}
    assert check_weights(tmp_path, vocabulary, tmp_path / "reference", record)["logits_difference"] < 0.05


def test_every_part_of_the_configuration_has_the_dtype_of_the_weights(vocabulary, tmp_path):
    """That of a vision tower too, and of the language model beside it, which some engines look at."""
    tiny.with_vision(vocabulary.base_size).save_pretrained(tmp_path)
    base = load_model(tmp_path, dtype="float32", device="cpu")
    student = Student.begin(base, vocabulary, DistillOptions(device="cpu"))
    checkpoint._write_weights(student, tmp_path, torch.bfloat16, ExportOptions(), GenerationConfig())
    config = json.loads((tmp_path / "config.json").read_text())
    parts = (config, config["text_config"], config["vision_config"])
    assert [part["dtype"] for part in parts] == 3 * ["bfloat16"]


@pytest.mark.slow
def test_the_base_with_rows_and_a_plain_adapter_are_the_student_too(
    student_folder, merged, vocabulary, tmp_path
):
    done = export(student_folder, tmp_path / "export", ExportOptions(form="lora"))
    adapter = load_file(done.folder / "adapter" / "adapter_model.safetensors")
    assert adapter
    assert all("lora_" in name for name in adapter)  # engines refuse other weights
    moved = tmp_path / "moved"
    done.folder.rename(moved)
    assert self_check(moved)["latents"] == len(vocabulary)
    base = AutoModelForCausalLM.from_pretrained(moved, dtype=torch.float32)
    with quiet_peft():
        adapted = PeftModel.from_pretrained(base, moved / "adapter")
    ids = torch.arange(40)[None]
    with torch.no_grad():
        assert torch.allclose(adapted(ids).logits[0], exported_logits(merged.folder, ids[0]), atol=1e-4)


@pytest.mark.slow
def test_decode_only_changes_no_prompt(student_folder, vocabulary, tmp_path):
    done = export(student_folder, tmp_path / "export", ExportOptions(decode_only=True))
    tokenizer = AutoTokenizer.from_pretrained(done.folder)
    for text in TEXTS:
        ids = vocabulary.tokenizer.encode(text).tolist()
        assert tokenizer.encode(text, add_special_tokens=False) == ids
        units = vocabulary.encode(ids)
        assert len(units) < len(ids)
        assert tokenizer.decode(units.tolist()) == text


@pytest.mark.parametrize("recorded", [True, False])
def test_a_chat_template_that_the_student_did_not_learn_from_is_warned_of(
    student_folder, teacher_folder, tmp_path, caplog, monkeypatch, recorded
):
    monkeypatch.setattr(checkpoint, "_checked", lambda *_: {})  # the weights are no matter here
    student = shutil.copytree(student_folder, tmp_path / "student")
    if not recorded:  # by an earlier version
        record = json.loads((student / "distillation.json").read_text())
        del record["chat_template_hash"]
        (student / "distillation.json").write_text(json.dumps(record))
    export(student, tmp_path / "same")
    assert "chat template" not in caplog.text
    teacher = shutil.copytree(teacher_folder, tmp_path / "teacher")
    (teacher / "chat_template.jinja").write_text(f"{toy.CHATML} ")
    export(student, tmp_path / "other", model=teacher)
    assert f"{teacher}: its chat template is not that" in caplog.text
    caplog.clear()
    template = student / "vocabulary" / "tokenizer" / "chat_template.jinja"
    export(student, tmp_path / "given", model=teacher, chat_template=template)
    assert "chat template" not in caplog.text


def test_a_model_that_reads_images_keeps_what_prepares_them(
    student_folder, teacher_folder, corpus, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint, "_checked", lambda *_: {})  # the weights are no matter here
    base = shutil.copytree(teacher_folder, tmp_path / "base")
    names = "processor_config.json", "preprocessor_config.json"
    for name in names:
        (base / name).write_text(json.dumps({"of": name}))
    options = AdaptOptions(max_steps=1, max_length=256, device="cpu")
    adapt(corpus, base, options, tmp_path / "adapter", merge=False)
    adapt(corpus, tmp_path / "adapter", options, tmp_path / "adapted")
    export(student_folder, tmp_path / "export", model=base)
    for folder in ("adapted", "export"):
        assert [json.loads((tmp_path / folder / name).read_text()) for name in names] == [
            {"of": name} for name in names
        ]
        assert not (tmp_path / folder / "video_preprocessor_config.json").exists()


def test_a_control_is_exported_like_any_model(teacher_folder, corpus, tmp_path):
    options = DistillOptions(control=True, loss="sft", max_steps=2, max_length=256, device="cpu")
    distill(corpus, teacher_folder, None, options, tmp_path / "control")
    done = export(tmp_path / "control", tmp_path / "export")
    assert done.record["latents"] == 0
    assert done.report["logits_difference"] < 1e-4


def test_a_base_with_padding_rows_is_exported_with_the_ids_of_training(corpus, vocabulary, tmp_path):
    # Qwen3 has padding rows too: the latents take the first of them, and the others become harmless.
    base_size, teacher = vocabulary.base_size, tmp_path / "teacher"
    tiny.padded(tiny.model(base_size), base_size + 100).save_pretrained(teacher)
    corpus.tokenizer.save(teacher)
    options = DistillOptions(loss="sft", max_steps=2, max_length=256, device="cpu", fitted_batches=2)
    distill(corpus, teacher, vocabulary, options, tmp_path / "student")
    done = export(tmp_path / "student", tmp_path / "export")
    assert done.record["first_latent"] == base_size
    assert json.loads((done.folder / "config.json").read_text())["vocab_size"] % ROWS_MULTIPLE == 0
    units = vocabulary.encode(vocabulary.tokenizer.encode(TEXTS[0])).tolist()
    assert max(units) >= base_size
    assert AutoTokenizer.from_pretrained(done.folder).encode(TEXTS[0], add_special_tokens=False) == units
    ids = torch.tensor(units)
    expected = logits_of(student_of(tmp_path / "student", teacher), ids)
    found = exported_logits(done.folder, ids)
    assert torch.allclose(found[:, : expected.shape[1]], expected, atol=1e-3)
    assert int(found.argmax(-1).max()) < expected.shape[1]


def test_a_tokenizer_that_lost_its_latents_is_found(merged, corpus, tmp_path):
    folder = shutil.copytree(merged.folder, tmp_path / "export")
    corpus.tokenizer.save(folder)
    with pytest.raises(ExportError, match="latents are missing"):
        self_check(folder)


def test_latents_that_begin_with_a_dropped_space_are_checked_within_a_text(tmp_path):
    vocabulary = mine(Corpus.build(toy.trajectories(60), toy.metaspace_tokenizer()), size=12)
    assert any(latent.text.startswith(" ") for latent in vocabulary)
    vocabulary.tokenizer.save(tmp_path / "base")
    for make in (exported_backend, decode_only_backend):
        write_tokenizer(make(vocabulary), tmp_path / "base", tmp_path)
        checked = check_tokenizer(tmp_path, vocabulary, decode_only=make is decode_only_backend)
        assert checked["latents"] == len(vocabulary)
    stripped = (replace(latent, text=latent.text.lstrip(" ")) for latent in vocabulary)
    with pytest.raises(ExportError, match=r"latent \d+ decodes to ' .* within a text"):
        check_tokenizer(tmp_path, replace(vocabulary, latents=tuple(stripped)), decode_only=True)


@pytest.mark.parametrize("number", [1, 20, 31])
def test_every_latent_is_read_and_written_in_the_check_of_an_export(number, corpus, tmp_path):
    tokenizer = corpus.tokenizer
    ids = next(corpus.shards()).tokens.tolist()
    segments = list(dict.fromkeys(tuple(ids[at : at + 9]) for at in range(200)))[:number]
    first = tokenizer.base_size
    latents = [Latent(first + n, s, tokenizer.decode(s), 1, 1, 1) for n, s in enumerate(segments)]
    vocabulary = LatentVocabulary(tuple(latents), tokenizer)
    student = Student.begin(tiny.model(first), vocabulary, DistillOptions(device="cpu")).eval()
    write_reference(student, tmp_path / "reference", torch.bfloat16)
    found = load_file(tmp_path / "reference")
    every = set(range(first, first + number))
    assert len(every) == number == len(found["output_rows"])
    assert every <= set(found["ids"].flatten().tolist())
    firsts = {segment[0] for segment in segments}
    assert every | firsts <= set(found["columns"].tolist())
    assert found["output_rows"].dtype == torch.bfloat16
    expected = logits_of(student, found["ids"][-1])[:, found["columns"]]
    assert torch.allclose(found["logits"][-1], expected, atol=1e-5)


def test_a_control_is_compared_at_ordinary_text(corpus, tmp_path):
    # At ids in a row, rare tokens, the rounding to bfloat16 of trained controls was more than the tolerance.
    nothing = LatentVocabulary((), corpus.tokenizer)
    control = Student.plain(tiny.model(nothing.base_size), corpus.tokenizer).eval()
    write_reference(control, tmp_path / "reference", torch.bfloat16)
    found = load_file(tmp_path / "reference")
    text = corpus.tokenizer.decode(found["ids"].flatten().tolist())
    assert text.startswith("Thought: The order has not been sent yet, so its address can still be changed.\n")
    assert "output_rows" not in found


@pytest.mark.parametrize("kind", ["scaled embedding", "bias"])
def test_rows_are_baked_as_the_model_reads_and_writes_them(kind, vocabulary):
    """Gemma scales what its embedding looks up, and some heads have a bias."""
    model = tiny.of_family("gemma3_text", vocabulary.base_size)
    if kind == "bias":
        model = tiny.model(vocabulary.base_size)
        model.lm_head.bias = torch.nn.Parameter(torch.randn(vocabulary.base_size))
    student = Student.begin(model, vocabulary, DistillOptions(device="cpu")).eval()
    with torch.no_grad():
        for value in student.rows.parameters():
            value.add_(torch.randn_like(value))
    ids = torch.tensor([*range(vocabulary.base_size, vocabulary.base_size + len(vocabulary)), 5, 7, 9])
    expected = logits_of(student, ids)
    plain = plain_model(student, merge_lora=True)
    with torch.no_grad():
        found = plain(ids[None]).logits[0]
    assert torch.allclose(found[:, : expected.shape[1]], expected, rtol=1e-3, atol=1e-3)


def test_a_tokenizer_that_encodes_latents_otherwise_than_it_should_is_found(vocabulary, tmp_path):
    vocabulary.tokenizer.save(tmp_path / "base")
    for make, said in (
        (exported_backend, "is encoded, but was to be decoded only"),
        (decode_only_backend, r"latent 0 \(.*\) is encoded as \["),
    ):
        write_tokenizer(make(vocabulary), tmp_path / "base", tmp_path)
        with pytest.raises(ExportError, match=said):
            check_tokenizer(tmp_path, vocabulary, decode_only=make is exported_backend)


def test_a_latent_that_swallows_the_end_of_the_prompt_is_found(vocabulary, tmp_path):
    """The header of the agent's turn ends in a line end, which the latent would take with it."""
    known = vocabulary.tokenizer
    latent = replace(vocabulary.latents[0], text="\n\n", tokens=tuple(known.encode("\n\n").tolist()))
    changed = LatentVocabulary((latent,), known)
    known.save(tmp_path / "base")
    write_tokenizer(exported_backend(changed), tmp_path / "base", tmp_path)
    with pytest.raises(ExportError, match="the prompt's ids no longer begin the conversation's"):
        check_tokenizer(tmp_path, changed, decode_only=False)


def test_the_written_configuration_is_one_that_old_and_new_versions_read(vocabulary, tmp_path):
    vocabulary.tokenizer.save(tmp_path / "base")
    file = tmp_path / "base" / "tokenizer_config.json"
    passing = {"backend": "tokenizers", "is_local": True, "extra_special_tokens": ["<|im_start|>"]}
    odd = {"clean_up_tokenization_spaces": True, "tokenizer_class": "TokenizersBackend", **passing}
    file.write_text(json.dumps(json.loads(file.read_text()) | odd))
    backend = exported_backend(vocabulary)
    write_tokenizer(backend, tmp_path / "base", tmp_path)
    found = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert found["clean_up_tokenization_spaces"] is False
    assert found["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert found["additional_special_tokens"] == ["<|im_start|>"]
    assert not passing.keys() & found.keys()
    added = {int(index): entry["content"] for index, entry in found["added_tokens_decoder"].items()}
    assert added == {index: token.content for index, token in backend.get_added_tokens_decoder().items()}
    assert {latent.id: latent.text for latent in vocabulary}.items() <= added.items()


@pytest.mark.parametrize(("version", "is_old"), [("4.56.2", True), ("4.57.0", False), ("4.100.0", False)])
def test_a_transformers_that_is_too_old_is_refused(monkeypatch, version, is_old):
    monkeypatch.setattr("transformers.__version__", version)
    if is_old:
        with pytest.raises(EngineError, match=r"transformers 4\.56\.2 is too old .*: 4\.57 or newer"):
            check_version()
    else:
        check_version()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("print('half done'); sys.exit('Traceback\\nKeyError: 5\\n')", "KeyError: 5$"),
        ("sys.exit('BPE pre-tokenizer was not recognized')", "does not support this tokenizer, or a latent"),
        ("print('nothing is written')", "nothing is written$"),
        ("sys.exit(3)", "exit code 3$"),
    ],
)
def test_how_a_converter_failed_is_told(tmp_path, program, said):
    (tmp_path / "convert_hf_to_gguf.py").write_text(f"import sys\n{program}\n")
    with pytest.raises(ExportError, match=said) as caught:
        write_gguf(tmp_path, "export", tmp_path, "f16")
    assert "\n" not in str(caught.value)


def test_a_converter_is_told_the_type_the_name_and_the_file(tmp_path):
    program = "import pathlib, sys\npathlib.Path(sys.argv[-1]).write_text(' '.join(sys.argv[1:-2]))\n"
    (tmp_path / "convert_hf_to_gguf.py").write_text(program)
    write_gguf(tmp_path, "export", tmp_path, "q8_0")
    assert (tmp_path / "model.gguf").read_text() == f"{tmp_path} --outtype q8_0 --model-name export"


def test_all_named_templates_are_exported_and_checked(vocabulary, tmp_path):
    templates = {"default": toy.CHATML, "tool_use": "{% for tool in tools %}{% endfor %}" + toy.CHATML}
    for layout in ("files", "config"):
        source, target = tmp_path / f"{layout}-base", tmp_path / layout
        Tokenizer(vocabulary.tokenizer.backend, chat_template=templates).save(source)
        if layout == "config":
            _templates_in_config(source, templates)
        target.mkdir()
        write_tokenizer(exported_backend(vocabulary), source, target)
        assert AutoTokenizer.from_pretrained(target).chat_template == templates
        assert check_tokenizer(target, vocabulary, decode_only=False)["prefixes_kept"] == [
            "prompt",
            "history",
        ]
    # The template for tools is checked by itself: here it leaves out earlier turns.
    late = "{% for tool in tools %}{% endfor %}{{ messages[-1].content }}"
    (tmp_path / "files/additional_chat_templates/tool_use.jinja").write_text(late)
    assert check_tokenizer(tmp_path / "files", vocabulary, decode_only=False)["prefixes_kept"] == []


def _templates_in_config(folder: Path, templates: dict[str, str]) -> None:
    (folder / "chat_template.jinja").unlink()
    shutil.rmtree(folder / "additional_chat_templates")
    listed = [{"name": name, "template": text} for name, text in templates.items()]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": listed}))


def test_a_template_that_needs_a_system_message_is_checked_with_one(merged, vocabulary, tmp_path):
    folder = shutil.copytree(merged.folder, tmp_path / "export")
    condition = "{% if messages[0].role != 'system' %}{{ raise_exception('none') }}{% endif %}"
    (folder / "chat_template.jinja").write_text(condition + toy.CHATML)
    assert self_check(folder)["prefixes_kept"] == ["prompt", "history"]
    assert (
        turn_ids(Tokenizer.load(folder), vocabulary.base_size)["agent_header"]
        == merged.record["agent_header"]
    )
    (folder / "chat_template.jinja").write_text("{{ raise_exception('never') }}")
    with pytest.raises(ExportError, match="template refuses a question after an answer: never"):
        self_check(folder)


@pytest.mark.parametrize("changed", ["ordinary text", "text at a latent"])
def test_a_loader_that_encodes_otherwise_than_the_file_is_found(vocabulary, tmp_path, changed):
    vocabulary.tokenizer.save(tmp_path / "base")
    export_folder = tmp_path / "export"
    export_folder.mkdir()
    write_tokenizer(exported_backend(vocabulary), tmp_path / "base", export_folder)
    theirs = AutoTokenizer.from_pretrained(export_folder)
    texts = [latent.text for latent in vocabulary.latents]
    check_ordinary_text(export_folder, theirs, texts)
    backend = theirs.backend_tokenizer
    if changed == "ordinary text":  # as Qwen2Tokenizer of transformers 5 does
        digits = pre_tokenizers.Digits(individual_digits=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, backend.pre_tokenizer])
        message = r"encodes 'Order 12345 costs .*tokenizer_class"
    else:
        backend.add_tokens([AddedToken(texts[0], single_word=True, normalized=False, special=False)])
        message = "encodes 'word.*word' as"
    for latent in vocabulary.latents:  # the checks of the latents alone pass
        assert theirs.encode(latent.text, add_special_tokens=False) == [latent.id]
    with pytest.raises(ExportError, match=message):
        check_ordinary_text(export_folder, theirs, texts)


def test_a_class_that_the_configuration_does_not_choose_is_not_to_be_set_there(vocabulary, tmp_path):
    vocabulary.tokenizer.save(tmp_path / "base")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "base")
    theirs.backend_tokenizer.pre_tokenizer = pre_tokenizers.Digits(individual_digits=True)
    file = tmp_path / "base/tokenizer_config.json"
    for name, advice in (("Qwen2Tokenizer", "set tokenizer_class to"), (None, "try another version")):
        config = json.loads(file.read_text())
        file.write_text(json.dumps(config | {"tokenizer_class": name or "PreTrainedTokenizerFast"}))
        with pytest.raises(ExportError, match=advice):
            check_ordinary_text(tmp_path / "base", theirs, [])


def test_the_class_of_the_base_is_checked(vocabulary, tmp_path):
    """Versions of transformers differ in whether the class obeys tokenizer.json."""
    backend = tokenizers.Tokenizer.from_str(vocabulary.tokenizer.backend.to_str())
    backend.add_special_tokens(["<|endoftext|>"])
    base = Tokenizer(backend, config={"pad_token": "<|endoftext|>", "tokenizer_class": "Qwen2Tokenizer"})
    base.save(tmp_path / "base")
    text = " degrees Celsius. Anything"
    tokens = tuple(base.encode(text).tolist())
    latent = replace(vocabulary.latents[0], id=base.base_size, text=text, tokens=tokens)
    changed = LatentVocabulary((latent,), base)
    export_folder = tmp_path / "export"
    export_folder.mkdir()
    write_tokenizer(exported_backend(changed), tmp_path / "base", export_folder)
    theirs = AutoTokenizer.from_pretrained(export_folder)
    own = Tokenizer.load(export_folder).encode("12345 2024").tolist()
    if theirs.encode("12345 2024", add_special_tokens=False) == own:
        assert check_tokenizer(export_folder, changed, decode_only=False)["latents"] == 1
    else:
        with pytest.raises(ExportError, match="Qwen2Tokenizer encodes 'Order 12345"):
            check_tokenizer(export_folder, changed, decode_only=False)


def test_weights_of_another_are_found(merged, tmp_path):
    reference = tmp_path / "reference.safetensors"
    folder = shutil.copytree(merged.folder, tmp_path / "export")
    weights = load_file(folder / "model.safetensors")
    first, latents = merged.record["first_latent"], merged.record["latents"]
    exact = {
        "ids": torch.tensor([[first, 5, first + 1, 7]]),
        "columns": torch.arange(first + latents),
        "output_rows": weights["lm_head.weight"][first : first + latents].clone(),
    }
    exact["logits"] = exported_logits(folder, exact["ids"][0])[None][..., exact["columns"]].contiguous()
    save_file(exact, reference)
    assert self_check(folder, reference)["logits_difference"] < 1e-4

    rows = weights["model.embed_tokens.weight"]
    rows[[first, first + 1]] = rows[[first + 1, first]]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ExportError, match="logits differ"):
        self_check(folder, reference)
    head = weights["lm_head.weight"]
    head[[first, first + 1]] = head[[first + 1, first]]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ExportError, match="rows are not the student's"):
        self_check(folder, reference)


def test_a_latent_that_is_a_token_already_is_refused(vocabulary):
    known = vocabulary.tokenizer
    text = next(
        known.decode([index]) for index in range(known.base_size - 1, 0, -1) if len(known.decode([index])) > 2
    )
    tokens = tuple(known.encode(text[:1]).tolist() + known.encode(text[1:]).tolist())
    latent = replace(vocabulary.latents[0], text=text, tokens=tokens)
    changed = LatentVocabulary((latent,), known)
    # An added token's text would be found before the merges; in the model's vocabulary it already has an id.
    with pytest.raises(VocabularyError, match="it is already token"):
        decode_only_backend(changed)


def test_a_latent_that_fails_a_gate_is_refused_before_the_work(student_folder, tmp_path):
    changed = shutil.copytree(student_folder, tmp_path / "student")
    vocabulary = LatentVocabulary.load(changed / "vocabulary")
    text = "\n\n"
    tokens = tuple(vocabulary.tokenizer.encode(text).tolist())
    latents = (replace(vocabulary.latents[0], text=text, tokens=tokens), *vocabulary.latents[1:])
    replace(vocabulary, latents=latents).save(changed / "vocabulary")
    with pytest.raises(VocabularyError, match=r"latent 0 .* engine gate 'header'"):
        export(changed, tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_two_latents_of_one_text_are_refused(vocabulary):
    first = vocabulary.latents[0]
    known = vocabulary.tokenizer
    other = replace(first, id=first.id + 1, tokens=tuple(known.encode(first.text[:1]).tolist()) * 2)
    changed = LatentVocabulary((first, other), known)
    for make in (exported_backend, decode_only_backend):
        with pytest.raises(VocabularyError, match="same text"):
            make(changed)


def test_an_export_that_fails_its_check_leaves_nothing(student_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("lar.serving.export.checkpoint.plain_model", _swapped)
    with pytest.raises(ExportError, match="rows are not the student's"):
        export(student_folder, tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


def _swapped(student, *, merge_lora):
    from lar.serving.export.weights import plain_model

    first = student.vocabulary.base_size
    model = plain_model(student, merge_lora=merge_lora)
    rows = model.get_output_embeddings().weight.data
    rows[[first, first + 1]] = rows[[first + 1, first]]
    return model


def test_a_damaged_adapter_of_a_student_is_one_line(student_folder, teacher_folder, tmp_path):
    changed = shutil.copytree(student_folder, tmp_path / "student")
    file = changed / "adapter_model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(TrainingError, match="adapter is damaged, or of another model") as found:
        student_of(changed, teacher_folder)
    assert str(found.value).startswith(str(changed))
    tensors = load_file(student_folder / "adapter_model.safetensors")
    save_file({name: value[:, :-1].contiguous() for name, value in tensors.items()}, file)
    with pytest.raises(TrainingError, match="adapter is damaged, or of another model") as found:
        student_of(changed, teacher_folder)
    assert "\n" not in str(found.value)


CONVERTER = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("model")
for name in ("--outtype", "--outfile", "--model-name"):
    parser.add_argument(name)
given = parser.parse_args()
pathlib.Path(given.outfile).write_text(json.dumps(given.model_name))
"""


def test_a_gguf_has_the_name_of_the_export(tmp_path):
    """And not that of the temporary folder in which it is written."""
    llama_cpp, folder = tmp_path / "llama.cpp", tmp_path / ".student.k3x9.partial"
    llama_cpp.mkdir()
    folder.mkdir()
    (llama_cpp / "convert_hf_to_gguf.py").write_text(CONVERTER)
    write_gguf(folder, "student", llama_cpp, "f16")
    assert json.loads((folder / GGUF_FILE).read_text()) == "student"


def gguf_of(folder: Path, shapes: dict[str, tuple[int, ...]], token: str) -> Path:
    """A GGUF without weights: a list of one token, and the names and shapes of matrices."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    content = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), 1)
    content += text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + text(token) + text("ab")
    for name, shape in shapes.items():
        content += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        content += struct.pack("<IQ", 0, 0)
    (folder / GGUF_FILE).write_bytes(content + bytes(64))
    return folder


@pytest.mark.parametrize("token", ["output.weight", "output"])
def test_a_gguf_without_rows_for_the_latents_is_refused(tmp_path, token):
    """llama.cpp's converter leaves out the head of Gemma's models, which it computes with the embedding."""
    blocks = {"token_embd.weight": (48, 448), "blk.0.attn_output.weight": (48, 48)}
    check_head(gguf_of(tmp_path, {**blocks, "output.weight": (48, 448)}, token), 400)
    for shapes, said in ((blocks, "no rows"), ({**blocks, "output.weight": (48, 384)}, "384 rows")):
        with pytest.raises(ExportError, match=f"{said} of the output matrix, and the export has 400 ids"):
            check_head(gguf_of(tmp_path, shapes, token), 400)


@pytest.mark.parametrize("latents", [True, False])
def test_a_head_that_the_converter_leaves_out_leaves_no_export(
    latents, student_folder, teacher_folder, corpus, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint, "_checked", lambda *_: {})  # the weights are no matter here
    (tmp_path / "convert_hf_to_gguf.py").write_text(CONVERTER)
    if latents:
        with pytest.raises(ExportError, match="no rows of the output matrix"):
            export(student_folder, tmp_path / "export", llama_cpp=tmp_path)
        assert not (tmp_path / "export").exists()
    else:
        options = DistillOptions(control=True, loss="sft", max_steps=1, max_length=256, device="cpu")
        distill(corpus, teacher_folder, None, options, tmp_path / "control")
        export(tmp_path / "control", tmp_path / "export", llama_cpp=tmp_path)
        assert (tmp_path / "export" / GGUF_FILE).is_file()


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_a_lora_of_a_matrix_that_grows_is_refused_before_the_work(target, vocabulary):
    options = DistillOptions(loss="sft", device="cpu", target_modules=("q_proj", target))
    student = Student.begin(tiny.model(vocabulary.base_size), vocabulary, options)
    with pytest.raises(OptionError, match="leave --lora"):
        check_plain_lora(student)
    nothing = LatentVocabulary((), vocabulary.tokenizer)
    check_plain_lora(Student.begin(tiny.model(vocabulary.base_size), nothing, options))


def test_bad_input_has_one_line(student_folder, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(OptionError, match="something else"):
        export(student_folder, tmp_path / "taken")
    for model in (None, tmp_path):
        with pytest.raises(TrainingError, match="no student"):
            export(tmp_path / "taken", tmp_path / "export", model=model)
    with pytest.raises(OptionError, match="convert_hf_to_gguf"):
        export(student_folder, tmp_path / "export", ExportOptions(llama_cpp=tmp_path))
    with pytest.raises(OptionError, match="merged"):
        ExportOptions(form="lora", llama_cpp=tmp_path)
    with pytest.raises(OptionError, match="dtype"):
        ExportOptions(dtype="int4")
    with pytest.raises(OptionError, match="gates must be one of engines, none, not 'engine'"):
        ExportOptions(gates="engine")
    with pytest.raises(OptionError, match="needs --gguf"):
        ExportOptions(gguf_type="f16")
    (tmp_path / "latin.jinja").write_bytes(b"\xff{{ messages }}")
    with pytest.raises(OptionError, match=r"latin\.jinja: not UTF-8"):
        export(student_folder, tmp_path / "export", chat_template=tmp_path / "latin.jinja")
    moved = shutil.copytree(student_folder, tmp_path / "moved")
    config = json.loads((moved / "adapter_config.json").read_text())
    (moved / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "gone"}))
    with pytest.raises(TrainingError, match="--model"):
        export(moved, tmp_path / "export")


def test_the_teacher_may_be_named_as_seen_from_the_student(
    student_folder, teacher_folder, tmp_path, monkeypatch
):
    """A student and its teacher that were moved together, exported from anywhere."""
    student = shutil.copytree(student_folder, tmp_path / "project" / "student")
    teacher = shutil.copytree(teacher_folder, tmp_path / "project" / "teacher")
    file = student / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"base_model_name_or_path": "../teacher"}))
    monkeypatch.chdir(tmp_path)
    assert teacher_of(student, None).samefile(teacher)
    file.write_text(json.dumps([config]))
    with pytest.raises(TrainingError, match="not an adapter's configuration"):
        teacher_of(student, None)


@pytest.mark.slow
def test_the_command_line(student_folder, tmp_path):
    command = [sys.executable, "-m", "lar", "export", str(student_folder), "-o", str(tmp_path / "export")]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["check"]["prefixes_kept"] == ["prompt", "history"]
    again = [*command, "--overwrite", "--gguf", str(tmp_path)]
    done = subprocess.run(again, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("lar: error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("code", "stderr", "message"),
    [
        (1, "Traceback\nlar.errors.ExportError: ids differ\n", "ids differ"),
        (3, "", "ended with code 3"),
        (-9, "a warning that has nothing to do with it\n", "killed by signal 9.*memory"),
        (-11, "a warning that has nothing to do with it\n", "killed by signal 11$"),
    ],
)
def test_how_a_self_check_ended_is_told(monkeypatch, tmp_path, code, stderr, message):
    done = subprocess.CompletedProcess([], code, "", stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(ExportError, match=message) as caught:
        checkpoint._checked(tmp_path, tmp_path, tmp_path / "reference")
    assert "\n" not in str(caught.value)
