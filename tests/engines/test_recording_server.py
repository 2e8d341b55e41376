"""The recording server: a scripted reply is unchanged, also through a second server."""

import json
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testing.engines.recording_server import RecordingServer, Reply, ToolCall, forwarded, in_order, scripted
from testing.engines.servers import free_port

values = st.one_of(st.text(), st.integers(-(2**53), 2**53), st.booleans(), st.lists(st.text(), max_size=3))
calls = st.builds(
    ToolCall, st.from_regex(r"[a-z_]{1,12}", fullmatch=True), st.dictionaries(st.text(), values, max_size=3)
)
replies = st.builds(Reply, st.text(), st.lists(calls, max_size=3).map(tuple))


def ask(base_url, **request):
    """Post a request and read the whole answer."""
    content = {"model": "student", "stream": True, "messages": [{"role": "user", "content": "?"}], **request}
    posted = urllib.request.Request(f"{base_url}/chat/completions", json.dumps(content).encode())
    with urllib.request.urlopen(posted, timeout=30) as response:
        return response.read().decode()


@pytest.fixture(scope="module")
def chain():
    """A scripted server, a second one that forwards its replies, and the current reply."""
    due = [Reply()]
    with (
        RecordingServer(scripted(lambda _: due[0])) as first,
        RecordingServer(forwarded(first.base_url)) as second,
    ):
        yield first, second, due


@given(reply=replies)
def test_a_reply_comes_out_as_it_went_in(chain, reply):
    first, second, due = chain
    due[0] = reply
    events = ask(second.base_url)
    assert events.endswith("data: [DONE]\n\n")
    for server in (first, second):
        exchange = server.exchanges[-1]
        assert exchange.complete
        message = exchange.message()
        assert message["content"] == reply.text
        found = [call["function"] for call in message.get("tool_calls", [])]
        assert [ToolCall(call["name"], json.loads(call["arguments"])) for call in found] == list(reply.calls)
    assert first.exchanges[-1].chunks == second.exchanges[-1].chunks
    assert first.exchanges[-1].request == second.exchanges[-1].request


def test_replies_come_in_order_and_the_last_one_stays():
    with RecordingServer(in_order(Reply("one"), Reply("two"))) as server:
        for _ in range(3):
            ask(server.base_url)
    assert [exchange.message()["content"] for exchange in server.exchanges] == ["one", "two", "two"]


def test_usage_is_sent_where_it_is_requested():
    with RecordingServer(in_order(Reply("one"))) as server:
        assert '"usage"' not in ask(server.base_url)
        assert '"usage"' in ask(server.base_url, stream_options={"include_usage": True})


def test_an_error_of_the_real_server_is_passed_on():
    with (
        RecordingServer(in_order(Reply("one"))) as first,
        RecordingServer(forwarded(f"{first.base_url}/elsewhere")) as second,
        pytest.raises(urllib.error.HTTPError, match="400"),
    ):
        ask(second.base_url)
    assert second.exchanges[0].error.startswith("400: ")


def test_an_error_in_the_middle_of_a_reply_is_passed_on():
    def breaking(_):
        yield {"choices": [{"index": 0, "delta": {"content": "I"}, "finish_reason": None}]}
        yield {"error": {"code": 500, "message": "broken"}}

    with RecordingServer(breaking) as first, RecordingServer(forwarded(first.base_url)) as second:
        assert '"broken"' in ask(second.base_url)
    [exchange] = second.exchanges
    assert "broken" in exchange.error
    assert not exchange.complete
    assert exchange.message()["content"] == "I"


def test_no_real_server_is_an_error_too():
    with (
        RecordingServer(forwarded(f"http://127.0.0.1:{free_port()}/v1")) as server,
        pytest.raises(urllib.error.HTTPError, match="502"),
    ):
        ask(server.base_url)
    assert "refused" in server.exchanges[0].error


def test_what_is_not_streamed_is_refused():
    with (
        RecordingServer(in_order(Reply("one"))) as server,
        pytest.raises(urllib.error.HTTPError, match="400"),
    ):
        ask(server.base_url, stream=False)
