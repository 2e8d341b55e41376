"""Options in files: written options read back the same, and each mistake is one line."""

import json
from typing import get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lar
from lar.distillation import AdaptOptions, DistillOptions
from lar.distillation.data import Examples
from lar.distillation.option_files import read_options
from lar.distillation.options import Scheduler
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.errors import OptionError
from lar.models.causal_lm import check_context, load_model
from testing import tiny
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
    model.config.rope_parameters = {"rope_type": "yarn", "factor": 2.0, **original}
    check_context(model, longest)


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
