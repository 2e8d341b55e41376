"""The benches of scoring and training, on a toy: correct counts, and arms that are comparable."""

import argparse
import json
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benches.training import guard_on_logs, pretrained, row_cost, throughput, training_arms
from benches.training.shapes import (
    SHAPES,
    forward_operations,
    multiplied_parameters,
    padded_rows,
    random_model,
)
from benches.training.training_arms import (
    CACHED,
    CONTROL,
    LORA,
    STUDENT,
    Bench,
    Steps,
    run_alternating,
    summary,
)
from lar.corpus.seen_tasks import digests_of
from lar.distillation import DistillOptions, Student
from lar.errors import CorpusError
from testing import tiny, toy

TINY = SHAPES["tiny"]
# The Trainer of some versions calls a model's method by its old name.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def bench(corpus, vocabulary, tmp_path_factory):
    copied = tiny.copy(corpus, tmp_path_factory.mktemp("bench") / "corpus")  # to be scored
    model = random_model(TINY, vocabulary.base_size, torch.device("cpu"))
    options = DistillOptions(loss="marginal", max_length=256, max_steps=3, logging_steps=1, device="cpu")
    return Bench(model, copied, vocabulary, options)


@pytest.mark.parametrize("name", ["tiny", "smollm2-135m"])
def test_operations_are_those_that_torch_counts(name):
    shape, rows, length = SHAPES[name], 500, 7
    model = random_model(shape, rows, torch.device("cpu"))
    model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.arange(length)[None])
    # Without a causal kernel every query attends to every key.
    every = forward_operations(shape, rows, [length])
    every += 4 * shape.layers * shape.heads * shape.head_size * (length**2 - length * (length + 1) / 2)
    rotary = 2 * shape.head_size // 2 * length  # angles of the positions
    assert counter.get_total_flops() == pytest.approx(every, abs=rotary)
    layers, head = multiplied_parameters(shape, rows)
    embedding = 0 if shape.tied else head
    norms = sum(p.numel() for p in model.parameters() if p.ndim == 1)
    assert sum(p.numel() for p in model.parameters()) == layers + head + embedding + norms


def test_the_arms_train_on_the_same_rows_and_leave_the_weights_alone(bench):
    before = tiny.state(bench.model)
    runs = run_alternating(bench, [LORA, CONTROL, STUDENT], rounds=1)
    assert {arm: len(found) for arm, found in runs.items()} == {LORA: 1, CONTROL: 1, STUDENT: 1}
    plain, control = runs[LORA][0], runs[CONTROL][0]
    assert plain.tokens[: len(plain.ended)] == control.tokens
    assert len(control.tokens) == 3
    assert all(torch.equal(value, before[name]) for name, value in bench.model.state_dict().items())
    found = summary(runs[STUDENT], runs[LORA])
    assert min(found.values()) > 0


def test_the_fit_of_the_output_rows_is_no_part_of_the_steps(bench):
    assert bench.options.output_start == "fitted"
    student, control = bench.run(STUDENT), bench.run(CONTROL)
    assert len(student.ended) == len(student.tokens) == bench.options.max_steps
    assert student.start_seconds > 0
    assert control.start_seconds == 0


def test_the_peers_labels_are_the_agents_tokens(bench, corpus):
    rows = training_arms.packed_rows(corpus, bench.options)
    plain = training_arms.PlainRows(rows, Steps())
    supervised = sum(int((plain[index]["labels"] >= 0).sum()) for index in range(len(plain)))
    assert supervised == corpus.num_action_tokens
    row = plain[0]
    named = row["labels"] >= 0
    assert torch.equal(row["labels"][named], row["input_ids"][named])


def test_the_cached_teacher_takes_the_same_rows(bench):
    assert bench.run(CACHED).tokens == bench.run(STUDENT).tokens


