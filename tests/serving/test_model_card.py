"""The README.md of an export: metadata that the Hub reads, the latents' texts, the base's licence."""

import itertools
import json
from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from lar.cli.next_step import after_export
from lar.serving.export.inputs import card_folder
from lar.serving.export.model_card import write_model_card
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import toy

RECORD = {"decode_only": False, "form": "merged"}
HERMES = "vllm serve FOLDER --enable-auto-tool-choice --tool-call-parser hermes\n"


@pytest.fixture
def base(tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    return folder


def card_of(base, vocabulary, template=None, form="merged"):
    exported = vocabulary.tokenizer if template is None else toy.tokenizer(template)
    write_model_card(base.parent, vocabulary, RECORD | {"form": form}, base, exported)
    return ModelCard.load(base.parent / "README.md")


def test_the_metadata_is_what_the_hub_reads(base, vocabulary):
    card = card_of(base, vocabulary)
    assert card.data.to_dict() == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["latent-action-reparameterization"],
    }
    assert f"# base with {len(vocabulary)} latents" in card.text
    assert "(not named beside its tokenizer)" in card.text
    assert "% of the agent's tokens, counted in tokens (an engine finds latents in text" in card.text
    rows = [line for line in card.text.splitlines() if line.startswith("| ") and "`` " in line]
    assert len(rows) == min(20, len(vocabulary))


def test_the_latents_that_save_most_come_first_and_their_saving_is_the_share_of_the_agents_tokens(
    base, vocabulary
):
    latents = tuple(
        replace(latent, uses=1 + 7 * place % 5) for place, latent in enumerate(vocabulary.latents)
    )
    saved = sum(latent.uses * (len(latent.tokens) - 1) for latent in latents)
    mining = {**vocabulary.mining, "action_tokens": 4 * saved}
    text = card_of(base, replace(vocabulary, latents=latents, mining=mining)).text
    assert "the latents save 25.0% of the agent's tokens" in text
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if "| `` " in line]
    assert [int(row[-1]) for row in rows] == sorted((latent.saving for latent in latents), reverse=True)[:20]


@pytest.mark.parametrize(("mined", "stages"), [(0.3, "mining and training"), (None, "training")])
def test_what_was_held_out_is_told_with_the_stages_that_held_it_out(base, vocabulary, mined, stages):
    split = {"hold_out": 0.3, "seed": 5}
    mining = {**vocabulary.mining, "split": mined and split}
    record = {**RECORD, "split": split}
    write_model_card(base.parent, replace(vocabulary, mining=mining), record, base, vocabulary.tokenizer)
    text = (base.parent / "README.md").read_text(encoding="utf-8")
    assert f"A share of 0.3 of the tasks (seed 5) was held out in {stages}." in text


def test_the_card_of_a_control_is_silent_about_latents(base, vocabulary):
    record = {**RECORD, "split": {"hold_out": 0.3, "seed": 5}}
    control = LatentVocabulary((), vocabulary.tokenizer)
    write_model_card(base.parent, control, record, base, vocabulary.tokenizer)
    text = (base.parent / "README.md").read_text(encoding="utf-8")
    body = text.partition("\n# base\n")[2]
    assert "trained on an agent's runs without latents. A share of 0.3 of the tasks" in body
    assert body.count("latent") == 1
    assert HERMES in body
    assert "\n\n\n" not in text


def test_a_text_cannot_break_the_table(base, vocabulary):
    odd = replace(vocabulary.latents[0], text="a|b\n{x} {{ y }}\\\r\x85\u2028\t é", uses=10**6)
    text = card_of(base, replace(vocabulary, latents=(odd, *vocabulary.latents[1:]))).text
    assert "`` a\\|b\\n{x} {{ y }}\\\\\\r\\x85\\u2028\\t é ``" in text


