"""The report: its figures against those of others, its page as a browser reads it, and hostile text in it."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import unicodedata
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lar
from lar.corpus import Corpus
from lar.corpus.scores import Scores, TeacherIdentity, TeacherRecord, write_scores
from lar.corpus.task_sample import sample_share, sampled
from lar.errors import CorpusError, OptionError
from lar.evaluation.boundary import Point, Sweep
from lar.evaluation.estimate import estimate as estimated
from lar.evaluation.reporting import student_record
from lar.evaluation.reporting.evidence import (
    ArmsFile,
    EstimateFile,
    EvaluationFile,
    Evidence,
    ReadingFile,
    SweepFile,
    evidence_kind,
)
from lar.evaluation.reporting.example import example
from lar.evaluation.reporting.measure import Measured, measure
from lar.evaluation.reporting.origin import NO_PICTURES
from lar.evaluation.reporting.page import wilson
from lar.evaluation.reporting.turns import NO_CALL, Turns
from lar.evaluation.reporting.visible import visible
from lar.evaluation.reporting.write import PAGE_FOLDER, _mined
from lar.trajectories import Trajectory
from lar.utils.progress import silent
from testing import toy
from testing.scores import score_with

HOSTILE = "</script></code><img src=x onerror=alert(1)>\u202e\x00\x1b & <!-- {{ 7 * 7 }} \"'> done"
ALWAYS = ("overview", "latents", "savings", "example", "logs", "versions")
VOID = {"meta", "br", "input", "img", "link"}


class Page(HTMLParser):
    """The elements of a page: (name, attributes, own and inner text), and that each is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        element = [tag, dict(attrs), ""]
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        for element in self._open:
            element[2] += data

    def all(self, tag, **attributes):
        return [
            element
            for element in self.elements
            if element[0] == tag and attributes.items() <= element[1].items()
        ]


@pytest.fixture
def written(tmp_path):
    def write(corpora, **options):
        found = lar.report(corpora, tmp_path / "report.html", **options)
        return found, (tmp_path / "report.html").read_text(encoding="utf-8")

    return write


@pytest.fixture(scope="session")
def hostile(tokenizer, tmp_path_factory):
    """Runs whose text, tool, task and name try to leave their place in a page."""
    runs = []
    for seed in range(12):
        run = toy.trajectory(seed)
        messages = [dict(message) for message in run.messages]
        messages[-1]["content"] = f"{HOSTILE}{HOSTILE}"
        runs.append(Trajectory(id=f"{HOSTILE}{seed}", task=f"{HOSTILE}{seed}", messages=messages))
    return Corpus.build(runs, tokenizer, tmp_path_factory.mktemp("hostile") / "a<b>&\"'")


def swept(**success):
    """What a sweep writes; with `success`, of the control and of both students, as a world decided."""
    control = Point(None, 0, 0, 0.0, 0.0, 0.4, success.get("control"))
    gates = {None: 0.41, HOSTILE: 0.5}
    students = [
        Point(gate, 8, 8, 0.2 + 0.1 * place, 0.0, bits, success.get("students"))
        for place, (gate, bits) in enumerate(gates.items())
    ]
    return Sweep(control, tuple(students), 0.05).to_dict()


@pytest.fixture(scope="session")
def evidence(corpus, vocabulary):
    estimated = lar.estimate(corpus, sizes=[2, 8], splits=2).to_dict()
    prices = {"runs": 1000, "price_input": 0.2, "price_cached": None, "price_output": 0.6}
    bill = {**prices, "without": 2.0, "with": [1.0, 1.5]}
    training = {"parameters": 8 * 10**9, "tokens": 9_000_000, "hours": 12.25, "weights_gib": 14.9}
    counts = {"records": 60, "trajectories": 60, "agent_turns": 120, "calls": 60, "agent_characters": 999}
    reading = {"formats": {"chat": counts}, "repeated": 3, "redacted": {"EMAIL": 2}, "bad_records": 1}
    field = {"format": "chat", "field": HOSTILE, "records": 1, "characters": 9, "first": "a.jsonl"}
    arms = {"control": {"success": 0.9, "units": 60.0}, HOSTILE: {"success": 0.8, "units": 30.0}}
    return Evidence(
        EstimateFile.model_validate({**estimated, "bill": bill, "training": training}),
        EvaluationFile.model_validate(lar.evaluate(corpus, vocabulary).to_dict()),
        ArmsFile.model_validate({"arms": arms, "tasks": 50}),
        ReadingFile.model_validate({**reading, "left_out": [field], "problems": [HOSTILE]}),
        SweepFile.model_validate(swept()),
    )


