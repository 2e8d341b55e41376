"""The bench of engines: counters read from metrics, base tokens a pass, equal texts."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from benches.engines import serving
from benches.engines.serving import ARMS, PASSES, WARM_UP, Turn, ask_all, read_counters, same_texts, summary

METRICS = """\
# HELP vllm:iteration_tokens_total Histogram of number of tokens per engine_step.
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="student"} 3.0
vllm:iteration_tokens_total_count{engine="0",model_name="student"} 4.0
vllm:iteration_tokens_total_sum{engine="0",model_name="student"} 10.0
vllm:spec_decode_num_drafts_total{engine="0",model_name="student"} 2.0
vllm:spec_decode_num_accepted_tokens_total{engine="0",model_name="student"} 5.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",position="0"} 2.0
vllm:prefix_cache_hits_total{engine="0",model_name="student"} 128.0
vllm:generation_tokens_total{engine="0",model_name="student"} 9.0
"""
WORDS = SimpleNamespace(encode=str.split)  # a tokenizer
TURN = {"seconds": 1.0, "cpu": 2.0, "tokens": 3, "context": 10, "counters": {}}


def test_counters_are_read_from_metrics():
    assert read_counters(METRICS) == {
        PASSES: 4,
        "spec_decode_num_drafts_total": 2,
        "spec_decode_num_accepted_tokens_total": 5,
        "prefix_cache_hits_total": 128,
    }


def test_tokens_a_pass_are_base_tokens_with_the_end_of_the_turn():
    asked = [
        {**TURN, "text": "one two three", "finish": "stop"},
        {**TURN, "text": "four five", "finish": "length", "counters": {PASSES: 4.0}},
    ]
    row = summary(asked, [SimpleNamespace(text=one["text"]) for one in asked], WORDS)
    assert row["base_tokens"] == 3
    assert row["tokens_a_pass"] == 1.5
    assert row["cpu_for_100"] == pytest.approx(400 / 6)
    assert row["same_text"] == 2


def test_a_warm_up_of_both_models_is_not_counted(tmp_path, monkeypatch):
    asked, turn = [], Turn("run#1", [])

    def ask(server, model, turn, max_tokens):
        asked.append((server, model, turn.id, max_tokens))
        return dict(TURN)

    monkeypatch.setattr(serving, "ask", ask)

    # Each request is a pass of its model.
    def passes(server):
        return {PASSES: float(sum(name == server for name, *_ in asked))}

    monkeypatch.setattr(serving, "counters", passes)
    exports = {arm: tmp_path / arm for arm in ARMS}
    found = ask_all(lambda folder, _: nullcontext(folder.name), exports, [turn] * 3, 7, tmp_path)
    assert asked[:2] == [(arm, arm, WARM_UP.id, 7) for arm in ARMS]
    assert {one[2] for one in asked[2:]} == {turn.id}
    assert {arm: (len(of_arm), of_arm[-1]["counters"]) for arm, of_arm in found.items()} == {
        arm: (3, {PASSES: 3.0}) for arm in ARMS
    }


def test_an_engine_without_counters_has_no_tokens_a_pass():
    asked = [{**TURN, "text": "one", "finish": "stop"}]
    assert summary(asked, [SimpleNamespace(text="two")], WORDS)["tokens_a_pass"] is None


def test_equal_texts_are_counted():
    assert same_texts([{"text": "a"}, {"text": "b"}], [{"text": "a"}, {"text": "c"}]) == 1
