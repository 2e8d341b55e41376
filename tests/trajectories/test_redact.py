"""Redaction: what is private goes, wherever it stands; all else stays, and JSON stays JSON."""

import gzip
import json
import pickle
import re
import string
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.errors import MissingExtraError
from lar.trajectories import Trajectory
from lar.trajectories.redact import Redactor
from lar.trajectories.tasks import first_message_task, question_task
from lar.utils.extras import install_command

LETTERS = string.ascii_letters + string.digits


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    pytest.importorskip("kingfisher_sdk", reason="needs lar[redact]")
    pytest.importorskip("phonenumbers", reason="needs lar[redact]")
    return Redactor()


def key(prefix, length):
    """A key of a service: letters and digits, two digits at least."""
    return st.text(LETTERS, min_size=length, max_size=length).map(lambda rest: f"{prefix}7{rest}4")


SECRETS = st.one_of(
    st.emails()
    .filter(lambda mail: re.fullmatch(r"\w[\w.+-]*@[\w.-]+\.[a-zA-Z]+", mail))
    .map(lambda v: (v, "EMAIL")),
    st.integers(2_000_000, 9_999_999).map(lambda n: (f"(415) {n // 10000}-{n % 10000:04}", "PHONE")),
    st.integers(2_000_000, 9_999_999).map(lambda n: (f"+1 415 {n // 10000} {n % 10000:04}", "PHONE")),
    st.one_of(
        key("sk-ant-api03-", 40), key("sk-proj-", 40), key("ghp_", 34), key("xoxb-1234567890-", 24)
    ).map(lambda value: (value, "API_KEY")),
    st.text(string.ascii_uppercase + "234567", min_size=16, max_size=16).map(
        lambda v: (f"AKIA{v}", "API_KEY")
    ),
    st.tuples(key("eyJ", 20), key("eyJ", 30), key("", 30)).map(lambda parts: (".".join(parts), "TOKEN")),
    st.lists(key("", 62), min_size=3, max_size=6).map(
        lambda lines: (
            "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----"]),
            "PRIVATE_KEY",
        )
    ),
)
PROSE = st.text(st.characters(exclude_categories=["Cs", "Nd"], exclude_characters="+@%<>"), max_size=30)


def run(*contents, arguments="{}", **fields):
    messages = [{"role": "user", "content": content} for content in contents]
    call = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": arguments}}
    messages.append({"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [call]})
    messages.append({"role": "tool", "content": "ok", "tool_call_id": "c1"})
    return Trajectory(**{"id": "run-1", "task": "t", "messages": messages} | fields)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Write to jane.doe+x@example.co.uk, please.", "Write to <EMAIL>, please."),
        ("mail=jane%40example.com&x=1", "<EMAIL>&x=1".replace("<", "mail=<", 1)),
        ("Ring 555-123-4567 or (212) 555-0123.", "Ring <PHONE> or <PHONE>."),
        ("Ring 415-555-2671x123, 415-555-2671 ext. 22", "Ring <PHONE>, <PHONE>"),
        ("Ring +44 20 7946 0958!", "Ring <PHONE>!"),
        ('{"phone_number": "4155552671"}', '{"phone_number": "<PHONE>"}'),
        ("curl -H 'Authorization: Bearer abcdef1234567890'", "curl -H 'Authorization: Bearer <TOKEN>'"),
        ("postgres://admin:hunter2@db:5432/x", "postgres://admin:<PASSWORD>@db:5432/x"),
        ("https://jane:s3cret@example.com/", "https://jane:<PASSWORD>@example.com/"),
        ("AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_ACCESS_KEY_ID=<API_KEY>"),
        ('OPENAI_API_KEY="sk-abcdefghij1234567890"', 'OPENAI_API_KEY="<API_KEY>"'),
        ("glpat-aB3dE5gH7jK9mN1pQ4rS", "<API_KEY>"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBK", "<PRIVATE_KEY>AQEFAASCBK"),
        (r"print('a\njane@example.com\tb')", r"print('a\n<EMAIL>\tb')"),
    ],
)
def test_each_kind_becomes_its_placeholder(redactor, text, redacted):
    assert redactor.text(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "order #W1234567, item 9523456873, product_id 6992792935, HAT001",
        '{"name": "Smartphone", "product_id": "1801728040"}',
        "commit 3f786850e387550fdab836ed7e6dc881de23001b, 9f86d081884c7d65",
        "2024-05-15 10:23:45,123 +0200; 2024-05-15T10:23:45.123456Z; 1699999999; 20230515102345; 12/31/2024",
        "192.168.100.100:8080, 10.0.0.1, 2001:db8::1, 127.0.0.1",
        "3.14159265358979, 1e-10, 100 200 300, 4294967296, 0x7f3c2a1b, lines 120-130, 978-3-16-148410-0",
        "git clone git@github.com:owner/name.git; pip install lar@1.2.3; q@k.transpose(-2, -1)",
        "git clone https://$USER:$TOKEN@github.com/x; f'https://{user}:{password}@{host}'",
        'class="sk-toggleable__control sk-estimator-doc-link fitted"',
        "Bearer authentication is what the server needs; api_key = settings.OPENAI_API_KEY",
        "-----BEGIN PRIVATE KEY----- begins the file",
        "@@ -1,7 +1,9 @@\n+1234567 8\n+    def f(self):",
        "uuid 123e4567-e89b-12d3-a456-426614174000, 4532-1234-5678-9012",
    ],
)
def test_what_is_not_private_stays(redactor, text):
    assert redactor.text(text) == text