@pytest.fixture
def scored(tokenizer, tmp_path):
    """The toy agent's runs with entropies of no model."""
    corpus = Corpus.build(toy.trajectories(30), tokenizer, tmp_path / "scored")
    identity = TeacherIdentity("0" * 64, None)
    for shard in corpus.shards():
        number = int(shard.action.sum())
        entropy = np.random.default_rng(0).exponential(0.5, number).astype(np.float16)
        write_scores(shard.path, shard.digest, Scores(identity, entropy, None))
    TeacherRecord(identity.fingerprint, None, "toy", "float32", None).write(corpus.path)
    return Corpus.load(corpus.path)


def test_the_example_is_a_run_of_the_scored_sample(tokenizer, tmp_path):
    corpus = Corpus.build(toy.trajectories(60), tokenizer, tmp_path / "corpus")
    vocabulary = lar.mine(corpus, size=12)
    assert not example({"toy": corpus}, vocabulary, frozenset(corpus.tasks)).scored
    score_with(corpus, lambda shard: shard.tokens % 7, share=0.2)
    shown = example({"toy": corpus}, vocabulary, frozenset(corpus.tasks))
    assert shown.scored
    assert shown.task in corpus.scored.tasks
    assert not example({"toy": corpus}, vocabulary, frozenset(corpus.tasks - corpus.scored.tasks)).scored


