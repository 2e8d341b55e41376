"""Parts of messages that are no text: each is counted by its kind, wherever a word stands for it."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.trajectories import Report, read_trajectories
from lar.trajectories.importing import import_logs

URL = "data:image/png;base64,iVBORw0KGgo="
SAID = {"role": "assistant", "content": "A bay with twelve crates."}
# Of each interface: a text and the parts that are no text, by kind.
OPENAI: dict[str, Any] = {
    "image": {"type": "image_url", "image_url": {"url": URL}},
    "audio": {"type": "input_audio", "input_audio": {"data": "UklGR", "format": "wav"}},
    "file": {"type": "file", "file": {"file_data": "JVBERi0="}},
}
ANTHROPIC: dict[str, Any] = {
    "image": {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
    },
    "file": {"type": "document", "source": {"type": "base64", "data": "JVBERi0="}},
}
GEMINI: dict[str, Any] = {
    "image": {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
    "audio": {"inlineData": {"mimeType": "audio/wav", "data": "UklGR"}},
    "video": {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://bay/4.mp4"}},
}
# What a person, or a page that a tool reads, may write.
TEXTS = ["What is this?", "![image](bay.png)", "Usage: count [file]", "[image]", "[audio] [video]"]
Messages = list[list[str]]  # of each message the kinds of its parts; a text stands for itself


def in_openai(told: Messages) -> dict[str, Any]:
    turns = [{"role": "user", "content": [_part(OPENAI, one) for one in parts]} for parts in told]
    return {"request": {"messages": _answered(turns)[:-1]}, "response": SAID}


def in_anthropic(told: Messages) -> dict[str, Any]:
    """The parts stand in results of tools."""
    turns: list[dict[str, Any]] = [{"role": "user", "content": "Go."}]
    for number, parts in enumerate(told):
        call = {"type": "tool_use", "id": f"c{number}", "name": "look", "input": {"file": "bay.png"}}
        content = [_part(ANTHROPIC, one) for one in parts]
        result = {"type": "tool_result", "tool_use_id": f"c{number}", "content": content}
        turns += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    reply = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": SAID["content"]}]}
    return {"request": {"model": "m", "max_tokens": 9, "messages": turns}, "response": reply}


def in_gemini(told: Messages) -> dict[str, Any]:
    turns = [{"role": "user", "parts": [_part(GEMINI, one, typed=False) for one in parts]} for parts in told]
    contents = [turn for one in turns for turn in (one, {"role": "model", "parts": [{"text": "I see."}]})]
    reply = {"candidates": [{"content": {"role": "model", "parts": [{"text": SAID["content"]}]}}]}
    return {"request": {"contents": contents[:-1]}, "response": reply}


def in_langfuse(told: Messages) -> dict[str, Any]:
    """Two generations: the second has the messages of the first in its history."""
    turns = _answered([{"role": "user", "content": [_part(OPENAI, one) for one in parts]} for parts in told])
    about = {"traceId": "t", "type": "GENERATION", "startTime": "x"}
    rows = [
        {"id": "a", "input": turns[:-1], "output": SAID, **about},
        {"id": "b", "input": [*turns, {"role": "user", "content": "And now?"}], "output": "Eleven.", **about},
    ]
    return {
        "id": "t",
        "timestamp": "x",
        "htmlPath": "/t",
        "input": None,
        "output": None,
        "observations": rows,
    }


def in_openinference(told: Messages) -> dict[str, Any]:
    """Attributes with flat names, each part in several of them."""
    attributes: dict[str, Any] = {"openinference.span.kind": "LLM", "output.value": SAID["content"]}
    for number, parts in enumerate(told):
        message = f"llm.input_messages.{number}.message"
        attributes[f"{message}.role"] = "user"
        for place, one in enumerate(parts):
            content = f"{message}.contents.{place}.message_content"
            is_image = one == "image"
            attributes[f"{content}.type"] = "image" if is_image else "text"
            attributes[f"{content}.image.image.url" if is_image else f"{content}.text"] = (
                URL if is_image else one
            )
    return {"name": "llm", "traceId": "t", "spanId": "s", "attributes": attributes}


def _part(known: dict[str, Any], one: str, *, typed: bool = True) -> Any:
    text = {"type": "text", "text": one} if typed else {"text": one}
    return known.get(one, text)


def _answered(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [turn for one in turns for turn in (one, SAID)]


FORMS: dict[Callable[[Messages], dict[str, Any]], list[str]] = {
    in_openai: list(OPENAI),
    in_anthropic: list(ANTHROPIC),
    in_gemini: list(GEMINI),
    in_langfuse: list(OPENAI),
    in_openinference: ["image"],
}


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_each_part_is_counted_once_by_its_kind(form: Callable[[Messages], Any], data: st.DataObject) -> None:
    """Texts that look like a placeholder are none, if the record writes each text as often as it has it."""
    texts = TEXTS[:1] if form is in_langfuse else TEXTS
    parts = st.lists(st.sampled_from([*FORMS[form], *texts]), min_size=1, max_size=4)
    told = data.draw(st.lists(parts, min_size=1, max_size=3))
    report = Report()
    list(read_trajectories([form(told)], report=report, strict=True))
    expected = Counter(one for parts in told for one in parts if one in FORMS[form])
    assert {kind: found.parts for kind, found in report.replaced.items()} == expected
    merged = Report()
    merged.merge(report)
    assert merged.replaced == report.replaced


def test_texts_alone_replace_nothing() -> None:
    for form in FORMS:
        report = Report()
        list(read_trajectories([form([TEXTS, TEXTS])], report=report, strict=True))
        assert report.replaced == {}


def test_the_first_place_is_named_and_an_import_counts_the_same(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    logs = [in_openai([["What?"]]), in_openai([["image"], ["image", "file"]]), in_openai([["image"]])]
    path.write_text("".join(json.dumps(log) + "\n" for log in logs))
    report, imported = Report(), Report()
    list(read_trajectories(path, report=report))
    import_logs([path], tmp_path / "out.parquet", report=imported)
    assert report == imported
    image, file = report.replaced["image"], report.replaced["file"]
    assert (image.parts, file.parts) == (3, 1)
    assert image.first == file.first == f"{path}, record 2, line 2"
    again = Report()
    list(read_trajectories(tmp_path / "out.parquet", report=again))
    assert again.replaced == {}  # texts of what this package wrote


def test_an_image_in_a_url_is_counted_where_the_agent_has_it() -> None:
    drawn = [{"type": "text", "text": "A bay."}, OPENAI["image"]]
    report = Report()
    log = {"messages": [{"role": "user", "content": "Draw."}, {"role": "assistant", "content": drawn}]}
    (found,) = read_trajectories([log], report=report)
    assert found.messages[-1]["content"] == "A bay."
    assert report.left_out["chat", "messages[].content[].image_url.url"].characters == len(URL)
    assert report.replaced == {}


DOCUMENTS: dict[str, dict[str, Any]] = {
    "plain": {"source": {"type": "text", "media_type": "text/plain", "data": "Twelve crates."}},
    "text": {"source": {"type": "content", "content": "Twelve crates."}},
    "blocks": {"source": {"type": "content", "content": [{"type": "text", "text": "Twelve crates."}]}},
}
READ = {name: {"type": "document", "title": "Bay 4", **one} for name, one in DOCUMENTS.items()} | {
    "search result": {
        "type": "search_result",
        "source": "https://bays",
        "title": "Bay 4",
        "content": [{"type": "text", "text": "Twelve crates."}],
    },
    "resource": {"type": "resource", "resource": {"uri": "file:///bay", "text": "Bay 4\nTwelve crates."}},
}


@pytest.mark.parametrize("place", ["result", "question"])
@pytest.mark.parametrize("name", READ)
def test_a_document_that_is_text_is_read_as_text(name: str, place: str) -> None:
    """A model reads its words, so they are in the conversation, and no word stands for them."""
    part = READ[name]
    result = {"type": "tool_result", "tool_use_id": "c0", "content": [part]}
    told = [result if place == "result" else part]
    call = {"type": "tool_use", "id": "c0", "name": "look", "input": {}}
    history = [{"role": "user", "content": "Go."}, {"role": "assistant", "content": [call]}]
    answer = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": SAID["content"]}]}
    request = {"model": "m", "max_tokens": 9, "messages": [*history, {"role": "user", "content": told}]}
    report = Report()
    (found,) = read_trajectories([{"request": request, "response": answer}], strict=True, report=report)
    assert found.messages[2]["content"] == "Bay 4\nTwelve crates."
    assert report.replaced == {}
    assert not [path for _, path in report.left_out if not path.endswith(("source", "uri", "media_type"))]


def test_an_image_in_a_document_is_counted() -> None:
    content = [{"type": "text", "text": "See: "}, {"type": "image", "source": {"type": "url", "url": URL}}]
    part = {"type": "document", "source": {"type": "content", "content": content}}
    report = Report()
    turns = [{"role": "user", "content": [part]}, SAID]
    (found,) = read_trajectories([{"messages": turns}], strict=True, report=report)
    assert found.messages[0]["content"] == "See: [image]"
    assert report.replaced["image"].parts == 1
