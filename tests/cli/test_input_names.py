"""What a command was given: each input has a name, and none takes another's place."""

from hypothesis import example, given
from hypothesis import strategies as st

from lar.cli.inputs import by_name

PATHS = st.builds("{}/{}.jsonl".format, st.sampled_from("xyz"), st.sampled_from(["a", "b", "a-2", "a-2-2"]))


@given(st.lists(PATHS, unique=True))
@example(["x/a-2.jsonl", "x/a.jsonl", "y/a.jsonl"])
def test_every_input_has_a_name_of_its_own(paths):
    assert list(by_name(paths).values()) == paths


def test_a_folder_is_named_after_itself_where_the_path_has_no_name(tmp_path, monkeypatch):
    inside = tmp_path / "logs.of" / "today"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert list(by_name([".", "..", "./", "/"])) == ["today", "logs", "today-2", "logs-2"]