def test_the_command_that_scored_a_sample_is_named(tokenizer, tmp_path):
    corpus = Corpus.build(toy.trajectories(60), tokenizer, tmp_path / "corpus")
    score_with(corpus, lambda shard: shard.tokens % 7, share=sample_share(corpus, corpus.num_tokens // 2))
    lar.report(corpus, tmp_path / "report.html", vocabulary=lar.mine(corpus, size=12))
    page = (tmp_path / "report.html").read_text()
    assert f"--most-tokens {corpus.scored.num_tokens}" in page
    assert f"on {len(corpus.scored.tasks)} tasks" in page


def test_a_sweep_is_no_estimate():
    by_success = {"control": (True, True), "students": (True, False)}
    for values, words in ((swept(), "The setting to take"), (swept(**by_success), "No setting loses less")):
        assert evidence_kind(values) == "sweep"
        assert words in SweepFile.model_validate(values).words


def test_savings_are_those_of_evaluate_however_they_are_divided(corpus):
    train, held = corpus.split(0.3)
    vocabulary = lar.mine(train, size=12)
    found, total = measure({"toy": corpus}, vocabulary, silent), lar.evaluate(held, vocabulary).total
    assert not found.in_sample
    assert found.tasks == held.tasks
    for savings in (found.by_tool, found.by_turn, found.generated):
        whole = Measured.total(savings)
        assert (whole.base, whole.units) == (total.base_tokens, total.units)
    prompt = found.prompt["toy"]
    assert (prompt.base, prompt.units) == (total.prompt_base_tokens, total.prompt_units)
    assert found.by_turn.keys() == {1, 2}
    assert {name: row.number for name, row in found.by_tool.items()} == {
        "get_weather": len(held),
        NO_CALL: len(held),
    }


def test_the_uses_of_latents_are_those_of_a_parse_of_each_run(corpus, vocabulary):
    found = measure({"toy": corpus}, vocabulary, silent)
    for use in found.latents:
        counts, tasks, prompts, opens, closes = 0, set(), 0, 0, 0
        for row in corpus:
            form = vocabulary.reparameterize(row.tokens, row.action)
            own = int((form.units[form.action] == use.latent.id).sum())
            prompts += int((form.units == use.latent.id).sum()) - own
            counts += own
            tasks |= {row.task} if own else set()
            turns = np.split(form.units, np.flatnonzero(np.diff(form.action)) + 1)[not form.action[0] :: 2]
            opens += sum(turn[0] == use.latent.id for turn in turns)
            said = [turn[:-1] if turn[-1] in corpus.tokenizer.barriers else turn for turn in turns]
            closes += sum(turn[-1] == use.latent.id for turn in said)
        assert (use.uses, use.prompt_uses, use.tasks) == (counts, prompts, tasks)
        assert sum(use.tools.values()) == counts
        assert (use.opens, use.closes) == (opens, closes)
    assert any(use.closes for use in found.latents)


def test_the_example_is_a_run_that_succeeded_as_the_agent_wrote_it(tokenizer, vocabulary):
    runs = [
        Trajectory(run.id, run.task, run.messages, success=number in (2, 4))
        for number, run in enumerate(toy.trajectories(6))
    ]
    corpus = Corpus.build(runs, tokenizer, workers=1)
    measured = frozenset(run.task for run in runs[:4])
    shown = example({"toy": corpus}, vocabulary, measured)
    assert (shown.run, shown.success, shown.all_turns, shown.scored) == (runs[2].id, True, 2, False)
    [row] = [row for row in corpus if row.id == shown.run]
    units = [unit for turn in shown.turns for unit in turn.units]
    assert "".join(unit.text for unit in units) == tokenizer.decode(row.tokens[row.action])
    assert sum(unit.tokens for unit in units) == row.action.sum()
    assert [turn.tools for turn in shown.turns] == ["get_weather", NO_CALL]
    for unit in units:
        assert unit.latent is None or unit.text == vocabulary[unit.latent].text
    assert any(unit.latent is not None for unit in units)
    assert example({"toy": corpus}, vocabulary, frozenset()) is None


def test_turns_begin_and_end_with_the_agent_and_name_its_tools(tokenizer, tmp_path):
    def call(name):
        return {"id": None, "type": "function", "function": {"name": name, "arguments": "{}"}}

    turns = [
        {"role": "assistant", "content": "a", "tool_calls": [call("x.y"), call("z-1")]},
        {"role": "assistant", "content": "", "tool_calls": [call("one"), call("two"), call("three")]},
        {"role": "assistant", "content": "Thought: go\nAction 2: Search[it]"},
        {"role": "assistant", "content": "no more"},
    ]
    messages = [{"role": "user", "content": "go"}]
    for turn in turns:
        messages += [turn, {"role": "user", "content": "on"}]
    runs = [Trajectory(id=str(number), task="t", messages=messages) for number in range(2)]
    [shard] = Corpus.build(runs, tokenizer, tmp_path / "corpus").shards()
    found = Turns.of(shard, tokenizer)
    assert found.tools == ["x.y + z-1", "3 different tools", "Search", NO_CALL] * 2
    assert found.numbers.tolist() == [1, 2, 3, 4] * 2
    assert found.rows.tolist() == [0] * 4 + [1] * 4
    inside = np.zeros(len(shard.action), dtype=bool)
    for start, end in zip(found.starts, found.ends, strict=True):
        inside[start:end] = True
    assert (inside == shard.action).all()


@given(st.text())
def test_visible_text_is_the_text_but_for_characters_that_draw_nothing(text):
    back = "".join(chr(int(piece[2:], 16)) if kind == "code" else piece for kind, piece in visible(text))
    assert back == text
    for kind, piece in visible(text):
        if kind == "text":
            assert not any(unicodedata.category(character)[0] in "CZ" for character in piece)


def test_the_page_has_the_parts_whose_data_is_there(written, corpus, vocabulary, evidence):
    found, text = written(corpus, vocabulary=vocabulary)
    assert found.sections == ALWAYS
    page = Page(text)
    assert [h2[1]["id"] for h2 in page.all("h2")] == [*ALWAYS, "missing"]
    assert {one.what for one in found.missing} >= {"money", "an evaluation", "a student"}
    for one in found.missing:
        assert any(one.command == code[2] for code in page.all("code"))
    found, text = written(corpus, vocabulary=vocabulary, evidence=evidence)
    page = Page(text)
    assert [h2[1]["id"] for h2 in page.all("h2")] == [*found.sections, "missing"]
    assert set(found.sections) - set(ALWAYS) == {"sizes", "money", "evaluation", "success", "boundary"}
    missing = {one.what for one in found.missing if one != NO_PICTURES}
    assert missing == {"the teacher's entropies", "a student"}
    assert "0.50 to 1.00" in text
    assert "12.2 hours" in text


def test_the_recommendation_is_that_of_the_estimate(written, corpus, vocabulary, evidence):
    page = Page(written(corpus, vocabulary=vocabulary, evidence=evidence)[1])
    [section] = page.all("section", **{"aria-labelledby": "sizes"})
    assert evidence.estimate.words.startswith("Take 8 latents by lar mine's rule: ")
    assert evidence.estimate.words in section[2]


def test_fewer_latents_than_asked_for_are_counted_where_they_are_recommended(written, corpus, vocabulary):
    found = lar.estimate(corpus, sizes=[500], splits=2, probes=False)
    prices = {"runs": 1000, "price_input": None, "price_cached": None, "price_output": 0.6}
    bill = {**prices, "without": 2.0, "with": [1.0, 1.5]}
    estimate = EstimateFile.model_validate({**found.to_dict(), "bill": bill})
    text = written(corpus, vocabulary=vocabulary, evidence=Evidence(estimate=estimate))[1]
    number = f"({found.points[0].latents:.0f} found)"
    assert f"500 latents {number}, by your prices" in text
    assert f"<dd>500 latents {number}</dd>" in text
    assert f"500 {number} (recommended)" in text


def test_what_is_in_no_figure_stands_beside_the_percentage_and_the_bill(
    written, corpus, vocabulary, evidence
):
    share = "50.0% of the agent's characters, which the chat template leaves out"
    assert share not in written(corpus, vocabulary=vocabulary, evidence=evidence)[1]
    estimate = evidence.estimate.model_copy(update={"unwritten": 0.5})
    text = written(corpus, vocabulary=vocabulary, evidence=evidence._replace(estimate=estimate))[1]
    page = Page(text)
    [overview], [money] = (page.all("section", **{"aria-labelledby": name}) for name in ("overview", "money"))
    assert overview[2].count(f", without {share}") == 2
    assert f"Not in the bill: {share}." in money[2]


def test_evidence_of_other_logs_is_named(written, corpus, vocabulary, evidence, tokenizer, tmp_path, caplog):
    half = Corpus.build(toy.trajectories(60), tokenizer, tmp_path / "half", hold_out=0.5)
    of_half = evidence._replace(
        estimate=EstimateFile.model_validate(lar.estimate(half, sizes=[2], splits=1, probes=False).to_dict()),
        evaluation=EvaluationFile.model_validate(lar.evaluate(half, lar.mine(half, size=8)).to_dict()),
    )
    assert "of other logs" not in written(corpus, vocabulary=vocabulary, evidence=evidence)[1]
    assert "of other logs" not in written(half, size=8, evidence=of_half)[1]
    assert caplog.messages == []
    _, text = written(corpus, vocabulary=vocabulary, evidence=of_half)
    [estimate, evaluation] = caplog.messages
    assert estimate.startswith(f"the estimate is of other logs: of {len(half.training.tasks)} runs at ")
    assert evaluation.startswith(f"the evaluation is of other logs: of {len(half.held_out.tasks)} tasks")
    for line in caplog.messages:
        assert line in text


def test_an_evaluation_of_other_latents_is_named(written, corpus, vocabulary, evidence, caplog):
    own = EvaluationFile.model_validate(lar.evaluate(corpus, vocabulary).to_dict())
    other = EvaluationFile.model_validate(lar.evaluate(corpus, lar.mine(corpus, size=3)).to_dict())
    of_earlier_version = other.model_copy(update={"latents_digest": None})
    for evaluation in (own, other, of_earlier_version):
        caplog.clear()
        given = evidence._replace(evaluation=evaluation)
        text = written(corpus, vocabulary=vocabulary, evidence=given)[1]
        named = [line for line in caplog.messages if "of other latents than the report" in line]
        assert len(named) == (evaluation is other)
        assert ("of other latents than the report" in text) is (evaluation is other)


def test_the_head_has_no_figures_of_other_logs(written, corpus, vocabulary, evidence):
    foreign = evidence.estimate.model_copy(update={"runs_in_all": 7})
    for estimate in (evidence.estimate, foreign):
        own = evidence._replace(estimate=estimate)
        page = Page(written(corpus, vocabulary=vocabulary, evidence=own)[1])
        [overview], [money] = (
            page.all("section", **{"aria-labelledby": name}) for name in ("overview", "money")
        )
        is_own = estimate is not foreign
        assert ("by your prices" in overview[2]) is is_own
        assert ("recommended" in overview[2]) is is_own
        assert ("Do not compare" in money[2]) is not is_own


def test_a_reading_of_other_logs_is_named_where_its_number_is_another(
    written, vocabulary, evidence, tokenizer, tmp_path, caplog
):
    runs = [
        Trajectory(run.id, run.task, run.messages, success=seed % 2 == 0)
        for seed, run in enumerate(toy.trajectories(20))
    ]
    corpus = Corpus.build(runs, tokenizer, tmp_path / "succeeded", only_succeeded=True)
    assert corpus.num_trajectories == 10
    for number, is_named in ((20, False), (None, False), (10, True), (351, True)):
        caplog.clear()
        reading = evidence.reading.model_copy(update={"trajectories": number})
        text = written(corpus, vocabulary=vocabulary, evidence=Evidence(reading=reading))[1]
        line = f"what lar import read is other logs: {number} trajectories, and the report's corpora were"
        assert [message.startswith(line) for message in caplog.messages] == [True] * is_named
        assert ("Do not compare: what lar import read" in text) is is_named


def test_the_listed_commands_have_what_was_mined_with(written, corpus, tmp_path):
    parameters = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
    tool = {"type": "function", "function": {"name": "new_tool", "parameters": parameters}}
    (tmp_path / "tools.json").write_text(json.dumps([tool]))
    plain = lar.mine(corpus, size=8)
    for options, shown in (
        ({}, "--size 8 -o VOCABULARY"),
        ({"gates": "none"}, "--size 8 --gates characters -o"),
        ({"gates": "served"}, "--size 8 --gates characters,served -o"),
        ({"gates": "none", "min_kept": 0.9, "max_crossing": 0.3}, "--size 8 --gates characters -o"),
        ({"min_kept": 0.9}, "--size 8 --min-kept 0.9 -o"),
        ({"prompt_weight": 0.1}, "--size 8 --prompt-weight 0.1 -o"),
        ({"update": plain}, "--size 8 --update UPDATE -o"),
        (
            {"update": lar.mine(corpus, size=8, max_entropy="p60"), "max_entropy": None},
            "--size 8 --max-entropy none --update UPDATE -o",
        ),
        ({"tools": tmp_path / "tools.json"}, "--size 8 --tools TOOLS -o"),
    ):
        text = written(corpus, vocabulary=lar.mine(corpus, size=8, **options))[1]
        [commands] = Page(text).all("pre", **{"aria-label": "Commands"})
        assert shown in commands[2]


def test_links_lead_somewhere_and_ids_are_there_once(written, corpus, vocabulary, evidence):
    page = Page(written(corpus, vocabulary=vocabulary, evidence=evidence)[1])
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes, _ in page.elements:
        for name in ("aria-labelledby", "for"):
            assert attributes.get(name, ids[0]) in ids
        target = attributes.get("href")
        assert target is None or target.removeprefix("#") in ids


def test_the_page_loads_nothing_and_runs_its_own_script_alone(written, hostile, evidence):
    found, text = written(hostile, evidence=evidence, command=HOSTILE)
    page = Page(text)
    script = (PAGE_FOLDER / "script.js").read_text()
    assert [element[2] for element in page.all("script")] == [script]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    [policy] = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy[1]["content"] == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    assert not {"img", "link", "iframe", "object", "embed", "image", "use"} & {e[0] for e in page.elements}
    for _, attributes, _ in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "xlink:href")]
    assert "://" not in text
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert not [
        character
        for character in text
        if character != "\n" and unicodedata.category(character) in ("Cc", "Cf")
    ]
    assert "{{ 7 * 7 }}" in page.elements[0][2]
    assert found.sections[0] == "overview"


