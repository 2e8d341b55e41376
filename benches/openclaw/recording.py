"""Records sessions of real OpenClaw with a scripted model as transcripts that lar reads."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benches.openclaw.sessions import Session
from testing.engines.openclaw_agent import OpenClaw, new_agent
from testing.engines.recording_server import Exchange, RecordingServer, in_order

MODEL = "student"


def record(sessions: Iterable[Session], installation: OpenClaw, folder: Path, transcripts: Path) -> None:
    """Run each session that `transcripts` lacks, in its own folder, and append its transcript."""
    done = {line["id"] for line in _lines(transcripts)}
    for session in sessions:
        if session.name in done:
            continue
        transcript = run_session(session, installation, folder / session.name)
        with transcripts.open("a", encoding="utf-8") as file:
            file.write(json.dumps(transcript, ensure_ascii=False) + "\n")
        print(f"recorded {session.name}", flush=True)


def run_session(session: Session, installation: OpenClaw, folder: Path) -> dict[str, Any]:
    """The transcript of one session; SystemExit where OpenClaw did not request all of the replies."""
    with RecordingServer(in_order(*session.replies)) as server:
        agent = new_agent(installation, folder, server.base_url, MODEL)
        for name, content in session.files.items():
            file = agent.workspace / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        turn = agent.turn(session.message, session.name)
    if turn.status != 0 or turn.text != session.replies[-1].text:
        raise SystemExit(f"{session.name}: OpenClaw ended with {turn.status}: {turn.diagnostics[-2000:]}")
    if len(server.exchanges) != len(session.replies):
        raise SystemExit(
            f"{session.name}: {len(server.exchanges)} requests for {len(session.replies)} replies"
        )
    return transcript_of(session.name, server.exchanges)


def transcript_of(name: str, exchanges: list[Exchange]) -> dict[str, Any]:
    """The last request's conversation and the last reply, with the agent's turns as the model wrote them.

    In its requests OpenClaw rewrites the arguments of earlier calls (no space after a colon).
    """
    written = iter([exchange.message() for exchange in exchanges])
    request = exchanges[-1].request
    messages = [
        next(written) if message["role"] == "assistant" else message for message in request["messages"]
    ]
    return {"id": name, "task": name, "tools": request["tools"], "messages": [*messages, next(written)]}


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