def test_the_parser_of_tool_calls_is_named_where_it_fits_the_template(base, vocabulary):
    assert HERMES in card_of(base, vocabulary).text
    xml = toy.CHATML.replace('<tool_call>\n{"name": "', "<function=")
    other = card_of(base, vocabulary, xml).text
    assert "hermes" not in other
    assert "the `--tool-call-parser` of the base's family" in other
    without_calls = card_of(base, vocabulary, "{% for m in messages %}{{ m.content }}{% endfor %}").text
    assert "parser" not in without_calls


def test_a_switch_of_the_template_is_to_be_left_alone(base, vocabulary):
    assert "enable_thinking" not in card_of(base, vocabulary).text
    switched = (
        toy.CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    )
    assert "Requests must not set `enable_thinking`" in card_of(base, vocabulary, switched).text


@pytest.mark.parametrize(
    ("config", "flag"),
    [
        ({"r": 16}, ""),
        ({"r": 17}, " --max-lora-rank 32"),
        ({"r": 8, "rank_pattern": {"q_proj": 100}}, " --max-lora-rank 128"),
        ({"r": 256, "rank_pattern": {}}, " --max-lora-rank 256"),
    ],
)
def test_a_lora_of_a_high_rank_needs_a_flag(base, vocabulary, config, flag):
    adapter = base.parent / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    text = card_of(base, vocabulary, form="lora").text
    assert f"--enable-lora --lora-modules student=FOLDER/adapter{flag}\n" in text
    (serve,) = after_export(base.parent, lora=True, gguf=False)
    assert " ".join(map(str, serve)).endswith(f"student={adapter}{flag}")


@pytest.mark.parametrize(
    ("metadata", "licence", "named"),
    [
        ("license: apache-2.0  # see below\nlanguage: en", {"license": "apache-2.0"}, "(apache-2.0)"),
        (
            "license: other\nlicense_name: qwen\nlicense_link: https://example.org/licence",
            {"license": "other", "license_name": "qwen", "license_link": "https://example.org/licence"},
            "(qwen)",
        ),
        ("license:", {}, "(not named"),
        ("- license: mit", {}, "(not named"),
        ("license: [", {}, "(not named"),
        ("1: 2", {}, "(not named"),
    ],
)
def test_the_licence_is_the_bases(base, vocabulary, metadata, licence, named):
    (base / "README.md").write_text(f"---\n{metadata}\n---\n\n# A model\nlicense: mit\n")
    card = card_of(base, vocabulary)
    found = card.data.to_dict()
    assert {name: value for name, value in found.items() if name.startswith("license")} == licence
    assert named in card.text


def adapted(folder, base, *, merged):
    """A folder as `lar adapt` writes it, as far as it is of interest here."""
    folder.mkdir()
    (folder / "tokenizer.json").touch()
    (folder / "adaptation.json").write_text(json.dumps({"merged": merged, "model": str(base)}))
    if not merged:
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    return folder


@pytest.mark.parametrize("kinds", list(itertools.product([True, False], repeat=2)))
def test_title_and_licence_are_the_bases_through_adaptations(base, kinds, vocabulary):
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    teacher = base
    for index, merged in enumerate(kinds):
        teacher = adapted(base.parent / f"adapted-{index}", teacher, merged=merged)
    assert card_folder(teacher, teacher) == base
    card = card_of(card_folder(teacher, teacher), vocabulary)
    assert card.data.license == "apache-2.0"
    assert f"# base with {len(vocabulary)} latents" in card.text
    (teacher / "README.md").write_text("---\nlicense: mit\n---\n")
    assert card_folder(teacher, teacher) == teacher


@pytest.mark.parametrize("record", [{}, {"model": None}, {"model": "/nowhere/at-all"}, {"model": "."}])
def test_where_the_base_is_not_known_the_card_is_the_teachers(base, record, monkeypatch):
    (base / "adaptation.json").write_text(json.dumps(record))
    monkeypatch.chdir(base)
    assert card_folder(base, base).samefile(base)


@pytest.mark.parametrize("content", [b"# A model\n", b"", b"---\n\xff\n---\n"])
def test_a_card_without_readable_metadata_names_no_licence(base, vocabulary, content):
    (base / "README.md").write_bytes(content)
    assert "license" not in card_of(base, vocabulary).data.to_dict()
