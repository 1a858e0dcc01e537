# `make sample` writes in Shakespeare's style, `make test` checks everything, `make test-fast` what a daily change needs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# pytest-xdist: a worker more than cores, for tests wait for other processes; at most 4 (each takes about 0.7 GB).
WORKERS = $(shell $(BIN)/python -c 'import os; print(min(4, 1 + os.cpu_count()))')
PYTEST = $(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal

.PHONY: sample lint test test-fast docs lessons bench bench-gpu peers format release clean

sample: $(VENV)/.installed
	$(BIN)/textseq-sample --author shakespeare

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

test: lint
	$(PYTEST)

# The quick tests of every wing, for daily work: none marked slow, no other packages' implementations, few random examples.
FAST = $(addprefix tests/,test_layering.py io config tokenizers nn data/readers data/test_splits.py data/test_in_memory.py \
	checkpoints decoding training/test_trainer.py metrics tasks/test_toy_task.py commands/test_flags.py serve/test_page.py)
test-fast: lint
	$(PYTEST) -m 'not slow' --hypothesis-profile=fast --ignore-glob='*/test_oracles.py' $(FAST)

# Runs the lessons whole, minutes each, and stores what they print and draw; one: make lessons ONLY=lesson_01_by_hand
lessons: $(VENV)/.installed-dev
	$(BIN)/python examples/run_lessons.py $(ONLY)

# The pages: build/docs/index.html. Warnings are errors.
docs: $(VENV)/.installed-dev
	$(BIN)/python -m sphinx -W --keep-going -q docs build/docs

# Most of the speeds in docs/results.md: 20 minutes on an otherwise idle machine.
bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/bench.py cpu

bench-gpu: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/bench.py gpu

# Translators of other packages, for comparison; each trains a model for some minutes.
PEERS = onmt eole joey
PACKAGE_onmt = OpenNMT-py==3.5.1
PACKAGE_eole = eole==0.6.4
PACKAGE_joey = joeynmt==2.3.0

peers: $(VENV)/.installed-dev $(PEERS:%=.peers/%/.installed)
	$(BIN)/python benchmarks/translation.py --peers .peers --work .peers/work --only translate --train-minutes 15 --rounds 1

# Their version requirements exclude today's torch, so the dependencies are installed from our own list.
.peers/%/.installed: benchmarks/peers/%.txt
	$(PYTHON) -m venv .peers/$*
	.peers/$*/bin/python -m pip install --quiet "$$(grep ^torch== constraints.txt)"
	.peers/$*/bin/python -m pip install --quiet --no-deps $(PACKAGE_$*)
	.peers/$*/bin/python -m pip install --quiet --requirement $<
	@touch $@

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Builds what is published, checks it, and writes a text with the wheel in an environment of its own.
release: $(VENV)/.installed-dev
	rm -rf dist build/release
	$(BIN)/python -m build --quiet --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv build/release
	build/release/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt dist/*.whl
	build/release/bin/textseq sample --author shakespeare --max-new-tokens 100

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "textseq: expected Python 3.11 or newer, got $$($(PYTHON) --version); try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) --editable ".[dev]"
	@touch $@ $(VENV)/.installed
