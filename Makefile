# `make help` says what there is. Every target does all of its own set-up in .venv.
PYTHON ?= python3
SHARED ?= ../shared
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RUST := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)

.PHONY: help demo test test-engines check format bench clean

help: ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(INSTALLED) ## The whole way on a toy task in a few minutes on a CPU; results in demo/
	rm -rf demo
	$(BIN)/lar demo -o demo

test: $(INSTALLED) ## All tests of the Rust core and of the Python package
	cargo test --release --quiet
	$(BIN)/python -m pytest

test-engines: $(INSTALLED) ## Tests against real serving engines and agent frameworks, those that are installed
	$(BIN)/python -m pytest tests/engines

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