def test_every_field_is_redacted_and_counted(redactor):
    mail = "jane@example.com"
    before = redactor.counts.copy()
    whole = run(
        f"I am {mail}",
        arguments=json.dumps({"to": mail}),
        id=f"run of {mail}",
        task=f"mail/{mail}",
        source=f"logs/{mail}.jsonl",
        model=f"model-of-{mail}",
        tools=[{"type": "function", "function": {"name": "send", "description": f"Ask {mail}."}}],
    )
    whole.messages[1]["reasoning_content"] = f"Is it {mail}?"
    whole.messages[1]["tool_calls"][0]["id"] = whole.messages[2]["tool_call_id"] = f"call-{mail}"
    whole.messages[2] |= {"name": f"send-{mail}", "content": f"sent to {mail}"}
    redacted = redactor(whole)
    assert mail not in json.dumps(redacted.to_dict())
    assert redactor.counts - before == {"EMAIL": 12}
    assert redacted.messages[1]["tool_calls"][0]["id"] == redacted.messages[2]["tool_call_id"]
    assert redacted.tools[0]["function"]["description"] == "Ask <EMAIL>."


def test_names_stay_apart_and_equal_ones_stay_equal(redactor):
    tasks = [f"mail/{name}@example.com" for name in ("jane", "john", "jane")]
    first, second, third = (redactor(run("Hi", task=task)).task for task in tasks)
    assert first == third != second
    assert first.startswith("mail/<EMAIL>:")
    other = pickle.loads(pickle.dumps(redactor))
    assert other(run("Hi", task=tasks[0])).task == first
    assert Redactor()(run("Hi", task=tasks[0])).task != first


def test_a_digest_of_a_private_text_does_not_stay(redactor):
    """Else every phone number could be tried until the digest is that of the task."""
    asked = run("My number is 415-555-2671.")
    asked = replace(asked, task=first_message_task(asked.messages))
    assert redactor(asked).task == first_message_task(redactor(asked).messages) != asked.task
    question = "Whose number is 415-555-2671? " + "Think about it for long. " * 10
    long = redactor(run(question, task=f"x/{question_task(question)}"))
    assert question_task(question) not in long.task
    assert long.task.startswith("x/question:")
    short = redactor(run("Who is jane@example.com?", task=question_task("Who is jane@example.com?")))
    assert re.fullmatch("question:who is <EMAIL>:[0-9a-f]{12}", short.task)


