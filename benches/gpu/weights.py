"""Model weights for a pack: a GGUF with one matrix for embedding and head, and its checkpoint."""

import shutil
from pathlib import Path

EMBEDDING, HEAD = "token_embd.weight", "output.weight"


def tied(source: Path, target: Path) -> None:
    """Copy a GGUF; if it has a head, the head replaces the embedding.

    The tokenizer's words and merges are left out, because its files are packed separately.
    """
    import gguf

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for entry in reader.fields.values():
        if not entry.name.startswith(("GGUF.", "general.architecture", "tokenizer.")):
            of_list = entry.types[-1] if entry.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(entry.name, entry.contents(), entry.types[0], sub_type=of_list)
    has_head = any(tensor.name == HEAD for tensor in reader.tensors)
    for tensor in reader.tensors:
        if not (has_head and tensor.name == EMBEDDING):
            name = EMBEDDING if tensor.name == HEAD else tensor.name
            writer.add_tensor(name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_companions(model: Path, folder: Path) -> None:
    """Write the tokenizer and configuration of a GGUF or a checkpoint folder into a folder."""
    from transformers import AutoConfig, AutoTokenizer

    where, keywords = (model, {}) if model.is_dir() else (model.parent, {"gguf_file": model.name})
    AutoTokenizer.from_pretrained(str(where), **keywords).save_pretrained(folder)
    config = AutoConfig.from_pretrained(str(where), **keywords)
    config.save_pretrained(folder)


def write_checkpoint(weights: Path, companions: Path, folder: Path) -> None:
    """Write a checkpoint folder from a GGUF or safetensors file and its companion files.

    Embedding and head of a GGUF are one matrix (`tied`). Its weights become bfloat16.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(companions, partial)
    if weights.suffix == ".gguf":
        _convert(weights, partial)
    else:
        shutil.move(weights, partial / "model.safetensors")
    partial.rename(folder)


def _convert(weights: Path, folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(folder))
    config.tie_word_embeddings = True
    loaded = AutoModelForCausalLM.from_pretrained(
        str(weights.parent), gguf_file=weights.name, config=config, dtype=torch.bfloat16
    )
    # transformers refuses to save the loaded model as quantized, so its weights go into a plain one.
    config.dtype = "bfloat16"
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(folder)