def test_each_latent_is_shown_as_it_is(written, hostile):
    vocabulary = lar.mine(hostile, size=20)
    page = Page(written(hostile, vocabulary=vocabulary)[1])
    cells = page.all("td", **{"data-name": "text"})
    shown = [element[2] for element in page.all("code", **{"class": "shown"})]
    drawn = ["".join(piece for _, piece in visible(latent.text)) for latent in vocabulary]
    assert any("</script>" in text and "U+202EU+0000" in text for text in drawn)
    assert sorted(cell[1]["data-value"] for cell in cells) == sorted(drawn)
    assert set(drawn) <= set(shown)


def test_entropies_are_drawn_where_the_corpus_is_scored(written, scored):
    vocabulary = lar.mine(scored, size=12, max_entropy="p80")
    found, text = written(scored, vocabulary=vocabulary)
    assert "the teacher's entropies" not in {one.what for one in found.missing}
    assert "the dashed line is the gate" in text
    assert len(Page(text).all("td", **{"data-name": "entropy"})) == len(vocabulary)


def test_pictures_are_vectors_in_the_colours_of_the_page(written, corpus, vocabulary, evidence):
    pytest.importorskip("vl_convert", reason="pictures need the extra `report`")
    page = Page(written(corpus, vocabulary=vocabulary, evidence=evidence)[1])
    pictures = page.all("div", **{"class": "picture"})
    assert len(pictures) == 5
    assert all(picture[1]["role"] == "img" and picture[1]["aria-label"] for picture in pictures)
    assert len(page.all("svg")) == 2 * len(pictures)
    colours = {a[key] for _, a, _ in page.elements for key in ("fill", "stroke") if key in a}
    assert {"var(--accent)", "var(--kept)", "var(--ink)"} <= colours
    assert not [colour for colour in colours if colour.startswith("#")]
    labels = [attributes.get("aria-label", "") for _, attributes, _ in page.elements]
    assert any(label.startswith("8 latents: ") and label.endswith(", recommended") for label in labels)


