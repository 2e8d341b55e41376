"""Options in files: written options read back the same, and each mistake is one line."""

import json
import math
from dataclasses import fields, replace
from typing import get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lar
from lar.corpus import Corpus
from lar.distillation import AdaptOptions, DistillOptions, Student
from lar.distillation.data import Examples, PackedExamples
from lar.distillation.option_files import read_options
from lar.distillation.options import Scheduler
from lar.distillation.training.arguments import training_arguments
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.distillation.training.checkpoints import claim, run_identity
from lar.distillation.training.optimizer import optimizer_for
from lar.errors import OptionError
from lar.models.causal_lm import load_model
from lar.models.checks import check_context
from lar.utils.result_files import RUN_FILE
from testing import tiny, toy
from testing.damage import loads_or_explains
from testing.few_steps import FEW


def test_options_survive_a_file(tmp_path):
    options = DistillOptions(
        learning_rate=3e-4,
        max_steps=7,
        target_modules=("q_proj", "v_proj"),
        report_to=("wandb",),
        control=True,
    )
    file = tmp_path / "options.json"
    file.write_text(json.dumps(options.to_dict()))
    assert DistillOptions.from_file(file) == options
    record = tmp_path / "distillation.json"
    record.write_text(json.dumps({"options": options.to_dict(), "steps": 7, "log": []}))
    assert DistillOptions.from_file(record) == options


def test_yaml_and_overrides(tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("learning_rate: 5e-4  # YAML 1.1 takes this for a text\nepochs: 2\nmax_steps: null\n")
    assert AdaptOptions.from_file(file) == AdaptOptions(learning_rate=5e-4, epochs=2.0)
    assert DistillOptions.from_file(file, epochs=3.0).epochs == 3.0
    (tmp_path / "empty.yaml").write_text("")
    assert AdaptOptions.from_file(tmp_path / "empty.yaml") == AdaptOptions()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("learning_rat: 1.0", "learning_rat"),
        ("epochs: often", "epochs must be a valid number"),
        ("epochs: .nan", "epochs"),
        ("seed: 1.5", "seed must be a valid integer"),
        ("seed: true", "seed must be a valid integer"),
        ("max_steps: x", "max_steps must be a valid integer"),
        ("gradient_checkpointing: 1", "gradient_checkpointing must be a valid boolean"),
        ("report_to: wandb", "report_to must be a valid list"),
        ("target_modules: [1]", "target_modules"),
        ("- 1", "not a mapping"),
        ("a: [", "line 1"),
        ("learning_rate: true", "learning_rate must be a valid number"),
        ("weight_decay: .inf", "weight_decay must be a finite number"),
        ("lora_rank: 0", "lora_rank must be greater than 0, not 0"),
        ("max_length: 7", "max_length must be greater than or equal to 8, not 7"),
        ("1: 2", "1 is no option"),
        ("max_step: 2", "'max_step' is no option; did you mean 'max_steps'?"),
        ("loss: mse", "loss must be 'sft', 'marginal' or 'paper', not 'mse'"),
        ("patience: 2", "evaluate_steps"),
        ("min_improvement: -1", "min_improvement"),
        ("cached_teacher: true", "needs a loss with a teacher"),
        ("scheduler: cosine_with_min_lr", "scheduler must be 'linear', 'cosine', .*not 'cosine_with_min_lr'"),
        ("scheduler: warmup_stable_decay", "scheduler must be"),
        ("scheduler: reduce_lr_on_plateau", "scheduler must be"),
        ("seed: -1", "seed must be greater than or equal to 0, not -1"),
        ("seed: 4294967296", "seed must be less than 4294967296"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, named):
    file = tmp_path / "options.yaml"
    file.write_text(text)
    with pytest.raises(OptionError, match=named) as caught:
        DistillOptions.from_file(file)
    assert "options.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values", [{"epochs": "often"}, {"seed": True}, {"loss": "mse"}, {"max_steps": 0}, {"device": 1}]
)
def test_python_s_values_are_checked_like_a_file_s(values):
    (name,) = values
    with pytest.raises(OptionError, match=f"^{name} must be"):
        DistillOptions(**values)


def test_values_get_the_fields_types():
    options = AdaptOptions(epochs=2, report_to=["wandb"])
    assert (type(options.epochs), options.report_to) == (float, ("wandb",))
    assert hash(options) == hash(AdaptOptions(epochs=2.0, report_to=("wandb",)))


@pytest.mark.parametrize("number", ["5e-4", "5E-4", "-5e-4", ".5e-3", "1.5e4", "5.0e-4"])
def test_yaml_reads_numbers_as_json_and_python_do(tmp_path, number):
    file = tmp_path / "options.yaml"
    file.write_text(f"learning_rate: {number}")
    assert read_options(file) == {"learning_rate": float(number)}


def test_an_adaptation_is_a_distillation_by_plain_cross_entropy():
    adapted = AdaptOptions(lora_rank=4, report_to=("wandb",), evaluate_steps=3, patience=2)
    assert adapted.as_distillation() == DistillOptions(**vars(adapted), loss="sft")


