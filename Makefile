# `make help` says what there is. Every target does all of its own set-up in .venv, from requirements.lock.
PYTHON ?= python3
SHARED ?= ../shared
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(VENV)/.packages
INSTALLED := $(VENV)/.installed
UV := .venv-uv/bin/uv
RUST := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)

# Two processes of tests: more help little on larger machines, for the longest file decides.
PYTEST := -m pytest --numprocesses 2 --dist loadfile

.PHONY: help demo test test-slow test-newest test-oldest lock docs test-engines engines engine-models check deny \
	format bench evidence-small gpu-pack wheels clean

help: ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 15

demo: $(INSTALLED) ## The whole way on a toy task in a few minutes on a CPU; results in demo/
	rm -rf demo
	$(BIN)/lar demo -o demo

test: $(INSTALLED) ## The tests of the Rust core and of the Python package, but for the slow ones
	cargo test --release --locked --quiet
	$(BIN)/python $(PYTEST) --strict-warnings -m 'not slow'

test-slow: $(INSTALLED) ## The tests that take more than ten seconds each
	$(BIN)/python $(PYTEST) --strict-warnings -m slow

test-newest: ## All Python tests with the newest versions that pyproject.toml allows, without the lock
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[train,tables,dev]'
	.venv-newest/bin/python $(PYTEST) --strict-warnings

test-oldest: $(UV) ## All Python tests with the oldest versions that pyproject.toml allows
	$(PYTHON) -m venv --clear .venv-oldest
	$(UV) pip install --quiet --python .venv-oldest/bin/python --resolution lowest-direct --editable '.[train,dev]'
	.venv-oldest/bin/python $(PYTEST)

lock: $(UV) ## Renew requirements.lock, and see that each Python and platform finds all its wheels
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --generate-hashes --no-header \
		pyproject.toml --output-file requirements.lock
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --group release --generate-hashes --no-header \
		--output-file release/requirements.lock
	@for python in 3.11 3.12 3.13 3.14; do \
		for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin; do \
			echo "$$python $$platform"; \
			MACOSX_DEPLOYMENT_TARGET=14.0 $(UV) pip install --dry-run --quiet --only-binary :all: --no-deps --require-hashes \
				--python-version $$python --python-platform $$platform --target .venv-uv/nothing -r requirements.lock || exit; \
		done; \
	done

docs: $(INSTALLED) ## The documentation as a site in site/; warnings are errors, and nothing is read from a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo 'site/index.html; with the search: $(BIN)/python -m http.server --directory site'

# Engines stand in folders of their own; the tests take those that are there (testing/engines/engines.py).
ENGINES := $(CURDIR)/.engines
export LAR_VLLM ?= $(wildcard $(ENGINES)/vllm/bin/python)
export LAR_LLAMA_CPP ?= $(wildcard $(ENGINES)/llama.cpp)
export LAR_OPENCLAW ?= $(wildcard $(ENGINES)/openclaw)
export LAR_ENGINE_MODELS ?= $(wildcard $(ENGINES)/models)

test-engines: $(INSTALLED) ## Tests against real serving engines and agent frameworks, those that are installed
	$(BIN)/python -m pytest tests/engines

engines: ## Install them in .engines/: vLLM for CPUs (6 GB, suffix decoding), llama-server (built), OpenClaw
	PYTHON=$(PYTHON) tests/engines/install.sh $(ENGINES) vllm suffix llama.cpp openclaw