def test_without_the_plotting_library_the_tables_are_open(monkeypatch, written, corpus, vocabulary, evidence):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    found, text = written(corpus, vocabulary=vocabulary, evidence=evidence)
    page = Page(text)
    assert not page.all("svg")
    assert len([e for e in page.all("details") if "open" in e[1]]) == 5
    assert found.missing[-1] == NO_PICTURES


def test_a_students_record_is_shown_and_a_broken_one_refused(written, corpus, vocabulary, tmp_path):
    # The last line, the Trainer's, is of the steps since a stopped run went on.
    lines = [(4, 0.5, 800.0), (6, 0.125, 100.0), (7, 0.25, 100.0)]
    names = ("step", "loss", "base_tokens")
    log = [dict(zip(names, line, strict=True)) | {"base_tokens_per_second": 50.0} for line in lines]
    log += [{"step": 6, "eval_latent_use": None}, {"step": 7, "train_loss": 9.5, "train_runtime": 2.5}]
    record = {"steps": 7, "log": log, "options": {"lora_rank": 16, "seed": None}}
    file = tmp_path / "distillation.json"
    file.write_text(json.dumps(record))
    page = Page(written(corpus, vocabulary=vocabulary, student=tmp_path)[1])
    [section] = page.all("section", **{"aria-labelledby": "student"})
    assert "7 steps" in section[2]
    found = student_record.read(tmp_path)["values"]
    assert found == {
        "mean loss of the training": 2.5 / 7,
        "seconds of training, without evaluations": 20.0,
    }
    assert "0.3571" in section[2]
    log += [{"step": 6, "eval_bits_per_byte": 0.5}, {"step": 7, "eval_bits_per_byte": 0.75}]
    for kept, bits in (({}, 0.75), ({"kept": {"step": 6, "bits_per_byte": 0.5}}, 0.5)):
        file.write_text(json.dumps({**record, **kept}))
        assert (
            student_record.read(tmp_path)["values"]["held-out bits for each byte of the agent's text"] == bits
        )
    assert "lora_rank" in section[2]
    assert "seed" not in section[2]
    for broken in ("[1", '{"log": [3]}', '{"options": []}', '{"kept": 3}', '{"log": 1}', "[]"):
        file.write_text(broken)
        with pytest.raises(OptionError, match=r"distillation\.json: no record"):
            written(corpus, vocabulary=vocabulary, student=tmp_path)