def test_distill_s_own_options_are_none_of_adapt_s(tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("unit_weight: 1.0")
    with pytest.raises(OptionError, match="unit_weight"):
        AdaptOptions.from_file(file)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode), st.sampled_from([".yaml", ".json"]))
def test_any_file_is_read_or_refused(tmp_path, content, suffix):
    file = tmp_path / f"options{suffix}"
    file.write_bytes(content)
    loads_or_explains(DistillOptions.from_file, file)


def test_what_the_trainer_is_told_is_what_was_asked_for(tmp_path):
    options = AdaptOptions(
        learning_rate=3e-4,
        scheduler="linear",
        warmup_ratio=0.25,
        max_grad_norm=0.3,
        gradient_accumulation=3,
        seed=7,
        save_steps=21,
        logging_steps=17,
    )
    for chosen, steps in ((replace(options, max_steps=50), 50), (replace(options, epochs=2.0), 2 * 4)):
        found = training_arguments(chosen, tmp_path, 10, torch.device("cpu"))  # 10 rows: 4 steps of an epoch
        assert (found.max_steps, found.warmup_steps) == (steps, math.ceil(steps / 4))
        assert (found.learning_rate, found.lr_scheduler_type, found.max_grad_norm) == (3e-4, "linear", 0.3)
        assert (found.gradient_accumulation_steps, found.per_device_train_batch_size) == (3, 1)
        assert (found.seed, found.save_steps, found.logging_steps) == (7, 21, 17)


def test_lora_and_rows_have_a_learning_rate_each_and_only_lora_decays(vocabulary):
    options = DistillOptions(**FEW, learning_rate=3e-4, row_learning_rate=2e-3, weight_decay=0.1)
    student = Student.begin(tiny.model(vocabulary.base_size), vocabulary, options)
    found = {}
    for group in optimizer_for(student, options).param_groups:
        found |= {id(value): (group["lr"], group["weight_decay"]) for value in group["params"]}
    expected = {
        id(value): (2e-3, 0.0) if name.startswith("rows.") else (3e-4, 0.1)
        for name, value in student.named_parameters()
        if value.requires_grad
    }
    assert found == expected
    assert len(set(expected.values())) == 2


FREE = ("save_steps", "logging_steps", "report_to", "device", "sharding", "gradient_checkpointing")
OF_EVALUATION = ("evaluate_steps", "evaluated_windows", "min_improvement")
OTHERS = {
    "lora_rank": 3,
    "lora_alpha": 5,
    "lora_dropout": 0.1,
    "target_modules": ("q_proj",),
    "learning_rate": 1e-5,
    "weight_decay": 0.1,
    "warmup_ratio": 0.2,
    "scheduler": "linear",
    "max_grad_norm": 0.5,
    "epochs": 2.0,
    "max_steps": 9,
    "max_length": 64,
    "batch_tokens": 99,
    "gradient_accumulation": 2,
    "gradient_checkpointing": True,
    "sharding": "full",
    "seed": 1,
    "dtype": "bfloat16",
    "device": "cuda",
    "save_steps": 3,
    "logging_steps": 3,
    "report_to": ("wandb",),
    "evaluate_steps": 3,
    "evaluated_windows": 3,
    "min_improvement": 0.1,
    "loss": "paper",
    "unit_weight": 2.0,
    "hidden_weight": 0.5,
    "latent_dropout": 0.1,
    "decode_only": True,
    "row_learning_rate": 1e-5,
    "row_start": "mean",
    "hidden_batches": 3,
    "output_start": "first",
    "fitted_batches": 3,
}


@pytest.mark.parametrize("patience", [None, 2])
def test_a_run_goes_on_only_with_the_options_that_decide_its_weights(corpus, vocabulary, patience):
    """Without patience the options of the evaluation are free too."""
    options = DistillOptions(loss="marginal", evaluate_steps=5, patience=patience)
    examples = Examples(corpus, vocabulary, 256)
    model, data = tiny.model(vocabulary.base_size), PackedExamples(examples, 256)
    own = run_identity(model, options, data, examples)
    free = FREE if patience else (*FREE, *OF_EVALUATION)
    for name, value in OTHERS.items():
        assert getattr(options, name) != value
        found = run_identity(model, replace(options, **{name: value}), data, examples)
        assert (found == own) == (name in free), name
    assert {field.name for field in fields(options)} - OTHERS.keys() == {
        "patience",
        "cached_teacher",
        "control",
    }
    assert run_identity(tiny.model(vocabulary.base_size, seed=1), options, data, examples) != own


