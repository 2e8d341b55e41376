"""The arms: their vocabularies, and a small bench that continues where it stopped."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the bench needs the extra `train`")
pytest.importorskip("transformers", reason="the bench needs the extra `train`")
pytest.importorskip("openai", reason="the bench needs the extra `engines`")

import numpy as np

import lar
from benches.agents import run, stages, vocabularies
from benches.agents.agent import Turn
from benches.agents.alternating import timed
from benches.agents.arms import ARMS, CONTROL, Arm, Latents, matching
from benches.agents.baselines.published import by_next_word
from benches.agents.episodes import Result, run_batch
from benches.agents.run import main
from benches.agents.stages import Bench, Settings, results_of
from benches.agents.student_agent import StudentAgent
from benches.agents.table import summary, table
from benches.agents.worlds.choice import WORLDS
from lar.distillation import AdaptOptions, DistillOptions, Student
from lar.errors import OptionError
from lar.evaluation.drift import unused_latents
from lar.generation.sampling import Sampling
from lar.models.causal_lm import load_model
from lar.models.fingerprint import fingerprint
from lar.trajectories import read_trajectories
from testing import tiny, toy

SAMPLING = Sampling(max_units=12)


@pytest.fixture(scope="module")
def settings(teacher_folder):
    common = {"max_steps": 2, "max_length": 128, "device": "cpu", "save_steps": 1}
    return Settings(
        model=str(teacher_folder),
        runs=6,
        tasks=5,
        batch=2,
        adapt=AdaptOptions(**common),
        distill=DistillOptions(**common, fitted_batches=2),
        sampling=SAMPLING,
    )


def test_a_student_works_alike_alone_and_in_a_batch(world, corpus, vocabulary):
    student = Student.begin(tiny.teacher(corpus), vocabulary, DistillOptions(device="cpu")).eval()
    agent, tasks = StudentAgent("student", student, SAMPLING), world.tasks("test")
    alone = [result for task in tasks for result in run_batch(world, [task], agent)]
    together = run_batch(world, tasks, agent)
    for one, other in zip(alone, together, strict=True):
        same = {"seconds": 0.0, "passes": None}
        assert replace(one, **same) == replace(other, **same)
        assert one.base_tokens >= one.units > 0
        assert one.read + one.units > one.read > 0
        assert one.passes == one.units
    assert any(result.turns > 1 for result in alone)
    assert all((result.sent > result.read) == (result.turns > 1) for result in alone)


@pytest.mark.parametrize("has_lora", [True, False])
def test_the_passes_that_read_a_prompt_are_told_apart(world, corpus, vocabulary, has_lora):
    model = tiny.teacher(corpus)
    student = Student.plain(model, vocabulary.tokenizer)
    if has_lora:
        student = Student.begin(model, vocabulary, DistillOptions(device="cpu")).eval()
    agents, students = {"student": StudentAgent("student", student, SAMPLING)}, {"student": student}
    found = timed(world, world.tasks("test", 3), agents, students)["student"]
    for seconds, decode_seconds in zip(found.seconds, found.decode_seconds, strict=True):
        assert 0 < decode_seconds < seconds


def test_merges_are_latents_of_the_text(corpus):
    found = vocabularies.bpe(corpus, 40)
    assert 30 < len(found) <= 40
    ids = corpus.tokenizer.encode("How warm is it in Lima? I will look up the weather in Lima.")
    units = found.encode(ids)
    assert found.expand(units).tolist() == list(ids)
    assert len(units) < len(ids)


def test_latents_of_baselines_have_the_frequencies_that_mining_gives(corpus, tmp_path):
    mined = lar.mine(corpus, size=30, gates="none")
    found = vocabularies.from_segments(corpus, [latent.tokens for latent in mined], "the same")
    assert [replace(latent, mean_entropy=None) for latent in mined] == list(found)
    assert max(latent.support for latent in found) > 1
    nothing = np.zeros(len(found), dtype=np.bool_)
    assert unused_latents(found, nothing, 9, 2, lambda of: nothing[: len(of)])  # drift is known
    for maker in (vocabularies.bpe, by_next_word):
        of_text = maker(corpus, 20)
        assert all(min(latent.count, 1) <= latent.support <= latent.count for latent in of_text)
        assert sum(latent.uses for latent in of_text) > 0
        of_text.save(tmp_path / maker.__name__)
        assert lar.LatentVocabulary.load(tmp_path / maker.__name__) == of_text


def test_random_segments_have_the_lengths_of_the_latents(corpus, vocabulary):
    found = vocabularies.random_segments(corpus, vocabulary, seed=1)
    assert [len(latent) for latent in found] == [len(latent) for latent in vocabulary]
    assert len({latent.tokens for latent in found}) == len(found)
    assert all(latent.count > 0 for latent in found)
    assert found == vocabularies.random_segments(corpus, vocabulary, seed=1)


def test_an_arm_is_measured_once_and_others_join(world, settings, tmp_path, monkeypatch):
    arms = {CONTROL: Arm(), "small": Arm(Latents(8)), "gated": Arm(Latents(8, "p75"))}
    arms["ngram"] = Arm(Latents(8, "p75", by_ngrams=True))
    bench = Bench(world, settings, tmp_path)
    first = bench.measure(CONTROL, arms[CONTROL])
    assert len(first["tasks"]) == settings.tasks
    assert first["bits_per_byte"]["bits_per_byte"] > 0
    monkeypatch.setattr(stages, "run_batch", None)  # nothing is run again
    again = Bench(world, settings, tmp_path)
    assert again.measure(CONTROL, arms[CONTROL]) == json.loads(json.dumps(first))
    monkeypatch.undo()
    for name in ("small", "gated", "ngram"):
        assert 0 < again.measure(name, arms[name])["latents"] <= 8
    mined = {name: again.vocabulary(name, arms[name]).mining for name in ("gated", "ngram")}
    assert mined["gated"]["teacher"] is not None
    assert mined["ngram"]["teacher"] is None
    assert mined["ngram"]["max_entropy_nats"] != mined["gated"]["max_entropy_nats"]
    episodes = list(read_trajectories(tmp_path / "weather" / "episodes" / "small.parquet"))
    assert [episode.task for episode in episodes] == [task.id for task in world.tasks("test", 5)]
    records = again.records()
    lines = table(records).splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["| arm", "| ---", *(f"| {name}" for name in records)]
    written = summary(records)
    assert list(written["small"]["solved"]) == [task.id for task in world.tasks("test", 5)]
    assert written[CONTROL]["against_control"] is None
    assert written["small"]["against_control"]["tasks"] == 5
    assert results_of(records["small"])[0].task == "city 0"


def test_the_same_student_works_on_the_other_split_beside_the_first(world, settings, tmp_path, monkeypatch):
    bench, unseen = (Bench(world, settings, tmp_path, split=split) for split in ("test", "unseen"))
    bench.measure(CONTROL, Arm())
    monkeypatch.setattr(stages.lar, "distill", None)  # nothing is trained again
    assert unseen.record(CONTROL) is None
    found = unseen.measure(CONTROL, Arm())
    assert [task["task"] for task in found["tasks"]] == [task.id for task in world.tasks("unseen", 5)]
    assert list(unseen.records()) == list(bench.records()) == [CONTROL]
    assert bench.record(CONTROL)["tasks"] != found["tasks"]
    assert (bench.folder / "episodes_unseen" / f"{CONTROL}.parquet").exists()


def test_the_adapted_base_works_as_it_is(world, settings, tmp_path):
    bench = Bench(world, settings, tmp_path)
    found = bench.measure("base", ARMS["base"])
    assert (found["latents"], found["training"], len(found["tasks"])) == (0, {}, settings.tasks)
    assert not (bench.folder / "students").exists()


def test_arms_without_latents_learn_from_their_runs_and_not_from_a_teacher(settings):
    for name, arm in ARMS.items():
        if arm.is_trained and arm.student is None:
            options = arm.distill_options(settings.distill)
            assert options.control == (arm.latents is None)
            assert options.loss == "sft" or not options.control, name
            assert options.max_steps == settings.distill.max_steps


def test_arms_of_other_settings_are_refused(world, settings, tmp_path):
    Bench(world, settings, tmp_path)
    with pytest.raises(OptionError, match="other settings"):
        Bench(world, replace(settings, tasks=4), tmp_path)


def test_any_agent_can_be_measured(world, settings, tmp_path):
    class Silent:
        name = "silent"
        seconds, passes = 0.0, None

        def begin(self, openings):
            self.rows = len(openings)
            return self

        def reply(self):
            return [Turn("", 1, 1, 1, 1)] * self.rows

        def hear(self, observations):
            pass

        def keep(self, rows):
            self.rows = len(rows)

    bench = Bench(world, settings, tmp_path)
    found = bench.measure_agent("silent", Silent())
    assert [task["cut_off"] for task in found["tasks"]] == [True] * settings.tasks
    assert "| silent | 0.0 ± 0.0 |" in table(bench.records())


def test_a_stopped_arm_goes_on_to_the_same_figures(
    world, settings, tmp_path, monkeypatch, corpus, vocabulary
):
    student = Student.begin(tiny.teacher(corpus), vocabulary, DistillOptions(device="cpu")).eval()
    agent = StudentAgent("Qwen/Qwen3-8B", student, SAMPLING)
    whole = Bench(world, settings, tmp_path / "whole").measure_agent(agent.name, agent)
    worked = []

    def stopping(world, tasks, agent):
        if worked == [["city 0", "city 1"], ["city 2", "city 3"]]:
            raise KeyboardInterrupt
        worked.append([task.id for task in tasks])
        return run_batch(world, tasks, agent)

    monkeypatch.setattr(stages, "run_batch", stopping)
    with pytest.raises(KeyboardInterrupt):
        Bench(world, settings, tmp_path / "stopped").measure_agent(agent.name, agent)
    monkeypatch.undo()
    journal = tmp_path / "stopped" / "weather" / "episodes" / "Qwen--Qwen3-8B.jsonl"
    first, _ = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(journal.read_bytes()[: len(first) + 40])  # and the second batch was being written
    bench = Bench(world, settings, tmp_path / "stopped")
    found = bench.measure_agent(agent.name, agent)
    assert _without_seconds(found) == _without_seconds(whole)
    assert list(bench.records()) == [agent.name]
    assert not journal.exists()
    files = [Path(run, "weather", "episodes", "Qwen--Qwen3-8B.parquet") for run in ("whole", "stopped")]
    expected, episodes = (list(read_trajectories(tmp_path / file)) for file in files)
    assert episodes == expected


def _without_seconds(found):
    return {**found, "tasks": [{**task, "seconds": None} for task in found["tasks"]]}


def test_a_server_has_no_arms_to_time(monkeypatch, capsys):
    command = ["run", "search_qa", "--shared", "x", "--model", "x", "-o", "x", "--timed", "2"]
    monkeypatch.setattr("sys.argv", [*command, "--server", "http://127.0.0.1:9/v1", "student"])
    with pytest.raises(SystemExit):
        main()
    assert "--timed compares trained arms" in capsys.readouterr().err


def test_the_settings_of_a_command_reach_the_trainings(world, tmp_path, monkeypatch):
    class ReachedError(Exception):
        pass

    def reached(*arguments):
        raise ReachedError(arguments)

    toy.tokenizer().save(tmp_path)
    choice = replace(WORLDS["search_qa"], make=lambda *_: world, adapt_steps=11, steps=12)
    monkeypatch.setitem(WORLDS, "search_qa", choice)
    monkeypatch.setattr(run, "Bench", reached)
    command = [
        "run",
        "search_qa",
        "--shared",
        "x",
        "--model",
        str(tmp_path),
        "-o",
        "out",
        "--split",
        "unseen",
    ]
    given = [
        "--tasks",
        "9",
        "--runs",
        "8",
        "--batch",
        "7",
        "--seed",
        "5",
        "--device",
        "cpu",
        "--dtype",
        "bfloat16",
    ]
    for more, steps in (
        ([], (11, 12)),
        (["--adapt-steps", "3", "--steps", "4", "--max-length", "64"], (3, 4)),
    ):
        monkeypatch.setattr("sys.argv", [*command, *given, *more])
        with pytest.raises(ReachedError) as caught:
            main()
        its_world, found, output, _, split = caught.value.args[0]
        assert (its_world, output, split) == (world, Path("out"), "unseen")
        assert (found.tasks, found.runs, found.batch) == (9, 8, 7)
        assert (found.adapt.max_steps, found.distill.max_steps) == steps
        assert found.sampling.max_units == choice.max_units
        for options in (found.adapt, found.distill):
            assert (options.seed, options.device, options.dtype) == (5, "cpu", "bfloat16")
            assert options.max_length == (64 if more else choice.max_length)


def test_a_model_that_has_learnt_from_the_runs_is_the_teacher_as_it_is(world, settings, tmp_path):
    bench = Bench(world, replace(settings, adapt=None), tmp_path)
    assert bench.teacher == Path(settings.model)
    bench.student(CONTROL, ARMS[CONTROL])
    made = json.loads((tmp_path / world.name / "students" / CONTROL / "distillation.json").read_text())
    own = fingerprint(load_model(settings.model, dtype="float32", device="cpu"))
    assert made["base_fingerprint"] == own
    assert not (tmp_path / world.name / "teacher").exists()


def test_a_row_of_the_table_has_each_figure_under_its_name():
    common = {"repeated": False, "base_tokens": 70, "read": 5, "turns": 3, "seconds": 1.5}
    control = [Result(name, success=name == "b", units=20, sent=80, **common) for name in "abcd"]
    own = [replace(result, success=result.task in "bc", units=10, sent=70) for result in control]
    own[3] = replace(own[3], cut_off=True, units=50, passes=6.0)
    records = {
        name: {"tasks": [result.to_dict() for result in results], "bits_per_byte": bits}
        for name, results, bits in ((CONTROL, control, None), ("lar", own, {"bits_per_byte": 0.25}))
    }
    header, _, first, row = (line.strip("| ").split(" | ") for line in table(records).splitlines())
    assert len(header) == len(row) == 14
    named = dict(zip(header, row, strict=True))
    assert named["success"] == "50.0 ± 28.9"
    assert named["against the control"] == "+25.0 ± 25.0"
    assert named["cut off"] == "25%"
    assert row[4:9] == ["20.0", "+0.0%", "10", "90", "-10.0%"]  # generated, of the median, and with sent
    assert [named[name] for name in header[9:]] == ["70.0", "3.00", "6.0", "1.50", "0.2500"]
    assert (first[2], first[5], first[8]) == ("", "", "")


def test_a_bench_learns_from_as_many_runs_as_it_is_told(world, tmp_path):
    toy.tokenizer().save(tmp_path / "model")
    for runs, expected in ((6, 6), (None, len(list(world.runs())))):
        settings = Settings(str(tmp_path / "model"), runs, 5, 2, AdaptOptions(), DistillOptions())
        assert len(Bench(world, settings, tmp_path / str(runs)).corpus("runs")) == expected


def test_patterns_name_arms():
    assert matching(["*"]) == list(ARMS)
    assert matching(["lar-256*", CONTROL]) == [CONTROL, "lar-256", "lar-256-p75", "lar-256-marginal"]
    with pytest.raises(SystemExit, match="'lor-\\*' names no arm; there are base, react, "):
        matching(["lor-*"])


def test_every_arm_has_data_and_options_that_there_are():
    for arm in ARMS.values():
        assert arm.data in stages.DATA
        replace(DistillOptions(), **arm.options)