engine-models: $(INSTALLED) ## SMOLLM2=checkpoint: distil and export what the engine tests serve (an hour or two)
	@test -f "$(SMOLLM2)/config.json" || { echo 'make engine-models SMOLLM2=folder: a checkpoint of SmolLM2-135M-Instruct' >&2; exit 2; }
	$(BIN)/python -m benches.training.pretrained --model $(SMOLLM2) --trajectories $(SHARED)/data/tau_bench.jsonl.gz \
		--attempts 4 --gates none --live-teacher --arms none:marginal control:sft \
		--learning-rate 1e-3 --row-learning-rate 1e-3 --steps 500 --evaluate-steps 100 -o $(ENGINES)/training
	for pair in none-marginal:student control-sft:control; do \
		$(BIN)/lar export --overwrite $(ENGINES)/training/arms/$${pair%%:*}-exponential-fitted \
			-o $(ENGINES)/models/$${pair##*:} --chat-template tests/engines/chatml_tools.jinja \
			$(if $(LAR_LLAMA_CPP),--gguf $(LAR_LLAMA_CPP) --gguf-type f32) || exit; \
	done

check: $(INSTALLED) ## Formatting, lints and types
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

deny: ## Licences, duplicates and origins of the Rust crates, and known faults in them (needs cargo-deny and a network)
	@cargo deny --version >/dev/null 2>&1 || { echo 'make deny needs cargo-deny: cargo install --locked cargo-deny' >&2; exit 2; }
	cargo deny --locked check

format: $(INSTALLED) ## Format the code
	cargo fmt --all
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format --quiet

bench: $(INSTALLED) ## From logs to figures on real corpora (SHARED=folder), against BPE merges
	@test -d $(SHARED)/data || { echo 'make bench needs real trajectories: SHARED=folder with data/ and tokenizers/qwen3' >&2; exit 2; }
	$(BIN)/python -m benches.mining.reduction --data $(SHARED)/data --tokenizer $(SHARED)/tokenizers/qwen3 -o corpora.json

# Small enough for two cores: few runs, few steps, 40 questions. docs/evidence.md says what its figures are worth.
evidence-small: $(INSTALLED) ## SMOLLM2=checkpoint: an agent with latents beside its control on 40 questions
	@test -f "$(SMOLLM2)/config.json" || { echo 'make evidence-small SMOLLM2=folder: a checkpoint of SmolLM2-135M-Instruct' >&2; exit 2; }
	@test -d $(SHARED)/tasks || { echo 'make evidence-small needs tasks with a score: SHARED=folder with tasks/search_qa' >&2; exit 2; }
	$(BIN)/python -m benches.agents.run search_qa --shared $(SHARED) --model $(SMOLLM2) --device cpu --arms react lar-64 \
		--tasks 40 --runs 400 --max-length 1024 --adapt-steps 120 --steps 60 -o evidence-small

gpu-pack: $(INSTALLED) ## MODEL=file.gguf: what a GPU machine without a network needs (benches/gpu/METHOD.md)
	@test -d $(SHARED)/data || { echo 'make gpu-pack needs real trajectories: SHARED=folder with data/ and tokenizers/qwen3' >&2; exit 2; }
	$(BIN)/python -m benches.gpu.pack --shared $(SHARED) $(if $(MODEL),--model $(MODEL)) -o gpu-pack

wheels: ## Rehearse a release for Linux x86-64: sdist and wheels in dist/, each installed and tried
	@command -v cargo >/dev/null || { echo 'lar needs Rust 1.88 or newer: see https://rustup.rs' >&2; exit 2; }
	$(PYTHON) -m venv --clear .venv-wheels
	.venv-wheels/bin/python -m pip install --quiet --require-hashes --requirement release/requirements.lock
	PATH="$(CURDIR)/.venv-wheels/bin:$$PATH" .venv-wheels/bin/python -m release.rehearse dist

clean: ## Remove everything that was built
	rm -rf $(VENV) .venv-newest .venv-oldest .venv-uv .venv-wheels target demo dist gpu-pack site

$(INSTALLED): $(PACKAGES) pyproject.toml $(RUST)
	@command -v cargo >/dev/null || { echo 'lar needs Rust 1.88 or newer: see https://rustup.rs' >&2; exit 2; }
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(PACKAGES): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null || \
		{ echo 'lar needs Python 3.11 to 3.14; name one with make PYTHON=...' >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	@touch $@

$(UV):
	$(PYTHON) -m venv --clear .venv-uv
	.venv-uv/bin/python -m pip install --quiet uv