@pytest.mark.parametrize("lacking", ["base_tokens", "base_tokens_per_second"])
@pytest.mark.parametrize("lines", ["all", "one"])
def test_a_loss_is_shown_where_the_log_has_no_tokens_and_then_no_time(tmp_path, lacking, lines):
    log = [
        {"step": step, "loss": loss, "base_tokens": 800.0, "base_tokens_per_second": 50.0}
        for step, loss in ((4, 0.5), (6, 0.125), (7, 0.25))
    ]
    for line in log if lines == "all" else log[1:2]:
        del line[lacking]
    (tmp_path / "distillation.json").write_text(json.dumps({"steps": 7, "log": log}))
    assert student_record.read(tmp_path)["values"] == {"mean loss of the training": 2.5 / 7}


@pytest.mark.parametrize("decode_only", [False, True])
def test_a_student_that_reads_base_tokens_is_named_in_the_page(written, corpus, vocabulary, decode_only):
    counts = {**lar.evaluate(corpus, vocabulary).to_dict(), "decode_only": decode_only}
    evidence = Evidence(evaluation=EvaluationFile.model_validate(counts))
    page = Page(written(corpus, vocabulary=vocabulary, evidence=evidence)[1])
    [section] = page.all("section", **{"aria-labelledby": "evaluation"})
    assert ("reads base tokens (decode_only)" in section[2]) is decode_only