def test_a_whole_run_writes_its_record_and_prints_a_table(tmp_path, monkeypatch, capsys):
    logs = tmp_path / "logs.jsonl"
    fields = ("id", "task", "messages")
    lines = [json.dumps({name: getattr(run, name) for name in fields}) for run in toy.trajectories(12)]
    logs.write_text("\n".join(lines), encoding="utf-8")
    toy.tokenizer().save(tmp_path / "tokenizer")
    monkeypatch.setattr(throughput, "_memory_of_process", lambda *_: 1)
    monkeypatch.setattr(throughput, "product_rate", lambda *_: 1e9)
    arguments = (
        f"--shape tiny --trajectories {logs} --tokenizer {tmp_path / 'tokenizer'} --device cpu --size 8"
    )
    arguments += f" --rounds 1 --steps 1 --scored 4 --max-length 256 -o {tmp_path / 'record.json'}"
    monkeypatch.setattr(sys, "argv", ["throughput.py", *arguments.split()])
    throughput.main()
    record = json.loads((tmp_path / "record.json").read_text())
    assert set(record) == {"setting", "matmul", "score", "distill"}
    assert set(record["distill"]) == {LORA, CONTROL, STUDENT}
    assert 0 < record["setting"]["units_per_base_token"] < 1
    assert "base tokens/s" in capsys.readouterr().out


def test_a_product_has_a_rate():
    model = argparse.Namespace(
        config=argparse.Namespace(hidden_size=8), device=torch.device("cpu"), dtype=torch.float32
    )
    assert throughput.product_rate(model, 100_000, tokens=1000, repeats=1) > 0


def test_rows_of_a_model_are_padded():
    assert [padded_rows(size) for size in (1, 128, 151_669)] == [128, 128, 151_680]


@pytest.mark.parametrize("tied", [False, True])
def test_row_cost_reads_the_same_latents_in_both_ways(tied, monkeypatch):
    monkeypatch.setattr(row_cost, "_memory_of_process", lambda _: 1)
    batch = row_cost.Batch.random(40, 300, 16, torch.device("cpu"))
    assert (batch.units >= 300).sum() == 10
    assert int(batch.base.max()) < 300
    model = tiny.model(300, tied=tied)
    before = tiny.state(model)
    found = row_cost.measure(model, batch, rounds=1)["arms"]
    assert list(found) == ["frozen", "split", "peft"]
    assert found["frozen"]["ratio"] == 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_guard_on_logs_takes_tasks_that_the_student_has_not_seen(corpus, vocabulary):
    train, held_out = corpus.split(0.5)
    student = Student(tiny.teacher(corpus), tiny.no_latents(corpus), trained_tasks=digests_of(train))
    assert guard_on_logs.held_out_of(corpus, 0.5, student).tasks == held_out.tasks
    with pytest.raises(CorpusError, match="the student was trained on"):
        guard_on_logs.held_out_of(corpus, 0.8, student)
    miner = Student(tiny.teacher(corpus), vocabulary)
    with pytest.raises(CorpusError, match="its vocabulary was mined on"):
        guard_on_logs.held_out_of(corpus, 0.5, miner)


def test_the_table_of_pretrained_has_each_arms_reduction_and_curve(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pretrained, "saved", lambda options, gate: {"reduction": 0.25})  # noqa: ARG005
    (tmp_path / "vocabularies" / "none").mkdir(parents=True)
    log = [{"step": 50, pretrained.BITS: 1.5, "eval_explicit_preference": 0.4}, {"step": 60, "loss": 1.0}]
    for arm in ("control-sft-mean-first", "none-sft-mean-first"):
        (tmp_path / "arms" / arm).mkdir(parents=True)
        record = {"log": log, "start": {}, "options": {}}
        (tmp_path / "arms" / arm / "distillation.json").write_text(json.dumps(record))
    pretrained.table(argparse.Namespace(output=tmp_path, gates=["none", "p40"]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [
        "| control-sft-mean-first | - | 50: 1.500 | 40.0% |",
        "| none-sft-mean-first | -25.0% | 50: 1.500 | 40.0% |",
    ]
