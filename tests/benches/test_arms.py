"""The bench that compares arms: names, figures, a small run that continues where it stopped, and BabyAI."""

import json
import sys
from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="the bench needs the extra `train`")
pytest.importorskip("transformers", reason="the bench needs the extra `train`")


import lar
from benches.arms import run as arms
from benches.arms.babyai import BabyAI, load_face
from benches.arms.names import ArmName, chosen, plan
from benches.arms.tables import HEADER, Measured, print_table, standard_error
from benches.arms.worlds import OrderDesk
from lar.distillation import DistillOptions
from lar.distillation.options import LOSSES, ROW_STARTS
from lar.errors import OptionError


def run(monkeypatch, output, more):
    settings = OrderDesk.settings
    small = replace(settings, training_tasks=24, episodes=3, latents=16, min_support=2)
    small = replace(small, base_model=replace(settings.base_model, steps=3))
    monkeypatch.setattr(OrderDesk, "settings", small)
    arguments = ["arms.py", "demo", "-o", str(output), "--seeds", "0", "--steps", "2", *more.split()]
    monkeypatch.setattr(sys, "argv", arguments)
    arms.main()


def test_the_plan_holds_losses_by_gates_and_starts_by_two_gates():
    names = [arm.text for arm in plan(["p50", "p70"], "p70")]
    default = DistillOptions()
    assert len(set(names)) == len(names)
    for gate in ("p50", "p70", "none"):
        assert {f"{loss}-{default.row_start}-{gate}" for loss in LOSSES} <= set(names)
    for gate in ("p70", "none"):
        assert {f"{default.loss}-{start}-{gate}" for start in ROW_STARTS} <= set(names)
    assert names[:2] == ["base", "control"]


def test_a_name_changes_the_common_options():
    common = DistillOptions(max_steps=7)
    arm = ArmName.parse("paper-mean-0.05,unit_weight=0.5,lora_rank=4")
    options = arm.options(common, seed=3)
    assert (options.loss, options.row_start, options.max_steps, options.seed) == ("paper", "mean", 7, 3)
    assert (options.unit_weight, options.lora_rank, options.control) == (0.5, 4, False)
    assert arm.mining == {"max_entropy": "0.05"}
    assert ArmName.parse("sft-mean-none").mining == ArmName.parse("sft-mean-bpe").mining == {}
    few = ArmName.parse("sft-mean-p60,mine.size=16,mine.max_crossing=1,lora_rank=4")
    assert few.mining == {"max_entropy": "p60", "size": 16, "max_crossing": 1}
    assert few.vocabulary == "p60,mine.max_crossing=1,mine.size=16"
    assert few.options(common, seed=0).lora_rank == 4
    paper = ArmName.parse("paper-mean-published,unit_weight=0")
    assert paper.options(common, seed=0).unit_weight == 0
    assert ArmName.parse("control").options(common, 0) == replace(common, seed=0).as_control()


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "control-sft",
        "kl-mean-p70",
        "sft-mean",
        "sft-last-p70",
        "sft-mean-p101",
        "sft-mean-p60,mine.max_crossing=2",
        "sft-mean-p60,mine.sizes=2",
        "sft-mean-bpe,mine.size=2",
        "control,mine.size=2",
        "base-sft",
        "control,x=1",
    ],
)
def test_other_names_are_refused(wrong):
    with pytest.raises(SystemExit, match="names no arm"):
        ArmName.parse(wrong)


def test_patterns_choose_among_the_planned_and_names_add_to_them():
    planned = plan(["p50", "p70"], "p70")
    assert chosen(["*"], planned) == planned
    assert [arm.text for arm in chosen(["*-hidden-*", "sft-mean-p60"], planned)] == [
        "sft-hidden-p70",
        "sft-hidden-none",
        "sft-mean-p60",
    ]


def test_figures_are_means_over_seeds():
    measured = Measured(ArmName.parse("sft-mean-p70"), [{"solved": [1, 0, 1, 1]}, {"solved": [0, 0, 1, 1]}])
    assert measured.successes == [75, 50]
    assert standard_error([75, 50]) == pytest.approx(12.5)
    assert standard_error([1]) == 0