def test_json_arguments_keep_their_keys_and_spelling(redactor):
    arguments = (
        '{ "to" : "jane@example.com",\n "n": 1.50, "é": "a\\u00e9", "cc": ["a\\njo\\u0040example.com"] }'
    )
    redacted = redactor(run("Hi", arguments=arguments)).messages[1]["tool_calls"][0]["function"]["arguments"]
    assert redacted == '{ "to" : "<EMAIL>",\n "n": 1.50, "é": "a\\u00e9", "cc": ["a\\n<EMAIL>"] }'


def test_json_within_json_and_numbers_stay_json(redactor):
    inner = json.dumps({"mail": "jane@example.com", "note": 'a "b"'})
    arguments = json.dumps({"body": inner, "phone": 4155552671, "jo@example.com": 1, "al@example.com": 2})
    redacted = json.loads(redactor.text(arguments))
    assert json.loads(redacted["body"]) == {"mail": "<EMAIL>", "note": 'a "b"'}
    assert redacted | {"body": ""} == {"body": "", "phone": "<PHONE>", "<EMAIL>": 1, "<EMAIL> 2": 2}


def test_what_was_found_once_goes_everywhere(redactor):
    """A phone number without its separators, and a token without its header, have no pattern."""
    redacted = redactor(
        run(
            "I am at (415) 555-2671.",
            "Authorization: Bearer tokenvalue12345678",
            arguments='{"number": "4155552671", "id": "94155552671", "auth": "tokenvalue12345678"}',
        )
    )
    function = redacted.messages[2]["tool_calls"][0]["function"]
    assert json.loads(function["arguments"]) == {"number": "<PHONE>", "id": "94155552671", "auth": "<TOKEN>"}


def test_a_common_word_that_is_a_password_stays_elsewhere(redactor):
    text = 'http://user:pass@host/ needs a "pass"'
    redacted = redactor(run(text, arguments=json.dumps({"text": text})))
    assert redacted.messages[0]["content"] == text.replace(":pass@", ":<PASSWORD>@")
    arguments = redacted.messages[1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"text": redacted.messages[0]["content"]}


def test_phone_numbers_of_a_region_are_found_there_and_in_other_processes(redactor):
    text, redacted = "Ring 020 7946 0958.", "Ring <PHONE>."
    assert redactor.text(text) == text
    british = Redactor("GB")
    for one in (british, pickle.loads(pickle.dumps(british))):
        assert one.text(text) == redacted


def test_without_private_values_the_trajectory_is_returned(redactor):
    whole = run("Hello", tools=[{"name": "f"}])
    assert redactor(whole) is whole


def test_without_the_libraries_the_error_names_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "kingfisher_sdk", None)
    with pytest.raises(MissingExtraError, match=re.escape(install_command("redact")) + "$"):
        Redactor()


@settings(max_examples=60)
@given(
    secret=SECRETS,
    before=PROSE,
    after=PROSE,
    separator=st.sampled_from([" ", "\n", '"', ": ", " (", "=", "\\n"]),
)
def test_nothing_of_a_secret_remains_anywhere(redactor, secret, before, after, separator):
    value, kind = secret
    text = f"{before}{separator}{value}\n{after}"
    arguments = json.dumps({"text": text, "list": [value], "depth": json.dumps({"value": value})})
    whole = run(
        text, "nothing", value, arguments=arguments, task=f"task/{value}", tools=[{"description": value}]
    )
    redacted = redactor(whole)
    stored = json.dumps(redacted.to_dict(), ensure_ascii=False)
    for part in re.findall(r"[\w+./=@-]{9,}", value):
        assert part not in stored or part in ("-----BEGIN", "-----END")
    assert redacted.messages[2]["content"] == f"<{kind}>"
    kept = json.loads(redacted.messages[3]["tool_calls"][0]["function"]["arguments"])
    assert list(kept) == ["text", "list", "depth"]
    assert kept["list"] == [f"<{kind}>"]
    assert redactor(redacted) is redacted


