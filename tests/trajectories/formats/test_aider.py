"""Aider's chat history."""

from pathlib import Path

from testing.sessions import LOGS, agent, read, result, user

FILE = LOGS / "aider" / ".aider.chat.history.md"


def test_sessions_of_one_file() -> None:
    (first, second), report = read(FILE, strict=True)
    assert first.messages == [
        user("Count the boxes in bay 4\n\nand tell me"),
        agent(
            "# The count\n\n> A quotation, not the program.\n\n#### Steps\n\nbay.py\n```python\n"
            "<<<<<<< SEARCH\n=======\nprint(12)\n>>>>>>> REPLACE\n```"
        ),
        result("Tokens: 2.4k sent, 104 received.\nApplied edit to bay.py"),
        user("/run python bay.py"),
        result("12\nboxes\nin the bay"),
        agent("Twelve boxes."),
    ]
    assert second.messages == [user("Open bay 5"), agent("It is open.")]
    assert [first.model, second.model] == ["acme-1", "acme-2"]
    assert first.id.endswith(":2025-06-01 10:00:00")
    # The program's lines before a request; one session has no request.
    lines = [line.strip() for line in FILE.read_text().splitlines() if line.startswith("> ")]
    banner = [line[2:] for line in (*lines[:4], *lines[-2:])]
    assert report.left_out["aider", "banner"].characters == len("".join(banner))


def test_a_history_in_a_folder_is_found() -> None:
    assert len(read(FILE.parent, strict=True)[0]) == 2


def test_spaces_at_the_ends_of_lines_may_be_gone(tmp_path: Path) -> None:
    path = tmp_path / "history.md"
    path.write_text(
        "# aider chat started at 2025-06-01 10:00:00\n\n> Aider v0.86.1\n\n"
        "#### Count\n\nTwelve.\n\n> Tokens: 2k\n"
    )
    (found,), _ = read(path, strict=True)
    assert found.messages == [user("Count"), agent("Twelve."), result("Tokens: 2k")]


def test_a_history_without_a_beginning(tmp_path: Path) -> None:
    path = tmp_path / "history.md"
    path.write_text("\n> Added bay.py to the chat.  \n\n#### Count  \n\nTwelve.\n\n\n> Tokens: 2k sent.  \n")
    (found,), _ = read(path, strict=True)
    assert found.messages == [user("Count"), agent("Twelve."), result("Tokens: 2k sent.")]
