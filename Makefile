# `make help` says what there is. Every target does all of its own set-up in .venv.
PYTHON ?= python3
SHARED ?= ../shared
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RUST := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)

.PHONY: help demo test test-engines engines engine-models check format bench gpu-pack clean

help: ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(INSTALLED) ## The whole way on a toy task in a few minutes on a CPU; results in demo/
	rm -rf demo
	$(BIN)/lar demo -o demo

test: $(INSTALLED) ## All tests of the Rust core and of the Python package
	cargo test --release --quiet
	$(BIN)/python -m pytest

# Engines stand in folders of their own; the tests take those that are there (tests/engines/engines.py).
ENGINES := $(CURDIR)/.engines
export LAR_VLLM ?= $(wildcard $(ENGINES)/vllm/bin/python)
export LAR_LLAMA_CPP ?= $(wildcard $(ENGINES)/llama.cpp)
export LAR_OPENCLAW ?= $(wildcard $(ENGINES)/openclaw)
export LAR_ENGINE_MODELS ?= $(wildcard $(ENGINES)/models)

test-engines: $(INSTALLED) ## Tests against real serving engines and agent frameworks, those that are installed
	$(BIN)/python -m pip install --quiet --editable '.[train,dev,engines]'
	$(BIN)/python -m pytest tests/engines

engines: ## Install them in .engines/: vLLM for CPUs (6 GB), llama-server (built), OpenClaw
	PYTHON=$(PYTHON) tests/engines/install.sh $(ENGINES) vllm llama.cpp openclaw

engine-models: $(INSTALLED) ## SMOLLM2=checkpoint: distil and export what the engine tests serve (an hour or two)
	@test -f "$(SMOLLM2)/config.json" || { echo 'make engine-models SMOLLM2=folder: a checkpoint of SmolLM2-135M-Instruct' >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --editable '.[train,dev,engines]'
	$(BIN)/python benches/pretrained.py --model $(SMOLLM2) --trajectories $(SHARED)/data/tau_bench.jsonl.gz \
		--attempts 4 --gates none --live-teacher --arms none:marginal control:marginal \
		--learning-rate 1e-3 --row-learning-rate 1e-3 --steps 500 --evaluate-steps 100 -o $(ENGINES)/training
	for pair in none:student control:control; do \
		$(BIN)/lar export $(ENGINES)/training/arms/$${pair%%:*}-marginal-exponential-fitted \
			-o $(ENGINES)/models/$${pair##*:} --chat-template tests/engines/chatml_tools.jinja \
			$(if $(LAR_LLAMA_CPP),--gguf $(LAR_LLAMA_CPP) --gguf-type f32) || exit; \
	done

check: $(INSTALLED) ## Formatting, lints and types
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: $(INSTALLED) ## Format the code
	cargo fmt --all
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format --quiet

bench: $(INSTALLED) ## From logs to figures on real corpora (SHARED=folder), against BPE merges
	@test -d $(SHARED)/data || { echo 'make bench needs real trajectories: SHARED=folder with data/ and tokenizers/qwen3' >&2; exit 2; }
	$(BIN)/python benches/corpora.py --data $(SHARED)/data --tokenizer $(SHARED)/tokenizers/qwen3 -o corpora.json

gpu-pack: $(INSTALLED) ## MODEL=file.gguf: what a GPU machine without a network needs (benches/gpu/METHOD.md)
	@test -d $(SHARED)/data || { echo 'make gpu-pack needs real trajectories: SHARED=folder with data/ and tokenizers/qwen3' >&2; exit 2; }
	$(BIN)/python -m pip install --quiet 'maturin>=1.9,<2' gguf
	$(BIN)/python benches/gpu/pack.py --shared $(SHARED) $(if $(MODEL),--model $(MODEL)) -o gpu-pack

clean: ## Remove everything that was built
	rm -rf $(VENV) target demo dist

$(INSTALLED): pyproject.toml $(RUST)
	@command -v cargo >/dev/null || { echo 'lar needs Rust 1.88 or newer: see https://rustup.rs' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'lar needs Python 3.11 or newer; name one with make PYTHON=...' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[train,dev]'
	@touch $@