@settings(max_examples=200)
@given(
    text=st.lists(
        st.sampled_from(
            [
                "://",
                ":",
                "@",
                "a",
                "b.co",
                "\\n",
                '"',
                "{",
                "}",
                "+1",
                " 415-555-2671",
                "4155552671",
                "phone: ",
                "sk-ant-",
                "a1b2c3d4e5f6g7h8",
                "Bearer ",
                "eyJ",
                ".",
                "AKIA",
                "-----BEGIN PRIVATE KEY-----",
                "\\",
                "é",
            ]
        ),
        max_size=12,
    ).map("".join)
)
def test_redacting_twice_is_redacting_once(redactor, text):
    once = redactor(run(text, arguments=text))
    assert redactor(once) == once


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "a@",
        "eyJ",
        "sk-1",
        "://a:",
        "A",
        "+1 ",
        "415-",
        "phone ",
        "1",
        "Bearer ",
        "-----BEGIN PRIVATE KEY-----",
        '{"',
        "\\",
        "a.",
        "key=",
        "jane@example.com ",
        "415-555-2671 ",
        "é@",
        "(1",
        "[:",
    ],
)
def test_the_time_is_linear(redactor, unit):
    def seconds(length):
        start = time.perf_counter()
        redactor.text(unit * (length // len(unit)))
        return time.perf_counter() - start

    seconds(1000)
    assert min(seconds(80_000) for _ in range(2)) < 16 * min(seconds(20_000) for _ in range(3)) + 0.25


def test_real_logs_lose_their_addresses_only(redactor, shared):
    """No order, item, date or number of a line is taken for a phone number."""
    before = redactor.counts.copy()
    for name, most in (("tau_bench", 60), ("mini_swe_gemini3", 20)):
        with gzip.open(shared / "data" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line, _ in zip(lines, range(most), strict=False):
                value = json.loads(line)
                redacted = redactor(Trajectory(value["id"], value["split_key"], value["messages"]))
                assert [list(message) for message in redacted] == [
                    list(message) for message in value["messages"]
                ]
    found = redactor.counts - before
    assert found["EMAIL"] > 10
    assert not found["PHONE"]


FRAGMENTS = [
    *(
        f" {secret} "
        for secret in ("jane@example.com", "jo@example.org", "415-555-2671", "sk-ant-api03-a1b2c3d4")
    ),
    *(" http://u:pw@h/ ", " Authorization: Bearer abc12345 ", "pw", "phone", ": ", "@", "/"),
    *(" ", "\n", '"', "\\", "é", "{", "a"),
]
STRING = st.lists(st.sampled_from(FRAGMENTS), max_size=4).map("".join)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(4155552671) | STRING,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRING, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200)
@given(VALUE, st.booleans(), st.sampled_from([None, 1]))
def test_json_keeps_its_shape(redactor, value, is_ascii, indent):
    text = json.dumps({"arguments": value}, ensure_ascii=is_ascii, indent=indent)
    redacted = redactor.text(text)
    shape = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+')
    assert [*json.loads(redacted)] == ["arguments"]
    assert shape.sub("_", redacted) == shape.sub("_", text)
    for secret in ("jane@", "jo@", "415-555-2671", "sk-ant-api03", "u:pw@", "abc12345"):
        assert secret not in redacted
    if not any(secret in text for secret in ("@", "\\u00", "phone", "415", "sk-", "Bearer")):
        assert redacted == text


def test_nothing_private_is_written_by_either_way_of_reading(tmp_path):
    from lar.trajectories import Redactor, Report, read_trajectories
    from lar.trajectories.importing import import_logs

    said = [
        {"role": "user", "content": "I am jane@example.com."},
        {"role": "assistant", "content": "Hello jane@example.com!"},
    ]
    log = tmp_path / "log.jsonl"
    records = [{"id": f"jane@example.com {number}", "messages": said} for number in range(2)]
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    read, imported = Report(), Report()
    found = list(read_trajectories(log, redact=Redactor(), report=read))
    import_logs([log], tmp_path / "out.jsonl", redact=Redactor(), report=imported)
    for text in (repr([one.to_dict() for one in found]), (tmp_path / "out.jsonl").read_text()):
        assert "jane" not in text
        assert "<EMAIL>" in text
    assert read.redacted == imported.redacted == {"EMAIL": 6}
