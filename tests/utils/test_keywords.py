"""Options as an object and as keywords: one set of names and types, and one rule for both together."""

import typing
from dataclasses import fields

import pytest

from lar.distillation.keywords import AdaptKeywords, DistillKeywords
from lar.distillation.options import AdaptOptions, DistillOptions
from lar.errors import OptionError
from lar.mining.options import MiningKeywords, MiningOptions
from lar.serving.export.options import ExportKeywords, ExportOptions
from lar.utils.keywords import merge_options


def test_keywords_are_the_fields_of_their_options():
    pairs = [
        (MiningKeywords, MiningOptions, {"size"}),  # an argument of its own
        (AdaptKeywords, AdaptOptions, set()),
        (DistillKeywords, DistillOptions, set()),
        (ExportKeywords, ExportOptions, set()),
    ]
    for keywords, options, apart in pairs:
        hints = typing.get_type_hints(options)
        expected = {field.name: hints[field.name] for field in fields(options) if field.name not in apart}
        assert typing.get_type_hints(keywords) == expected


def test_sampling_too():
    sampling = pytest.importorskip("lar.generation.sampling", reason="needs torch")
    hints = typing.get_type_hints(sampling.Sampling)
    names = {field.name for field in fields(sampling.Sampling)}
    assert typing.get_type_hints(sampling.SamplingKeywords) == {name: hints[name] for name in names}


def test_keywords_go_before_the_object():
    given = AdaptOptions(lora_rank=4, seed=3)
    assert merge_options(AdaptOptions, None, {}) == AdaptOptions()
    assert merge_options(AdaptOptions, given, {}) is given
    assert merge_options(AdaptOptions, given, {"seed": 5}) == AdaptOptions(lora_rank=4, seed=5)


@pytest.mark.parametrize(
    ("keywords", "line"),
    [
        ({"max_step": 1}, "'max_step' is no option; did you mean 'max_steps'?"),
        ({"lora_rank": 0}, "lora_rank must be greater than 0, not 0"),
    ],
)
def test_what_is_wrong_is_one_line(keywords, line):
    with pytest.raises(OptionError) as caught:
        merge_options(AdaptOptions, None, keywords)
    assert str(caught.value) == line


def test_what_resembles_nothing_gets_the_list():
    with pytest.raises(OptionError, match=r"^'zzz' is no option; the options are form, decode_only, dtype,"):
        merge_options(ExportOptions, None, {"zzz": 1})


def test_another_kind_of_options_is_refused():
    with pytest.raises(OptionError, match=r"^options must be ExportOptions or None, not AdaptOptions$"):
        merge_options(ExportOptions, AdaptOptions(), {})
