"""The estimate before any training: usage against brute force, the curve against `lar.evaluate`, the bill."""

import json
import random
import re
import statistics
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import lar
from lar.cli.estimate import command
from lar.cli.estimate_text import _print_more
from lar.corpus import Corpus
from lar.errors import CorpusError, OptionError
from lar.evaluation.estimate import ENOUGH, FOLDS, Estimate, Point, _splits, estimate
from lar.evaluation.money import Machine, Prices, realised
from lar.evaluation.recommendation import found_in_words
from lar.evaluation.training_cost import tokens_read, training_cost
from lar.evaluation.usage import Tokens, Usage, _tokens, base_usage, usage
from lar.mining.mine import mine_each
from lar.vocabulary.turn_lengths import TurnLength
from testing import toy


def count(rows):
    """By hand: the tokens and turns of conversations, each a list of the agent's flags."""
    tokens, turns = Counter(generated=0, prompt=0, new=0, again=0, resent=0), 0
    for row in rows:
        seen = 0  # by the requests before
        for place, own in enumerate(row):
            tokens["generated" if own else "prompt"] += 1
            if own and (place == 0 or not row[place - 1]):
                turns += 1
                tokens["resent"] += sum(row[:place])
                tokens["again"] += seen - sum(row[:seen])
                tokens["new"] += place - seen - sum(row[seen:place])
                seen = place
    return Tokens(**tokens), turns


def shard_of(rows):
    """Tokens of runs that are given as lists of the agent's flags."""
    flags = np.array([flag for row in rows for flag in row], dtype=bool)
    return _tokens(flags, np.cumsum([0, *map(len, rows)]))


@given(st.lists(st.lists(st.booleans(), max_size=12), max_size=5))
def test_tokens_are_those_of_a_count_by_hand(rows):
    found, turns = shard_of(rows)
    assert (found, turns) == count(rows)
    starts = [
        place for row in rows for place, own in enumerate(row) if own and (place == 0 or not row[place - 1])
    ]
    assert found.sent == sum(starts)


def test_usage_is_what_a_count_by_hand_gives(corpus, vocabulary):
    found = usage(corpus, vocabulary)
    rows = [row.action.tolist() for row in corpus]
    base, turns = count(rows)
    assert (found.base, found.turns, found.runs) == (base, turns, len(rows))
    assert base_usage(corpus) == replace(found, units=base)
    forms = []
    for row in corpus:
        ends = np.array([0, len(row.tokens)], dtype=np.int64)
        forms.append(vocabulary.reparameterize(row.tokens, row.action, ends).action.tolist())
    assert found.units == count(forms)[0]
    assert count(forms)[1] == turns


@pytest.mark.parametrize("options", [{}, {"gates": "none", "min_support": 20, "prompt_weight": 0.5}])
def test_each_split_is_what_evaluate_gives(corpus, options):
    found = estimate(corpus, sizes=[4], splits=2, probes=False, **options)
    [point] = found.points
    for (train, held), split in zip(_splits(corpus, 2), point.splits, strict=True):
        [vocabulary] = mine_each(train, [4], **options)
        total = lar.evaluate(held, vocabulary).total
        assert split.base.generated == total.base_tokens
        assert split.units.generated == total.units
        assert split.prompt_reduction == pytest.approx(total.prompt_reduction)


@settings(max_examples=20)
@given(st.sets(st.text(max_size=4), min_size=FOLDS, max_size=23), st.integers(1, 12))
def test_splits_hold_each_task_out_once_before_any_again(tokenizer, names, number):
    corpus = Corpus.build([replace(toy.trajectory(0), id=name, task=name) for name in names], tokenizer)
    sides = [(train.tasks, held.tasks) for train, held in _splits(corpus, number)]
    assert len(sides) == number
    for train, held in sides:
        assert held
        assert (train | held, train & held) == (corpus.tasks, set())
    for first in range(0, number, FOLDS):
        out = [task for _, held in sides[first : first + FOLDS] for task in held]
        assert len(set(out)) == len(out)
        assert len(out) == len(corpus.tasks) or first + FOLDS > number


