# Two words are enough: `make sample` writes in Shakespeare's style, `make test` checks everything.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: sample test bench bench-gpu peers format clean

sample: $(VENV)/.installed
	$(BIN)/textseq-sample --author shakespeare

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/pytest

# The speeds of the README, again: within a quarter of an hour, on a machine that does nothing else.
bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/bench.py cpu

bench-gpu: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/bench.py gpu

# The translators of other packages that ours is measured against, each with a model trained for some minutes.
PEERS = onmt eole joey
PACKAGE_onmt = OpenNMT-py==3.5.1
PACKAGE_eole = eole==0.6.4
PACKAGE_joey = joeynmt==2.3.0

peers: $(VENV)/.installed-dev $(PEERS:%=.peers/%/.installed)
	$(BIN)/python benchmarks/translation.py --peers .peers --work .peers/work --only translate --train-minutes 15 --rounds 1

# Their demands for versions are too strict for today's torch, and so are met by hand.
.peers/%/.installed: benchmarks/peers/%.txt
	$(PYTHON) -m venv .peers/$*
	.peers/$*/bin/python -m pip install --quiet "$$(grep ^torch== constraints.txt)"
	.peers/$*/bin/python -m pip install --quiet --no-deps $(PACKAGE_$*)
	.peers/$*/bin/python -m pip install --quiet --requirement $<
	@touch $@

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "textseq wants Python 3.11 or newer, found $$($(PYTHON) --version); try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) --editable ".[dev]"
	@touch $@ $(VENV)/.installed