def test_a_run_goes_on_only_with_the_same_mask_of_the_agent(tokenizer, vocabulary, tmp_path):
    """A turn in the middle that is excluded from training changes neither the text nor a window."""
    options, model = DistillOptions(), tiny.model(vocabulary.base_size)
    found = []
    for name, weight in (("all", 1), ("without", 0)):
        run, more = toy.trajectories(2)
        run.messages.extend(more.messages)
        turns = [message for message in run.messages if message["role"] == "assistant"]
        turns[1]["weight"] = weight
        examples = Examples(Corpus.build([run], tokenizer, tmp_path / name), vocabulary, 2048)
        found.append(run_identity(model, options, PackedExamples(examples, 2048), None))
    whole, without = found
    assert whole["data"] == without["data"]
    claim(tmp_path, whole)
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "checkpoint-1" / "trainer_state.json").write_text("{}")
    claim(tmp_path, whole)
    with pytest.raises(OptionError, match="other mask"):
        claim(tmp_path, without)
    del whole["mask"]  # as an earlier version wrote it
    (tmp_path / RUN_FILE).write_text(json.dumps(whole))
    claim(tmp_path, without)


@pytest.mark.parametrize("scheduler", get_args(Scheduler))
def test_every_scheduler_trains(corpus, scheduler):
    options = AdaptOptions(**FEW, max_steps=3, scheduler=scheduler, seed=2**32 - 1)
    assert lar.adapt(corpus, tiny.model(corpus.tokenizer.base_size), options) is not None


def test_a_device_that_is_not_there_is_refused_before_anything_is_loaded(tmp_path, monkeypatch, corpus):
    nowhere = tmp_path / "nowhere"
    with pytest.raises(OptionError, match="device 'tpu9' cannot be used here"):
        lar.distill(corpus, nowhere, None, device="tpu9")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for device in ("cuda", "cuda:0"):
        with pytest.raises(OptionError, match=f"^device '{device}' is not there: torch finds no GPU$"):
            lar.adapt(corpus, nowhere, device=device)
        with pytest.raises(OptionError, match="torch finds no GPU"):
            load_model(nowhere, device=device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(OptionError, match="torch finds 2 GPUs, cuda:0 to cuda:1"):
        lar.adapt(corpus, nowhere, device="cuda:2")


def test_a_window_longer_than_the_models_context_is_refused(corpus, vocabulary):
    model = tiny.model(corpus.tokenizer.base_size)
    longest = int(Examples(corpus, vocabulary, 2048).lengths.max())
    few = {**FEW, "max_length": 2048, "max_steps": 1}  # what counts is the windows that there are
    model.config.max_position_embeddings = longest
    lar.adapt(corpus, model, AdaptOptions(**few))
    model.config.max_position_embeddings = longest - 1
    said = f"a window has {longest} base tokens, but the model's context is {longest - 1}"
    for stage in (
        lambda: lar.adapt(corpus, model, AdaptOptions(**few)),
        lambda: lar.distill(corpus, model, vocabulary, DistillOptions(**few)),
        lambda: bits_per_byte(corpus, model),
    ):
        with pytest.raises(OptionError, match=said) as caught:
            stage()
        assert "\n" not in str(caught.value)
    original = {"original_max_position_embeddings": longest // 2 + 1}
    yarn = {"rope_type": "yarn", "factor": 2.0}
    for reaches in ({**yarn, **original}, yarn, {"sliding_attention": {}, "full_attention": yarn}):
        model.config.rope_parameters = reaches
        check_context(model, longest)
    model.config.rope_parameters = {**yarn, "original_max_position_embeddings": longest // 2 - 1}
    with pytest.raises(OptionError, match=said):
        check_context(model, longest)


def test_a_held_out_window_longer_than_the_models_context_is_refused_too(corpus, vocabulary):
    names = [name for shard in corpus.shards() for name in shard.tasks]
    lengths = dict(zip(names, Examples(corpus, vocabulary, 2048).lengths.tolist(), strict=True))
    longest = max(lengths.values())
    held_out = corpus.select(lambda task: lengths[task] == longest)
    training = corpus.select(lambda task: lengths[task] < longest)
    model = tiny.model(corpus.tokenizer.base_size)
    model.config.max_position_embeddings = longest - 1
    options = AdaptOptions(**{**FEW, "max_length": 2048}, max_steps=1, evaluate_steps=1)
    with pytest.raises(OptionError, match=f"a window has {longest} base tokens"):
        lar.adapt(training, model, options, held_out=held_out)


def test_a_misspelled_keyword_is_refused_before_anything_is_loaded(tmp_path):
    nowhere = tmp_path / "nowhere"
    with pytest.raises(OptionError, match="'max_step' is no option; did you mean 'max_steps'"):
        lar.distill(nowhere, None, None, max_step=3)
    with pytest.raises(OptionError, match="'lora_ranks' is no option; did you mean 'lora_rank'"):
        lar.adapt(nowhere, None, lora_ranks=3)
    with pytest.raises(OptionError, match="'form_' is no option; did you mean 'form'"):
        lar.export(nowhere, tmp_path / "out", form_="lora")
    with pytest.raises(OptionError, match="'min_suport' is no option; did you mean 'min_support'"):
        lar.mine(nowhere, min_suport=3)
    assert not list(tmp_path.iterdir())
