"""Read an export back in a process of its own, and compare it with the student.

    python -m lar.serving.export.self_check EXPORT [--reference FILE]

Only the folder is used, through transformers' own loaders, and nothing of the process that wrote it.
It runs in any environment that has `lar` and transformers, so an export can be checked against the very
version that will serve it. Prints one JSON object; an export that fails ends with one line and code 2.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lar.errors import EngineError, ExportError, LarError
from lar.models.compatibility import quiet_peft
from lar.serving.export.ordinary_text import check_ordinary_text
from lar.tokenizer.probes import TOOL
from lar.tokenizer.token_bytes import CONTEXT, decodes_to
from lar.trajectories.schema import Tool
from lar.utils.result_files import EXPORT_FILE
from lar.vocabulary.vocabulary import LatentVocabulary

# In an export; a student has its vocabulary in another folder (`lar.distillation.files`).
EXPORTED_VOCABULARY = "latent_vocabulary"
ADAPTER_FOLDER = "adapter"
OLDEST_TRANSFORMERS = (4, 57)

# The largest difference of logits from the student's, as a share of their spread over the compared columns.
TOLERANCES = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.01}

_SYSTEM = {"role": "system", "content": "Be brief."}
_QUESTION = {"role": "user", "content": "What is there to do?"}
_NEUTRAL = "Nothing."
Encode = Callable[[Sequence[dict[str, str]], bool], list[int]]


def main() -> None:
    """The command line of the check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("export", type=Path)
    parser.add_argument("--reference", type=Path, help="the student's logits, as `lar export` wrote them")
    options = parser.parse_args()
    try:
        print(json.dumps(self_check(options.export, options.reference)))  # noqa: T201 (a program)
    except (LarError, OSError) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        sys.exit(2)


def self_check(folder: Path, reference: Path | None = None) -> dict[str, Any]:
    """The figures of a checked export: of its tokenizer and, with a reference, of its weights.

    Raises:
        ExportError: a check fails; the message has the folder and the first fault.
    """
    check_version()
    record = _record(folder)
    vocabulary = LatentVocabulary.load(folder / EXPORTED_VOCABULARY)
    report = check_tokenizer(folder, vocabulary, decode_only=record["decode_only"])
    if reference is not None:
        report |= check_weights(folder, vocabulary, reference, record)
    return report


def check_version() -> None:
    """Raise EngineError if transformers is older than the oldest version that reads exports."""
    import transformers

    version = transformers.__version__
    if tuple(map(int, version.split(".")[:2])) < OLDEST_TRANSFORMERS:
        oldest = ".".join(map(str, OLDEST_TRANSFORMERS))
        raise EngineError(f"transformers {version} is too old for an export: {oldest} or newer is needed")


