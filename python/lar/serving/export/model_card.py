"""The README.md of an export: description, how to serve it, savings of its latents, licences."""

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from huggingface_hub import ModelCard, ModelCardData

from lar.serving.export.self_check import EXPORTED_VOCABULARY
from lar.serving.export.serve_flags import lora_flags
from lar.tokenizer.generation_prompt import THINKING_SWITCH, has_thinking_switch
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.tool_call_opener import tool_call_opener
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary

CARD_FILE = "README.md"
_SHOWN = 20

_LICENCE_FIELDS = ("license", "license_name", "license_link")

_TEXT = """---
{metadata}
---

# {title}

{what}

## Serving
{serving}

{latents}## Licences
{notes}
"""

_STUDENT = """\
A causal language model that writes {number} further tokens besides its own: **latents**, each of which
replaces a segment of text that its agent writes again and again. {tokenizer} It was made with `lar`
(Latent Action Reparameterization, arXiv 2605.18597)."""
_CONTROL = """\
The control of a student of `lar` (Latent Action Reparameterization, arXiv 2605.18597): a causal language
model that was trained on an agent's runs without latents. {split}"""
_LATENTS = """\
`usage` counts a latent as one token, and so do `max_tokens` and logprobs. Where a stop string lies inside
a latent, vLLM ends the text there; transformers stops after the latent. To forbid latents in a single
request, see `lar.serving`.

## The vocabulary
{mining}

The {shown} latents that save the most where they were mined:

| id | text | base tokens | uses | units saved |
|---|---|---|---|---|
{table}

All of them are in `{vocabulary}/latent_vocabulary.json`.

"""

_MERGED = """    vllm serve {folder}{parser}
    transformers serve {folder}"""
_LORA = """The folder is the base with the latents' rows, `adapter/` a plain LoRA; alone, the base has
the latents as tokens but was not trained to use them.

    vllm serve {folder}{parser} {lora}"""
# Of calls as `<tool_call>` with a JSON object; for those of other families vLLM has other parsers.
_HERMES = " --enable-auto-tool-choice --tool-call-parser hermes"
_OTHER_CALLS = """

For tool calls, add `--enable-auto-tool-choice` and the `--tool-call-parser` of the base's family."""
_LEFT_ALONE = f"""

Requests must not set `{THINKING_SWITCH}`: the model has learnt to answer the prompts that the template
gives without it."""


def write_model_card(
    folder: Path,
    vocabulary: LatentVocabulary,
    record: dict[str, Any],
    base: Path,
    tokenizer: Tokenizer,
) -> None:
    """Write README.md into an export; `vocabulary` has its ids, `tokenizer` its template.

    `base` is the folder whose name and licence it has.
    """
    licence = _licence(base)
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["latent-action-reparameterization"],
        **licence,
    )
    text = _TEXT.format(
        metadata=metadata.to_yaml(),
        title=f"{base.resolve().name} with {len(vocabulary)} latents"
        if len(vocabulary)
        else base.resolve().name,
        what=_what(vocabulary, record),
        serving=_serving(folder, record["form"], tokenizer),
        latents=_latents(vocabulary, record) if len(vocabulary) else "",
        notes=_licence_note(licence.get("license_name") or licence.get("license"), vocabulary),
    )
    (folder / CARD_FILE).write_text(text, encoding="utf-8")


def _what(vocabulary: LatentVocabulary, record: dict[str, Any]) -> str:
    """What the model is: a student, or a control, which has no latents."""
    if len(vocabulary):
        return _STUDENT.format(number=len(vocabulary), tokenizer=_tokenizer_note(record["decode_only"]))
    return _CONTROL.format(split=_split_note(record.get("split"), None)).rstrip()


def _latents(vocabulary: LatentVocabulary, record: dict[str, Any]) -> str:
    """What latents are in serving, how they were mined, and which of them save the most."""
    best = sorted(vocabulary.latents, key=lambda latent: latent.saving, reverse=True)[:_SHOWN]
    notes = [_mining_note(vocabulary), _split_note(record.get("split"), vocabulary.mining.get("split"))]
    return _LATENTS.format(
        mining=" ".join(filter(None, notes)),
        shown=len(best),
        table="\n".join(_row(latent) for latent in best),
        vocabulary=EXPORTED_VOCABULARY,
    )


def _serving(folder: Path, form: str, tokenizer: Tokenizer) -> str:
    """How to serve an export with the template of `tokenizer`."""
    template = tokenizer.template_for(tools=True) or ""
    opener = tool_call_opener(tokenizer) if "tool_calls" in template else ""
    is_hermes = opener.startswith("<tool_call>") and "{" in opener and "<tool_call>" in template
    lora = " ".join(lora_flags(folder, "FOLDER")) if form == "lora" else ""
    text = (_LORA if lora else _MERGED).format(
        folder="FOLDER", parser=_HERMES if is_hermes else "", lora=lora
    )
    left_alone = _LEFT_ALONE if has_thinking_switch(tokenizer) else ""
    return text + ("" if is_hermes or not opener else _OTHER_CALLS) + left_alone


def _tokenizer_note(decode_only: bool) -> str:
    if decode_only:
        return "Its tokenizer decodes a latent to its text and encodes every text as the base's does."
    return (
        "Its tokenizer encodes that text to the latent and decodes the latent to the text, so prompts with "
        "such text are shorter too."
    )


def _mining_note(vocabulary: LatentVocabulary) -> str:
    mining = vocabulary.mining
    parts = []
    if "action_tokens" in mining:
        parts.append(
            f"Mined from {mining['trajectories']:,} trajectories of {mining['tasks']:,} tasks "
            f"({mining['action_tokens']:,} tokens of the agent)"
        )
    saved = sum(latent.saving for latent in vocabulary.latents)
    if parts and mining["action_tokens"]:
        parts.append(
            f"there the latents save {saved / mining['action_tokens']:.1%} of the agent's tokens, counted in"
            " tokens (an engine finds latents in text, which can differ a little)"
        )
    return "; ".join(parts) + "." if parts else "How it was mined is not recorded."


def _split_note(split: dict[str, Any] | None, mined: dict[str, Any] | None) -> str:
    """What was held out in training, and whether in mining too."""
    if split is None:
        return ""
    stages = "mining and training" if split == mined else "training"
    return f"A share of {split['hold_out']:g} of the tasks (seed {split['seed']}) was held out in {stages}."


def _row(latent: Latent) -> str:
    # Line ends of all kinds and other control characters would break the table.
    escaped = latent.text.replace("\\", "\\\\").replace("|", "\\|")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in escaped)
    return f"| {latent.id} | `` {text} `` | {len(latent.tokens)} | {latent.uses} | {latent.saving} |"


def _licence(source: Path) -> dict[str, Any]:
    """The licence fields of the base's model card; empty without a readable card."""
    card = source / CARD_FILE
    if not card.is_file():
        return {}
    try:
        found = ModelCard.load(card, ignore_metadata_errors=True).data
    except (ValueError, TypeError, yaml.YAMLError):
        return {}
    return {name: found[name] for name in _LICENCE_FIELDS if found.get(name)}


def _licence_note(name: Any, vocabulary: LatentVocabulary) -> str:
    named = f"({name})" if name else "(not named beside its tokenizer)"
    holds = f"The base model's licence {named} holds for these weights too."
    if not len(vocabulary):
        return f"{holds} They have learnt from trajectories: before you publish them, check that you may."
    return (
        f"{holds} The latents' texts are copied word for word from the trajectories that they were mined "
        "from. Before you publish this folder, check that those may be published, and that no text in the "
        "table or the vocabulary is private."
    )
