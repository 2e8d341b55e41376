"""A name on a model hub is told how to download it, wherever a folder of a model or a tokenizer is wanted."""

import pytest

from lar.errors import TokenizerError, TrainingError
from lar.models.causal_lm import load_model
from lar.tokenizer import Tokenizer

NAMES = [("Qwen/Qwen3-8B", True), ("a/b.c_d", True), ("Qwen3-8B", False), ("a/b/c", False), ("../b", False)]


@pytest.mark.parametrize(("name", "is_on_a_hub"), NAMES)
@pytest.mark.parametrize(("load", "error"), [(Tokenizer.load, TokenizerError), (load_model, TrainingError)])
def test_it_is_told_how_to_download_it(tmp_path, monkeypatch, load, error, name, is_on_a_hub):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        load(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert (f"hf download {name} " in str(caught.value)) == is_on_a_hub