def test_a_long_run_counts_by_its_tokens(tokenizer):
    """Its text recurs nowhere, so that nothing of it is saved: the median split would not show that."""
    chance = random.Random(0)
    logs = toy.trajectories(25)
    words = " ".join(str(chance.random()) for _ in range(2000))
    last = {"role": "assistant", "content": words}
    logs[7] = replace(logs[7], messages=[*logs[7].messages, {"role": "user", "content": "More."}, last])
    corpus = Corpus.build(logs, tokenizer)
    found = estimate(corpus, sizes=[8], probes=False)
    [point] = found.points
    assert point.measured.base == base_usage(corpus).base
    saved = point.measured.base.generated - point.measured.units.generated
    assert point.usage.base.generated - point.usage.units.generated == pytest.approx(saved, abs=1)
    assert point.reduction < 0.5 * statistics.median(point.reductions)


def test_an_estimate_is_shown_by_its_recommendation(corpus):
    found = estimate(corpus, sizes=[4, 8], splits=2, probes=False)
    best = found.recommended
    numbers = f"recommended={best.size}, reduction={best.reduction:.4f}, runs={found.runs}"
    assert repr(found) == f"Estimate({numbers}, tasks={found.tasks}, points=2)"


def test_the_tokens_of_a_row_are_those_of_all_runs_less_its_percentages(corpus):
    found = estimate(corpus, sizes=[4, 8], splits=3, probes=False)
    logs = base_usage(corpus)
    for point in found.points:
        row = point.to_dict()
        assert (point.usage.runs, point.usage.turns, point.usage.base) == (60, logs.turns, logs.base)
        for name, saved in (("generated", point.reduction), ("prompt", point.prompt_reduction)):
            base = getattr(logs.base, name) / logs.runs
            assert row[f"base_{name}"] == round(base, 1)
            assert row[f"units_{name}"] == pytest.approx(base * (1 - saved), abs=0.06)
        assert row["units_new"] + row["units_cached"] == pytest.approx(row["units_sent"], abs=0.11)


def test_mining_several_sizes_is_mining_each(corpus):
    for vocabulary in mine_each(corpus, [2, 4, 8]):
        alone = lar.mine(corpus, size=len(vocabulary))
        saved = [usage(corpus, each).reduction for each in (vocabulary, alone)]
        assert saved[0] == pytest.approx(saved[1], abs=0.02)
    assert [one.size for one in mine_each(corpus, [8, 2], size=1)] == [8, 2]
    for size, exact in zip((30, 8, 4), mine_each(corpus, [30, 8, 4], exact=True), strict=True):
        assert exact.latents == lar.mine(corpus, size=size).latents


def test_more_latents_save_more_and_the_knee_is_the_smallest_that_is_enough(corpus):
    found = estimate(corpus, sizes=[12, 2, 4], splits=2, prompt_weight=0.1)
    reductions = {point.size: point.reduction for point in found.points}
    assert list(reductions) == [2, 4, 12]
    assert list(reductions.values()) == sorted(reductions.values())
    assert found.recommended.size == 12  # with a prompt weight, the largest: as lar.mine
    enough = [size for size, saved in reductions.items() if saved >= ENOUGH * reductions[12]]
    assert found.knee.size == min(enough)


def test_a_split_without_text_of_the_agent_is_not_in_the_range():
    """It saves nothing, and shows nothing of what latents save."""
    silent, spoken = Usage(runs=1), Usage(runs=1, turns=1, base=Tokens(100), units=Tokens(40))
    base, turn = spoken, TurnLength(100, 40, 1)
    for splits, found in (((silent, spoken), (0.6,)), ((spoken, spoken), (0.6, 0.6)), ((silent,), (0.0,))):
        assert Point(8, None, splits, 1.0, base, 8, turn).reductions == pytest.approx(found)


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 1)), min_size=1), st.floats(0, 0.2))
def test_the_knee_is_a_point_of_the_curve_whatever_is_saved(rows, weight):
    base, turn = Usage(runs=1, turns=4, base=Tokens(100)), TurnLength(100, 100, 4)
    points = tuple(
        Point(2**n, None, (Usage(runs=1, base=Tokens(100), units=Tokens(of_100)),), share, base, 2**n, turn)
        for n, (of_100, share) in enumerate(rows)
    )
    found = Estimate(points, 1, 1, 100, None, None, weight)
    best = found.recommended
    enough = [one for one in points if one.size <= best.size and one.reduction >= ENOUGH * best.reduction > 0]
    assert found.knee == (enough or [best])[0]