def test_the_same_input_gives_the_same_bytes(written, corpus, vocabulary, evidence):
    assert (
        written(corpus, vocabulary=vocabulary, evidence=evidence)[1]
        == (written(corpus, vocabulary=vocabulary, evidence=evidence)[1])
    )


def test_only_a_report_is_replaced(tmp_path, corpus, vocabulary):
    other = tmp_path / "notes.html"
    other.write_text("<p>mine</p>")
    for place in (other, tmp_path):
        with pytest.raises(OptionError):
            lar.report(corpus, place, vocabulary=vocabulary)
    assert other.read_text() == "<p>mine</p>"
    assert list(tmp_path.iterdir()) == [other]


def test_a_vocabulary_is_mined_on_a_part_of_the_tasks_where_none_is_given(written, corpus):
    found, text = written(corpus, size=8)
    assert "They were mined for this report." in text
    assert "tasks that were not mined" in text
    assert any(one.command.startswith("lar mine") for one in found.missing)


def test_of_a_sample_the_size_is_the_one_that_an_estimate_recommends(tokenizer, monkeypatch):
    sizes = (4, 8, 16, 32)
    monkeypatch.setattr(sys.modules["lar.mining.mine"], "SIZES", sizes)
    corpus = Corpus.build(toy.trajectories(100), tokenizer, hold_out=0.2)
    most = corpus.training.num_tokens // 3
    sample = sampled(corpus.training, most)
    of_sample, of_all = set(), set()
    for learnable in (10, 20, 40, 60, 80):
        monkeypatch.setattr("lar.vocabulary.learnable.LEARNABLE", learnable)
        found = _mined({"logs": corpus}, most, None, silent)
        expected = estimated(corpus, sizes=sizes, splits=1, most_tokens=most, probes=False).recommended
        assert found.mining["size"] == expected.size
        of_all.add((learnable, found.mining["size"]))
        of_sample.add((learnable, lar.mine(sample).mining["size"]))
    assert of_all != of_sample  # the uses of the sample alone would give another size


@pytest.mark.parametrize("tasks", [1, 2])
def test_where_tasks_are_too_few_to_hold_some_out_all_are_mined(written, tokenizer, tmp_path, tasks):
    few = Corpus.build(toy.trajectories(24)[:tasks], tokenizer, tmp_path / "few")
    assert len(few.tasks) == tasks
    found, text = written(few, size=4)
    assert "latents" in found.sections
    assert "tasks that were not mined" not in text


