"""The README.md of an export: metadata that the Hub reads, the latents' texts, the base's licence."""

from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from lar.serving.export.model_card import write_model_card

RECORD = {"decode_only": False, "form": "merged"}


@pytest.fixture
def base(tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    return folder


def card_of(base, vocabulary):
    write_model_card(base.parent, vocabulary, RECORD, base)
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
    rows = [line for line in card.text.splitlines() if line.startswith("| ") and "`` " in line]
    assert len(rows) == min(20, len(vocabulary))


def test_a_text_cannot_break_the_table(base, vocabulary):
    odd = replace(vocabulary.latents[0], text="a|b\n{x} {{ y }}\\", uses=10**6)
    text = card_of(base, replace(vocabulary, latents=(odd, *vocabulary.latents[1:]))).text
    assert "`` a\\|b\\n{x} {{ y }}\\\\ ``" in text


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


@pytest.mark.parametrize("content", [b"# A model\n", b"", b"---\n\xff\n---\n"])
def test_a_card_without_readable_metadata_names_no_licence(base, vocabulary, content):
    (base / "README.md").write_bytes(content)
    assert "license" not in card_of(base, vocabulary).data.to_dict()
