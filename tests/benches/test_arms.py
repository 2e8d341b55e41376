"""The bench that compares arms: names, figures, one small run that goes on where it stopped, and BabyAI."""

import json
import sys

import pytest

pytest.importorskip("torch", reason="the bench needs the extra `train`")
pytest.importorskip("transformers", reason="the bench needs the extra `train`")


from benches.arms import run as arms
from benches.arms.babyai import BabyAI, load_face
from benches.arms.names import STARTS, ArmName, chosen, plan
from benches.arms.stages import claim
from benches.arms.tables import Measured, standard_error
from benches.arms.worlds import OrderDesk
from lar.distillation import DistillOptions
from lar.distillation.options import LOSSES
from lar.errors import OptionError

SMALL = "--training-tasks 24 --episodes 3 --latents 16 --min-support 2 --base-steps 3 --steps 2 --seeds 0"


def run(monkeypatch, output, more):
    arguments = ["arms.py", "demo", "-o", str(output), *SMALL.split(), *more.split()]
    monkeypatch.setattr(sys, "argv", arguments)
    arms.main()


def test_the_plan_holds_losses_by_gates_and_starts_by_two_gates():
    names = [arm.text for arm in plan(["p50", "p70"], "p70")]
    default = DistillOptions()
    assert len(set(names)) == len(names)
    for gate in ("p50", "p70", "none"):
        assert {f"{loss}-{default.row_start}-{gate}" for loss in LOSSES} <= set(names)
    for gate in ("p70", "none"):
        assert {f"{default.loss}-{start}-{gate}" for start in STARTS} <= set(names)
    assert names[:2] == ["base", f"control-{default.loss}"]


def test_a_name_says_what_is_changed():
    common = DistillOptions(max_steps=7)
    arm = ArmName.parse("paper-mean-0.05,unit_weight=0.5,lora_rank=4")
    options = arm.options(common, seed=3)
    assert (options.loss, options.row_start, options.max_steps, options.seed) == ("paper", "mean", 7, 3)
    assert (options.unit_weight, options.lora_rank, options.control) == (0.5, 4, False)
    assert arm.max_entropy == "0.05"
    assert ArmName.parse("sft-mean-none").max_entropy is None
    assert ArmName.parse("control-sft").options(common, 0).control
    with pytest.raises(OptionError, match="no_such_option"):
        ArmName.parse("sft-mean-p70,no_such_option=1").options(common, 0)


@pytest.mark.parametrize("wrong", ["", "control", "kl-mean-p70", "sft-mean", "sft-mean-p101", "base-sft"])
def test_other_names_are_refused(wrong):
    with pytest.raises(SystemExit, match="names no arm"):
        ArmName.parse(wrong)


def test_patterns_choose_among_the_planned_and_names_add_to_them():
    planned = plan(["p50", "p70"], "p70")
    assert chosen(["*"], planned) == planned
    assert [arm.text for arm in chosen(["*-hidden-*", "sft-mean-p60"], planned)] == [
        "marginal-hidden-p70",
        "marginal-hidden-none",
        "sft-mean-p60",
    ]


def test_figures_are_means_over_seeds_and_pairs_of_episodes():
    runs = [{"solved": [1, 0, 1, 1]}, {"solved": [0, 0, 1, 1]}]
    controls = [{"solved": [1, 1, 1, 1]}, {"solved": [0, 0, 1, 0]}]
    measured = Measured(ArmName.parse("sft-mean-p70"), runs, controls)
    assert measured.successes == [75, 50]
    # -25 and +25 points, each with a standard error of 25.
    assert measured.to_control == (0, pytest.approx(25 / 2**0.5))
    assert standard_error([75, 50]) == pytest.approx(12.5)
    assert standard_error([1]) == 0


@pytest.mark.slow
def test_a_small_run_measures_what_is_missing_and_nothing_twice(monkeypatch, tmp_path, capsys):
    run(monkeypatch, tmp_path, "--arms base marginal-first-none")
    record = json.loads((tmp_path / "demo" / "seed-0" / "arms" / "marginal-first-none.json").read_text())
    assert len(record["solved"]) == 3
    assert record["steps"] == 2
    assert record["options"]["row_start"] == "first"
    assert record["held_out"]["units"] < record["held_out"]["base_tokens"]
    assert "| marginal-first-none | 1 |" in capsys.readouterr().out
    run(monkeypatch, tmp_path, "--arms base marginal-first-none sft-nonsense-none")
    out = capsys.readouterr().out
    assert "base, seed 0" not in out
    assert "sft-nonsense-none: skipped, row_start 'nonsense'" in out
    run(monkeypatch, tmp_path, "--only-table --arms nothing*")
    assert "| marginal-first-none | 1 |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="arms of other latents"):
        run(monkeypatch, tmp_path, "--latents 8")


def test_arms_of_versions_with_other_options_stand_side_by_side(tmp_path):
    world = OrderDesk()
    claim(world, tmp_path)
    file = tmp_path / "demo" / "settings.json"
    settings = json.loads(file.read_text())
    settings["distillation"] |= {"row_start": "first", "seed": 5, "an_option_of_another_version": 1}
    del settings["distillation"]["unit_weight"]
    file.write_text(json.dumps(settings))
    claim(world, tmp_path)
    settings["distillation"]["max_steps"] += 1
    file.write_text(json.dumps(settings))
    with pytest.raises(SystemExit, match=r"arms of other distillation\.max_steps"):
        claim(world, tmp_path)


def test_the_entropies_to_choose_gates_by(monkeypatch, tmp_path, capsys):
    run(monkeypatch, tmp_path, "--only-entropies")
    assert '"quantiles"' in capsys.readouterr().out


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