def test_a_number_of_latents_beside_a_vocabulary_is_refused(written, corpus, vocabulary):
    with pytest.raises(OptionError, match="its own number"):
        written(corpus, vocabulary=vocabulary, size=8)


def test_several_corpora_need_a_vocabulary_and_its_tokenizer(written, corpus, vocabulary, tmp_path):
    with pytest.raises(OptionError, match="needs a vocabulary"):
        written({"a": corpus, "b": corpus})
    _, text = written({"a": corpus, "b": corpus}, vocabulary=vocabulary)
    assert "What latents save: a, b" in text
    other = Corpus.build(toy.trajectories(3), toy.tokenizer(size=300), tmp_path / "other")
    with pytest.raises(CorpusError, match="tokenizer"):
        written({"a": corpus, "b": other}, vocabulary=vocabulary)


def test_the_split_of_the_corpus_is_obeyed_and_named(written, tokenizer, tmp_path):
    whole = Corpus.build(toy.trajectories(40), tokenizer, tmp_path / "split", hold_out=0.3, split_seed=5)
    held = whole.held_out
    vocabulary = lar.mine(whole, size=8)
    found = measure({"toy": whole}, vocabulary, silent, frozenset(held.tasks))
    assert found.tasks == held.tasks
    text = written(whole, vocabulary=vocabulary)[1]
    assert "hold out 0.3, seed 5" in text
    assert f"{len(held.tasks)} tasks that were not mined" in text
    assert f"{len(held.tasks)} tasks that were not mined" in written(whole, size=8)[1]
    with pytest.raises(CorpusError, match="was mined on"):
        written(whole, vocabulary=lar.mine(held, size=8))


def test_a_large_corpus_is_sampled_and_the_page_states_it(written, corpus, vocabulary):
    _, text = written(corpus, vocabulary=vocabulary, most_tokens=corpus.num_tokens // 2)
    assert f"of {corpus.num_tokens:,} tokens" in text


def test_a_sample_of_few_tasks_has_some_that_are_held_out(written, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr("lar.corpus.task_sample.FEWEST", 1)
    whole = Corpus.build(toy.trajectories(40), tokenizer, tmp_path / "split", hold_out=0.1)
    assert not sampled(whole, 1).tasks & whole.held_out.tasks
    text = written(whole, vocabulary=lar.mine(whole, size=8), most_tokens=1)[1]
    assert "measured on 1 tasks that were not mined" in text


@pytest.mark.parametrize(("share", "number"), [(0.0, 10), (1.0, 100), (0.5, 7), (0.9, 100)])
def test_the_interval_of_success_holds_the_share_and_lies_in_0_to_1(share, number):
    low, high = wilson(share, number)
    assert 0 <= low <= share <= high <= 1
    # Wilson's bounds are the shares from which the measured one is 1.96 standard errors away.
    for bound in (low, high):
        if 0 < bound < 1:
            assert abs(share - bound) == pytest.approx(1.96 * (bound * (1 - bound) / number) ** 0.5)


def test_a_browser_shows_it_without_an_error_or_a_request(written, hostile, evidence, tmp_path):
    """A real headless Chromium: LAR_CHROMIUM names its program."""
    browser = os.environ.get("LAR_CHROMIUM")
    if not browser:
        pytest.skip("needs a browser: set LAR_CHROMIUM to a headless Chromium")
    written(hostile, evidence=evidence)
    net = tmp_path / "net.json"
    arguments = ["--headless", "--no-sandbox", "--enable-logging=stderr", f"--log-net-log={net}"]
    arguments += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom"]
    address = (tmp_path / "report.html").as_uri()
    done = subprocess.run(
        [browser, *arguments, address], capture_output=True, text=True, timeout=120, check=True
    )
    assert "CONSOLE" not in done.stderr
    assert re.search(r">\d+ of \d+ shown<", done.stdout)  # the script has run
    requested = {event.get("params", {}).get("url", "") for event in json.loads(net.read_text())["events"]}
    assert not [url for url in requested if url.startswith("http")]
