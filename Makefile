# Everything bootstraps itself from Python >= 3.11, make and pip.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := .boot/bin/uv
READY  := $(VENV)/.ready
BENCH  := .venv-bench
MODELS := mstlib/explorers/static/models/.ready
PAGE    = $(CURDIR)/_build/html/index.html

# Without this, uv trusts only its own certificates and fails behind a company's proxy.
export UV_SYSTEM_CERTS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# One thread each: results do not depend on the number of cores, and tests run side by side.
export OMP_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help book quick test lab notebooks weights bench lock lint serve clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, not " + sys.version.split()[0])'
	$(PYTHON) -m venv .boot
	.boot/bin/python -m pip install -q 'uv>=0.11,<1'

# The locked packages, each checked against its hash, then this project itself, editable.
$(READY): requirements.lock pyproject.toml | $(UV)
	test -x $(BIN)/python || $(UV) venv -q --no-project --python $(PYTHON) $(VENV)
	$(UV) pip sync -q --require-hashes --python $(BIN)/python requirements.lock
	$(UV) pip install -q --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

# The networks that run in the book's pages, as scripts.
$(MODELS): mstlib/weights/manifest.json mstlib/explorers/page.py mstlib/convert.py | $(READY)
	$(BIN)/mst export --web >/dev/null
	@touch $@

book: $(READY) $(MODELS) ## build the book from the stored outputs, and print the page to open
	$(BIN)/jupyter-book build . --all -W -n --keep-going -q
	@echo "The book is ready. Open file://$(PAGE)"

quick: $(READY) ## check style, and the ideas, networks, data and measures: no browser, no notebook
	$(BIN)/python tools/check.py quick

test: $(READY) $(MODELS) ## check style, book, library and every notebook; sum up at the end
	$(BIN)/python tools/check.py

lab: $(READY) ## open the notebooks in JupyterLab
	@# JupyterLab hides the figures of notebooks that it does not trust, until they are run.
	@$(BIN)/jupyter trust notebooks/*.ipynb >/dev/null
	$(BIN)/jupyter lab notebooks

notebooks: $(READY) ## run every notebook again and store its outputs
	$(BIN)/python tools/run_notebooks.py notebooks/*.ipynb

weights: $(READY) ## train the shipped models again from their seeds
	$(BIN)/mst train --all

# Its own environment: the locked one stays as the tests know it.
$(BENCH)/.ready: requirements-bench.lock | $(UV)
	test -x $(BENCH)/bin/python || $(UV) venv -q --no-project --python $(PYTHON) $(BENCH)
	$(UV) pip sync -q --require-hashes --python $(BENCH)/bin/python requirements-bench.lock
	@touch $@

bench: $(BENCH)/.ready ## time the engine against a plain loop, SpikingJelly and bare matrix products
	PYTHONPATH=$(CURDIR) $(BENCH)/bin/python tools/bench.py $(ARGS)

lock: | $(UV) ## choose the newest versions that fit together, and pin them
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --upgrade --extra book --extra test --extra interop --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --upgrade --extra bench -c requirements.lock --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements-bench.lock
	$(PYTHON) tools/javascript.py lock

lint: $(READY) ## check style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python tools/javascript.py lint

serve: book ## build the book and serve it on this machine
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html 8000

clean: ## remove the built book
	rm -rf _build
