# `make book` and `make test`: each sets up .venv by itself. A Python that make.py accepts and make are all that is assumed.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3 python; do $$python -c "" 2>/dev/null && echo $$python && break; done)
MAKE_PY := $(or $(PYTHON),$(error no Python here: install one, or say where it is: make PYTHON=/path/to/python)) make.py
BIN := .venv/bin
KVPRESS := .venv-kvpress
AUDIT := .venv-audit
UV := .venv-uv

.PHONY: help set-up book pdf slides test browser gpu-profile bench kvpress llamafactory llamacpp nbgrader lint types coverage audit lock resolve clean

help:  ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / \t/'

set-up:  ## make .venv, or bring it to the lock; the others do it by themselves
	@$(MAKE_PY) set-up

book:  ## execute the chapters and build book/_build/html/index.html
	@$(MAKE_PY) book

pdf:  ## the same, and book/_build/kvbook.pdf, in Chinese kvbook-zh.pdf; needs Chromium or Chrome
	@$(MAKE_PY) book --pdf

slides: set-up  ## a deck a chapter from the last book, in book/_build/slides, and in Chinese in its folder zh
	$(BIN)/kvbook slides --output book/_build/slides
	$(BIN)/kvbook slides --output book/_build/slides --language zh

test:  ## run the tests
	@$(MAKE_PY) test

browser: set-up  ## look at every page of the built book in headless Chromium
	$(BIN)/python -m pytest -n 2 --confcutdir tests/browser tests/browser

gpu-profile: set-up  ## run every chapter of the profile gpu with small sizes, on the tests' own device (some minutes)
	@$(MAKE_PY) test tests/gpu_profile

bench: set-up kvpress  ## print the promised ratios and the times of the last book, and which hold (a quarter of an hour)
	KVBOOK_KVPRESS=$(KVPRESS)/bin/python $(BIN)/kvbook bench

kvpress:  ## set up kvpress in an environment of its own, to compare with
	@$(MAKE_PY) kvpress

llamafactory:  ## set up LLaMA-Factory in an environment of its own, the other backend of fine-tuning
	@$(MAKE_PY) llamafactory

llamacpp:  ## set up llama.cpp in an environment of its own: a wheel, no compiler
	@$(MAKE_PY) llamacpp

nbgrader:  ## set up nbgrader in an environment of its own, to mark assignments; they run in .venv
	@$(MAKE_PY) nbgrader

lint: set-up  ## check the style, who imports whom, and the declared packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/deptry src notebooks book/_ext

types: set-up  ## check the types
	$(BIN)/mypy

coverage:  ## run the tests, and name the lines of src that none of them reaches
	@$(MAKE_PY) test --cov --cov-report=term-missing:skip-covered

audit: $(AUDIT)/.ready  ## look every locked package up among the known vulnerabilities; needs a network
	@$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off -r requirements.lock || \
	  { echo "A package above has a known vulnerability; or it 'could not be audited': no network, or an index that does not answer. Then nothing is known of the packages."; exit 1; }

$(AUDIT)/.ready:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	touch $@

lock: $(UV)/.ready  ## write the locks anew: versions stay, but for what pyproject.toml or OPTIONS="-P numpy" asks for
	$(UV)/bin/python .ci/locks.py write $(OPTIONS)

resolve: $(UV)/.ready  ## ask whether each Python and system has a wheel for every locked package; nothing is installed
	$(UV)/bin/python .ci/locks.py check

$(UV)/.ready:
	$(PYTHON) -m venv $(UV)
	$(UV)/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	touch $@

clean:  ## remove what was built; the embedded model stays in your cache
	rm -rf book/_build kvbook-runs .snakemake
