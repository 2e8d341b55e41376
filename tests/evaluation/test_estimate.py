"""The estimate before any training: usage against brute force, the curve against `lar.evaluate`, the bill."""

import importlib
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import lar
from lar.cli.estimate import command
from lar.errors import CorpusError, OptionError
from lar.evaluation.estimate import ENOUGH, estimate
from lar.evaluation.money import Machine, Prices, realised
from lar.evaluation.training_cost import training_cost
from lar.evaluation.usage import Tokens, usage
from lar.mining.mine import mine_each


def count(rows):
    """By hand: (generated, prompt, sent, turns) of conversations, each a list of the agent's flags."""
    generated = sum(sum(row) for row in rows)
    starts = [
        [place for place, own in enumerate(row) if own and (place == 0 or not row[place - 1])] for row in rows
    ]
    sent, turns = sum(map(sum, starts)), sum(map(len, starts))
    return generated, sum(map(len, rows)) - generated, sent, turns


def test_usage_is_what_a_count_by_hand_gives(corpus, vocabulary):
    found = usage(corpus, vocabulary)
    rows = [row.action.tolist() for row in corpus]
    *base, turns = count(rows)
    assert (found.base, found.turns, found.runs) == (Tokens(*base), turns, len(rows))
    forms = []
    for row in corpus:
        ends = np.array([0, len(row.tokens)], dtype=np.int64)
        forms.append(vocabulary.reparameterize(row.tokens, row.action, ends).action.tolist())
    *units, turns_in_units = count(forms)
    assert found.units == Tokens(*units)
    assert turns_in_units == turns


def test_each_split_is_what_evaluate_gives(corpus):
    found = estimate(corpus, sizes=[4], splits=2)
    [point] = found.points
    for seed, split in enumerate(point.splits):
        train, held = corpus.split(0.2, seed)
        [vocabulary] = mine_each(train, [4])
        total = lar.evaluate(held, vocabulary).total
        assert split.base.generated == total.base_tokens
        assert split.units.generated == total.units
        assert split.prompt_reduction == pytest.approx(total.prompt_reduction)


def test_mining_several_sizes_is_mining_each(corpus):
    for vocabulary in mine_each(corpus, [2, 4, 8]):
        alone = lar.mine(corpus, size=len(vocabulary))
        saved = [usage(corpus, each).reduction for each in (vocabulary, alone)]
        assert saved[0] == pytest.approx(saved[1], abs=0.02)


def test_more_latents_save_more_and_the_recommended_number_is_enough(corpus):
    found = estimate(corpus, sizes=[12, 2, 4], splits=2)
    reductions = [point.reduction for point in found.points]
    assert [point.size for point in found.points] == [2, 4, 12]
    assert reductions == sorted(reductions)
    assert found.recommended.reduction >= ENOUGH * reductions[-1]