def test_the_share_is_that_of_latents_with_enough_uses_in_all_logs(corpus, monkeypatch):
    monkeypatch.setattr("lar.vocabulary.learnable.LEARNABLE", 60)
    found = estimate(corpus, sizes=[12], splits=1, most_tokens=corpus.num_tokens // 2)
    [point] = found.points
    scale = found.tokens_in_all / found.tokens
    often = [latent.uses * scale >= 60 for latent in lar.mine(found.whole.corpus, size=12)]
    assert 0 < sum(often) < 12
    assert point.learnable == sum(often) / 12


@pytest.mark.parametrize("learnable", [1, 6, 30, 60, 10**6])
@pytest.mark.parametrize("weight", [0.0, 0.1])
@pytest.mark.parametrize("few", [0, 5, 8, 100])
def test_the_recommended_size_is_the_one_that_mine_takes(corpus, monkeypatch, learnable, weight, few):
    sizes = (4, 8, 16, 18, 20, 32)
    monkeypatch.setattr("lar.vocabulary.turn_lengths.FEW_UNITS", few)
    monkeypatch.setattr("lar.vocabulary.learnable.LEARNABLE", learnable)
    monkeypatch.setattr(sys.modules["lar.mining.mine"], "SIZES", sizes)
    found = estimate(corpus, sizes=sizes, splits=1, probes=False, prompt_weight=weight)
    assert found.recommended.size == lar.mine(corpus, prompt_weight=weight).mining["size"]


def thinking(characters):
    """Runs whose first turn has reasoning, which the chat template leaves out."""
    runs = toy.trajectories(20)
    for run in runs:
        first = next(message for message in run.messages if message["role"] == "assistant")
        first["reasoning_content"] = "x" * characters
    return runs


def test_what_the_chat_template_leaves_out_is_named_beside_what_is_saved(tokenizer):
    for characters, is_named in ((200, True), (2, False)):
        corpus = lar.Corpus.build(thinking(characters), tokenizer)
        counts = corpus.manifest.unwritten
        lost = 20 * characters / (counts.reasoning + counts.text + counts.calls)
        assert (lost >= 0.05) is is_named
        arguments = [corpus.path, "--size", 8, "--splits", 1, "--price-output", 1]
        found = json.loads(run(*arguments, "--json").output)
        assert found["unwritten"] == round(lost, 4)
        missing = f"{lost:.1%} of the agent's characters, which the chat template leaves out"
        assert (f"of what the agent writes, without {missing})" in found["words"]) is is_named
        shown = run(*arguments).output
        assert found["words"] in shown
        assert (f"not in the bill {missing}\n" in shown) is is_named


def test_where_fewer_latents_are_found_than_asked_for_their_number_is_named(corpus):
    sides = [train for train, _ in _splits(corpus, 2)]
    mined = [vocabulary.size for side in sides for vocabulary in mine_each(side, [500])]
    mean = sum(mined) / 2
    assert 0 < mean < 400
    found = estimate(corpus, sizes=[8, 500], splits=2, probes=False)
    assert [point["latents"] for point in found.to_dict()["points"]] == [8, mean]
    for sizes in ([8], [8, 500], [500]):
        options = [text for size in sizes for text in ("--size", size)]
        shown = run(corpus.path, *options, "--splits", 2, "--price-output", 1).output
        line = f"Fewer latents were found than asked for: {mean:,.0f} of 500 (mean over the splits)."
        assert (line in shown) is (500 in sizes)
        assert (f"of 500 latents ({mean:,.0f} found) only" in shown) is (sizes == [500])
        assert (f"with 500 latents ({mean:,.0f} found) and no entropy gate:" in shown) is (sizes == [500])
    assert found_in_words(1024, 1017.0) == ""  # some are dropped at last, of any logs
    shown = run(corpus.path, "--size", 500, "--splits", 1, "--max-entropy", "p60").output
    assert re.search(r"asked for: \d+ of 500 behind p60 ", shown)


def test_equal_gates_are_mined_once_in_the_order_of_the_first(corpus):
    seen = []
    found = estimate(
        corpus,
        sizes=[4, 4],
        splits=1,
        entropy_gates=["p60", None, "p60.0", 0.25, "0.25", None],
        probes=False,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [(point.size, point.gate) for point in found.points] == [(4, "p60"), (4, None), (4, 0.25)]
    assert seen[-1] == (6, 6)


@pytest.mark.parametrize(("gate", "minings"), [(None, 2 + 2), ("p60", 2 + 1)])
def test_the_progress_ends_with_the_last_mining(corpus, gate, minings):
    seen = []
    estimate(corpus, sizes=[4], splits=1, entropy_gates=[gate], progress=lambda *each: seen.append(each))
    assert seen == [(done, minings) for done in range(1, minings + 1)]


def test_a_large_corpus_is_sampled_by_whole_tasks(corpus):
    found = estimate(corpus, sizes=[2], splits=1, most_tokens=corpus.num_tokens // 2)
    assert 0.2 < found.tokens / corpus.num_tokens < 0.8
    assert found.tokens_in_all == corpus.num_tokens


def test_more_is_expected_of_all_logs_where_half_as_many_tasks_save_less(corpus, capsys):
    found = estimate(corpus, sizes=[4], splits=1, most_tokens=corpus.num_tokens // 2)
    [beside] = found.half.beside
    for added, is_less in ((-5, False), (0, False), (5, True)):
        units = replace(beside.units, generated=beside.units.generated + added)
        half = replace(found.half, splits=(replace(beside, units=units),))
        _print_more(replace(found, half=half))
        assert ("So expect more of all logs" in " ".join(capsys.readouterr().out.split())) is is_less


def test_too_few_tasks_are_refused(corpus):
    few = sorted(corpus.tasks)[:3]
    with pytest.raises(CorpusError, match="at least 5"):
        estimate(corpus.select(lambda task: task in few), sizes=[2])
    with pytest.raises(OptionError, match="at least one size"):
        estimate(corpus, sizes=[])


def test_a_month_is_tokens_times_prices():
    tokens = Tokens(generated=1_000, prompt=4_500, new=4_000, again=9_000, resent=7_000)
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


@given(st.lists(st.lists(st.booleans(), max_size=12), min_size=1, max_size=5), st.floats(0, 9))
def test_a_cache_at_the_price_of_input_is_no_cache(rows, price):
    found, _ = shard_of(rows)
    plain, cached = (Prices(10, input=price, output=2.0, cached=each) for each in (None, price))
    assert cached.month(found, len(rows)) == pytest.approx(plain.month(found, len(rows)))


def test_what_is_not_realised_stays_base_tokens(corpus, vocabulary):
    found = usage(corpus, vocabulary)
    assert realised(found, 1.0) == found
    none = realised(found, 0.0).units
    assert (none.generated, none.resent) == (found.base.generated, found.base.resent)
    assert (none.new, none.again) == (found.units.new, found.units.again)


def test_what_is_sent_again_is_counted_run_by_run():
    """A long run has more turns and more to send again, so the mean of all runs' turns is no measure."""
    short, long = [False, True], [False, True, True, True] * 9
    base, turns = shard_of([short] * 9 + [long])
    units, _ = shard_of([short] * 9 + [[False, True] * 9])
    half = realised(Usage(10, turns, base, units), 0.5).units
    by_hand, _ = shard_of([short] * 9 + [[False, True, True] * 9])
    assert half == by_hand


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)


def test_the_command_prints_a_curve_a_bill_and_the_next_step(corpus):
    arguments = [corpus.path, "--size", 2, "--size", 8, "--splits", 2]
    prices = ["--price-input", 0.2, "--price-output", 0.6, "--runs-per-month", 1000]
    shown = run(*arguments, *prices).output
    assert "Next: lar mine" in shown
    assert "Next: lar score" not in shown
    assert "1,000 runs a month = " in shown
    found = json.loads(run(*arguments, *prices, "--json").output)
    assert [point["size"] for point in found["points"]] == [2, 8]
    bill = found["bill"]
    assert bill["with"][0] <= bill["with"][1] < bill["without"]
    for saved, month in zip(bill["saved_written"], bill["with"], strict=True):
        assert 0 < saved < bill["without"] - month
    ends = sorted(zip(found["realised"], bill["with"], bill["saved_written"], strict=True))
    assert ends[0][1] > ends[1][1]  # who saves more pays less
    assert ends[0][2] < ends[1][2]


def test_what_is_recommended_is_priced_and_named_in_the_next_command(corpus):
    arguments = [corpus.path, "--size", 2, "--size", 8, "--splits", 1, "--price-output", 1]
    for gates, gate in (((), None), (("none", "p60"), None), (("p60", "none"), "p60")):
        options = [text for one in gates for text in ("--max-entropy", one)]
        shown = run(*arguments, *options).output
        found = json.loads(run(*arguments, *options, "--json").output)
        assert found["recommended"]["gate"] == gate
        size = found["recommended"]["size"]
        [point] = [
            row for row in found["points"] if {k: row[k] for k in ("size", "gate")} == found["recommended"]
        ]
        assert found["bill"]["without"] == pytest.approx(point["base_generated"] / 1e3, rel=1e-2)
        assert found["bill"]["with"][0] == pytest.approx(point["units_generated"] / 1e3, rel=1e-2)
        assert f"with {size} latents and {f'the entropy gate {gate}' if gate else 'no entropy gate'}" in shown
        assert "(1 split)" in shown
        command = shown[shown.index("lar mine") :].split(" -o ")[0]
        assert f"--size {size}" in command
        assert ("--max-entropy p60" in command) == (gate is not None)
        assert ("Behind p90" in shown) == (gates == ())


def test_the_bill_of_a_gpu_is_for_decoding_only(corpus):
    arguments = [corpus.path, "--size", 8, "--splits", 1, "--gpu-hour", 2.5, "--tokens-per-second", 2000]
    shown = run(*arguments).output
    assert "for decoding only on a GPU" in shown
    assert "prefill is not counted" in shown
    assert "1,000 runs a month" in shown
    other = run(*arguments, "--price-input", 1).output
    assert "for decoding on a GPU" in other
    assert "prefill is not counted" not in other


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
    assert cost.hours == pytest.approx(6 * cost.parameters * 1e6 / (989e12 * 0.31) / 3600)
    assert training_cost(tmp_path / "nothing", tokens=1, latents=1) is None


@pytest.mark.parametrize("max_length", [8, 40, 10**6])
def test_training_reads_the_tokens_of_its_examples(corpus, vocabulary, max_length):
    examples = pytest.importorskip("lar.distillation.data.examples").Examples(corpus, vocabulary, max_length)
    found = tokens_read(corpus, max_length)
    assert found == examples.lengths.sum()
    # Runs that fit are read once, up to the end of the agent's last turn; others in part twice.
    ends = sum(np.flatnonzero(row.action)[-1] + 1 for row in corpus)
    assert max_length == 8 or (found == ends) == (max_length == 10**6)
    assert max_length != 40 or found > ends


def test_a_model_without_heads_is_of_an_unknown_shape(tmp_path):
    names = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "vocab_size")
    (tmp_path / "config.json").write_text(json.dumps(dict.fromkeys(names, 8) | {"num_attention_heads": 0}))
    assert training_cost(tmp_path, tokens=1, latents=1) is None


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