def check_tokenizer(folder: Path, vocabulary: LatentVocabulary, *, decode_only: bool) -> dict[str, Any]:
    """Figures of the tokenizer, after checks of its length, its latents, ordinary text and the template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    expected = vocabulary.base_size + len(vocabulary)
    if len(tokenizer) != expected:
        raise ExportError(
            f"{folder}: its tokenizer has {len(tokenizer)} ids, not {expected}: latents are missing "
            "or there are other ids (was it saved again by another version? export again)"
        )
    context = tokenizer.encode(CONTEXT, add_special_tokens=False)
    before = tokenizer.decode(context)
    for index, latent in enumerate(vocabulary.latents):
        within, alone = tokenizer.decode([*context, latent.id]), tokenizer.decode([latent.id])
        within = within.removeprefix(before)
        if not decodes_to(latent.text, within, alone):
            raise ExportError(
                f"{folder}: latent {index} decodes to {within!r} within a text and to {alone!r} alone, "
                f"not to {latent.text!r}"
            )
        ids = tokenizer.encode(latent.text, add_special_tokens=False)
        if not decode_only and ids != [latent.id]:
            raise ExportError(f"{folder}: latent {index} ({latent.text!r}) is encoded as {ids[:8]}")
        if decode_only and latent.id in ids:
            raise ExportError(
                f"{folder}: latent {index} ({latent.text!r}) is encoded, but was to be decoded only"
            )
    check_ordinary_text(folder, tokenizer, [latent.text for latent in vocabulary.latents])
    report = {"ids": expected, "latents": len(vocabulary)}
    encoders = [_encoder(folder, tokenizer, tools) for tools in _offers(tokenizer.chat_template)]
    kept = [_check_template(folder, encode, vocabulary) for encode in encoders]
    return report | ({"prefixes_kept": [name for name in kept[0] if name in kept[-1]]} if kept else {})


def _offers(templates: str | dict[str, str] | None) -> Iterator[list[Tool] | None]:
    """Yield the tools of conversations, so that each template is taken that serving takes."""
    if isinstance(templates, str) or "default" in (templates or {}):
        yield None
    if isinstance(templates, dict) and "tool_use" in templates:
        yield [TOOL]


def _encoder(folder: Path, tokenizer: Any, tools: list[Tool] | None) -> Encode:
    """A function from messages to ids; a system message is in front where the template needs one."""

    def rendered(messages: Sequence[dict[str, str]], prompt: bool) -> str:
        text: str = tokenizer.apply_chat_template(
            list(messages), tools=tools, tokenize=False, add_generation_prompt=prompt
        )
        return text

    def refusal(lead: list[dict[str, str]]) -> str | None:
        try:
            rendered([*lead, _QUESTION, _answer(_NEUTRAL), _QUESTION], True)
        except Exception as error:  # a template is a program: it can fail in any way that Python can
            return str(error) or type(error).__name__
        return None

    first, second = refusal([]), refusal([_SYSTEM])
    if first is not None and second is not None:
        raise ExportError(f"{folder}: its chat template refuses a question after an answer: {first}")
    lead = [] if first is None else [_SYSTEM]

    def encode(messages: Sequence[dict[str, str]], prompt: bool) -> list[int]:
        text = rendered([*lead, *messages], prompt)
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids

    return encode


def _check_template(folder: Path, encode: Encode, vocabulary: LatentVocabulary) -> list[str]:
    """Check that later ids begin with earlier ones, whatever latents a reply has: prefix caches need that.

    `prompt`: a prompt's ids begin those of the conversation with the reply. `history`: the ids of a finished
    turn begin those of the next prompt. A template that rewrites earlier turns (Qwen3 removes their
    reasoning) breaks the second even without latents; it is then absent.
    """
    kept = [name for name, keeps in _PREFIXES.items() if keeps(encode, _NEUTRAL)]
    for index, latent in enumerate(vocabulary.latents):
        for reply in (latent.text, f"{_NEUTRAL}{latent.text}"):
            if not all(_PREFIXES[name](encode, reply) for name in kept):
                raise ExportError(
                    f"{folder}: with a reply of {reply!r} (latent {index}) the prompt's ids no longer begin "
                    "the conversation's: mine with the engine gates"
                )
    return kept


def _prompt_is_prefix(encode: Encode, reply: str) -> bool:
    prompt = encode([_QUESTION], True)
    return encode([_QUESTION, _answer(reply)], False)[: len(prompt)] == prompt


def _history_is_prefix(encode: Encode, reply: str) -> bool:
    turn = encode([_QUESTION, _answer(reply)], False)
    return encode([_QUESTION, _answer(reply), _QUESTION], True)[: len(turn)] == turn


def _answer(reply: str) -> dict[str, str]:
    return {"role": "assistant", "content": reply}


_PREFIXES = {"prompt": _prompt_is_prefix, "history": _history_is_prefix}


def check_weights(
    folder: Path, vocabulary: LatentVocabulary, reference: Path, record: dict[str, Any]
) -> dict[str, Any]:
    """Figures of the model in float32, after checks: rows are equal bit for bit, logits within rounding."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    expected = load_file(reference)
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32, local_files_only=True)
    if record["form"] == "lora":
        from peft import PeftModel

        with quiet_peft():
            model = PeftModel.from_pretrained(model, str(folder / ADAPTER_FOLDER), local_files_only=True)
    model.eval()
    end = vocabulary.base_size + len(vocabulary)
    head = model.get_output_embeddings().weight[vocabulary.base_size : end]
    # Few families keep their head in float32, whatever the dtype of the export.
    if len(vocabulary) and not torch.equal(head.to(expected["output_rows"].dtype), expected["output_rows"]):
        raise ExportError(
            f"{folder}: the latents' rows are not the student's (tied or resized by the loader?)"
        )
    with torch.no_grad():
        found = torch.cat([model(row[None]).logits[..., expected["columns"]] for row in expected["ids"]])
    difference = _difference(found, expected["logits"])
    if not difference <= TOLERANCES[record["dtype"]]:
        raise ExportError(
            f"{folder}: its logits differ from the student's by {difference:.1%} of their spread, more than "
            f"{TOLERANCES[record['dtype']]:.1%} ({record['dtype']}): the weights are not the student's"
            f"{'' if record['dtype'] == 'float32' else ', or cannot be rounded so much (--dtype float32)'}"
        )
    agreement = (found.argmax(-1) == expected["logits"].argmax(-1)).float().mean()
    return {"logits_difference": round(difference, 6), "same_likeliest": round(float(agreement), 4)}


def _difference(found: Any, expected: Any) -> float:
    """The largest root mean square error of a column, over the root mean square spread of all logits."""
    errors = (found - expected).flatten(0, 1).pow(2).mean(0).sqrt()
    spread = expected.flatten(0, 1).std(dim=-1).pow(2).mean().sqrt()
    return float(errors.max() / spread)


def _record(folder: Path) -> dict[str, Any]:
    file = folder / EXPORT_FILE
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ExportError(f"{folder}: not an export (a folder that `lar export` has written)") from None
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{file}: not JSON: {error}") from None
    return record


if __name__ == "__main__":
    main()