def test_uses_are_the_median_of_the_latents_scaled_to_all_logs(corpus):
    found = estimate(corpus, sizes=[5], splits=1, most_tokens=corpus.num_tokens // 2)
    [point] = found.points
    train, _ = found.whole.corpus.split(0.2, 0)
    uses = sorted(latent.uses for latent in lar.mine(train, size=5))
    assert point.uses == pytest.approx(uses[2] * found.tokens_in_all / train.num_tokens)


def test_sizes_whose_latents_are_too_rare_are_not_recommended(corpus, monkeypatch):
    module = importlib.import_module("lar.evaluation.estimate")  # the package names a function so
    monkeypatch.setattr(module, "ENOUGH", 1.0)
    found = estimate(corpus, sizes=[4, 12, 24], splits=1)
    uses = [point.uses for point in found.points]
    assert uses[0] > uses[1] > uses[2]
    for least, recommended, too_rare in ((0, 24, None), (uses[1], 12, 24), (uses[0] + 1, 4, 4)):
        monkeypatch.setattr(module, "LEARNABLE", least)
        assert found.recommended.size == recommended
        assert (found.too_rare and found.too_rare.size) == too_rare
    # A larger size is not recommended beyond one that is too rare, whatever its uses.
    points = tuple(replace(point, uses=value) for point, value in zip(found.points, (9, 1, 9), strict=True))
    monkeypatch.setattr(module, "LEARNABLE", 5)
    assert replace(found, points=points).recommended.size == 4


def test_a_large_corpus_is_sampled_by_whole_tasks(corpus):
    found = estimate(corpus, sizes=[2], splits=1, most_tokens=corpus.num_tokens // 2)
    assert 0.2 < found.tokens / corpus.num_tokens < 0.8
    assert found.tokens_in_all == corpus.num_tokens


def test_too_few_tasks_are_refused(corpus):
    few = sorted(corpus.tasks)[:3]
    with pytest.raises(CorpusError, match="at least 5"):
        estimate(corpus.select(lambda task: task in few), sizes=[2])
    with pytest.raises(OptionError, match="at least one size"):
        estimate(corpus, sizes=[])


def test_a_month_is_tokens_times_prices():
    tokens = Tokens(generated=1_000, prompt=4_000, sent=20_000)
    assert Prices(10, input=1.0, output=2.0).month(tokens, runs=2) == pytest.approx(
        (20_000 + 2_000) / 1e6 * 5
    )
    cached = Prices(10, input=1.0, output=2.0, cached=0.1).month(tokens, runs=2)
    assert cached == pytest.approx((4_000 + 1_600 + 2_000) / 1e6 * 5)
    assert Prices(10, input=1.0, output=2.0).written(tokens, runs=2) == pytest.approx(2_000 / 1e6 * 5)
    assert Machine(hour=3.6, tokens_a_second=1_000).output_price == pytest.approx(1.0)
    for wrong in ({"runs": 0}, {"runs": 1, "input": -1}, {"runs": 1, "output": float("nan")}):
        with pytest.raises(OptionError):
            Prices(**wrong)


def test_what_is_not_realised_stays_base_tokens(corpus, vocabulary):
    found = usage(corpus, vocabulary)
    assert realised(found, 1.0) == found
    none = realised(found, 0.0).units
    assert none.generated == found.base.generated
    assert found.units.sent <= none.sent <= found.base.sent


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)


def test_the_command_prints_a_curve_a_bill_and_the_next_step(corpus):
    arguments = [corpus.path, "--size", 2, "--size", 8, "--splits", 2]
    prices = ["--price-input", 0.2, "--price-output", 0.6, "--runs-per-month", 1000]
    shown = run(*arguments, *prices).output
    assert "Next: lar score" in shown
    assert "then: lar mine" in shown
    assert "runs = " in shown
    found = json.loads(run(*arguments, *prices, "--json").output)
    assert [point["size"] for point in found["points"]] == [2, 8]
    bill = found["bill"]
    assert bill["with"][0] <= bill["with"][1] < bill["without"]
    for saved, month in zip(bill["saved_written"], bill["with"], strict=True):
        assert 0 < saved < bill["without"] - month


@pytest.mark.parametrize(
    "options",
    [
        ["--price-input", "-1"],
        ["--price-input", "nan"],
        ["--gpu-hour", "2"],
        ["--gpu-hour", "2", "--tokens-per-second", "0"],
        ["--gpu-hour", "2", "--tokens-per-second", "9", "--price-output", "1"],
        ["--runs-per-month", "5"],
    ],
)
def test_prices_that_are_none_are_refused(corpus, options):
    assert isinstance(run(corpus.path, *options).exception, OptionError)


@pytest.mark.parametrize(
    ("config", "billions"),
    [
        # As the makers state them: Qwen3-8B 8.2, Llama 3.1 8B 8.0, SmolLM2-135M 0.135.
        ((4096, 36, 12288, 32, 8, 128, 151936, False), 8.2),
        ((4096, 32, 14336, 32, 8, None, 128256, False), 8.0),
        ((576, 30, 1536, 9, 3, None, 49152, True), 0.135),
    ],
)
def test_the_parameters_of_known_models(tmp_path, config, billions):
    names = (
        *("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads"),
        *("num_key_value_heads", "head_dim", "vocab_size", "tie_word_embeddings"),
    )
    (tmp_path / "config.json").write_text(json.dumps(dict(zip(names, config, strict=True))))
    cost = training_cost(tmp_path, tokens=1_000_000, latents=1024)
    assert cost.parameters / 1e9 == pytest.approx(billions, rel=0.03)
    more = training_cost(tmp_path, tokens=1_000_000, latents=2048)
    assert more.trained_gib - cost.trained_gib == pytest.approx(2 * 1024 * config[0] * 16 / 2**30)
    assert 0.003 < cost.trained_gib / 8 / cost.weights_gib < 0.05  # LoRA of rank 16: 0.5% of a large model
    assert cost.hours == pytest.approx(6 * cost.parameters * 1e6 / (989e12 * 0.4) / 3600)
    assert training_cost(tmp_path / "nothing", tokens=1, latents=1) is None


@pytest.mark.parametrize(
    "experts",
    [
        {"num_experts": 128, "moe_intermediate_size": 768},  # Qwen3-30B-A3B
        {"num_local_experts": 8},  # Mixtral
        {"n_routed_experts": 256},  # DeepSeek
        {"text_config": {"num_experts": 128}},
    ],
)
def test_a_mixture_of_experts_is_of_an_unknown_shape(tmp_path, experts):
    dense = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "vocab_size": 500,
        "num_experts": 0,
    }
    for config, known in ((dense, True), ({**dense, **experts}, False)):
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert (training_cost(tmp_path, tokens=1, latents=1) is not None) is known