def test_differences_from_the_control_are_paired_by_seed(tmp_path, capsys):
    def write(name, seed, solved):
        file = tmp_path / f"seed-{seed}" / "arms" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        held_out = {"units": 3, "base_tokens": 4}
        record = {"seed": seed, "solved": solved, "units": 1, "base_tokens": 2, "held_out": held_out}
        file.write_text(json.dumps(record))

    for seed, solved in enumerate([[1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]]):
        write("control", seed, solved)
    for seed, solved in ((0, [1, 1, 1, 0]), (1, [1, 0, 0, 0]), (5, [1, 1, 1, 1])):
        write("sft-mean-p70", seed, solved)
    write("base", 1, [1, 0, 0, 0])
    print_table(tmp_path, [ArmName.parse(name) for name in ("base", "control", "sft-mean-p70")], range(9))
    at = HEADER.index("against the control")
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == list(HEADER)
    # The seeds are far apart, and the pairs are -25 and +25: seed 5 has no control.
    assert [row[at].strip() for row in rows[2:]] == ["+25.0", "", "+0.0 ± 25.0"]


@pytest.mark.slow
def test_a_small_run_measures_what_is_missing_and_nothing_twice(monkeypatch, tmp_path, capsys):
    run(monkeypatch, tmp_path, "--learnt 0.5 --arms base marginal-first-none sft-mean-bpe sft-mean-p75.ngram")
    corpus = lar.Corpus.load(tmp_path / "demo" / "seed-0" / "corpus")
    vocabulary = lar.LatentVocabulary.load(tmp_path / "demo" / "seed-0" / "vocabularies" / "none")
    assert len(corpus.tasks) == 24
    assert 0 < vocabulary.mining["tasks"] < 24
    gated = lar.LatentVocabulary.load(tmp_path / "demo" / "seed-0" / "vocabularies" / "p75.ngram")
    assert gated.mining["tasks"] == vocabulary.mining["tasks"]
    assert gated.mining["max_entropy"] == "p75"
    assert gated.mining["teacher"] is None
    record = json.loads((tmp_path / "demo" / "seed-0" / "arms" / "marginal-first-none.json").read_text())
    assert len(record["solved"]) == 3
    assert record["steps"] == 2
    assert record["options"]["row_start"] == "first"
    assert record["held_out"]["units"] < record["held_out"]["base_tokens"]
    out = capsys.readouterr().out
    assert "| marginal-first-none | 1 |" in out
    assert "| sft-mean-bpe | 1 |" in out
    run(monkeypatch, tmp_path, "--learnt 0.5 --arms base marginal-first-none")
    out = capsys.readouterr().out
    assert "seed 0" not in out
    assert "| marginal-first-none | 1 |" in out
    with pytest.raises(OptionError, match="results of other settings"):
        run(monkeypatch, tmp_path, "--batch-tokens 256")


def test_babyai_missions_are_repeatable_and_its_expert_solves_them(shared):
    pytest.importorskip("minigrid", reason="pip install minigrid==3.2.0")
    world = BabyAI(shared / "environments")
    training = world.training(3, seed=1)
    jobs = world.held_out(3, 1, training)
    for job in jobs:
        shown = job.demonstration()
        assert shown.success
        assert shown.messages[-1]["role"] == "assistant"
        session = job.session()
        assert session.opening() == shown.messages[:2]
        for turn, answer in zip(shown.messages[2::2], [*shown.messages[3::2], None], strict=True):
            assert not session.done
            heard = session.step(turn["content"])
            assert answer is None or heard == answer["content"]
        assert session.done
        assert session.solved
    # What cannot be read is answered, and counts as a turn.
    lost = jobs[0].session()
    while not lost.done:
        assert lost.step("no action at all") == "Unknown action."
    assert not lost.solved


def test_a_folder_without_the_text_face_is_named(tmp_path):
    with pytest.raises(SystemExit, match="no such file"):
        load_face(tmp_path)
