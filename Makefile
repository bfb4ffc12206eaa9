# Everything runs from .venv, which is made on first use and renewed when pyproject.toml or constraints.txt change.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DEV := $(VENV)/.dev-installed
DOCS := $(VENV)/.docs-installed
RELEASE := $(VENV)/.release-installed
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: demo test slow check names readers audit sbom docs film wheel page bench fleet chaos clean help
.DEFAULT_GOAL := help

demo: $(DEV)  ## track a bird through a real clip; the result lies in selfvos-demo/
	$(BIN)/selfvos demo --overwrite

test: $(DEV)  ## run the tests (ARGS="tests/ops -k matching" narrows them)
	$(BIN)/pytest -q -n 2 --dist loadscope --no-loadscope-reorder -m "not slow" $(ARGS)

slow: $(DEV)  ## run the long forms of tests, which take minutes each
	$(BIN)/pytest -q -n 2 -m slow $(ARGS)

check: $(DEV)  ## format, lint, types and floors, in under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

names: $(DEV)  ## write down the names that the shell completes, after one was added or taken away
	$(BIN)/python -m selfvos.cli.completion > names.json.new && mv names.json.new src/selfvos/cli/names.json

readers: $(DEV)  ## install the programs of others that the tests of the formats read with
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement tests/formats/readers.txt

audit: $(DEV)  ## ask the public databases about vulnerable packages (needs a network)
	$(INSTALL) ".[audit]"
	$(BIN)/python .ci/audit.py

sbom: $(DEV)  ## list all that is installed, as CycloneDX, in dist/sbom.json
	$(INSTALL) ".[audit]"
	@mkdir -p dist
	$(BIN)/cyclonedx-py environment --output-format JSON --output-file dist/sbom.json $(BIN)/python

docs: $(DOCS)  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

film: $(DEV)  ## film the page for the README, in Chromium and with the weights that ship (some minutes)
	SELFVOS_FILM=docs/figures/page.webp $(BIN)/pytest -q --timeout 900 tests/web/journeys/test_film.py

wheel: $(RELEASE)  ## build what is published into dist/, check it, and use it in an environment that holds nothing else
	rm -rf dist build/wheel
	$(BIN)/python -m build --outdir dist . >/dev/null
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv build/wheel
	@# Only torch is held to its pin, so that the build for CPUs is taken where pip knows one. All else is the newest.
	grep '^torch==' constraints.txt > build/torch.txt
	build/wheel/bin/pip install --quiet --disable-pip-version-check --no-compile --constraint build/torch.txt \
		"$$(ls dist/*.whl)[web]"
	build/wheel/bin/python .ci/try_wheel.py
	rm -rf build/wheel build/torch.txt

page: frontend/node_modules  ## build the page of 'selfvos web' into the package (needs Node.js; users do not)
	cd frontend && npx tsc --noEmit && npm run --silent build

frontend/node_modules: frontend/package-lock.json
	cd frontend && npm ci --silent
	@touch $@

bench: $(DEV)  ## measure speed and memory against plain references (QUICK=1 for fewer repetitions)
	$(BIN)/python -m benchmarks.run $(if $(QUICK),--quick) $(ARGS)

chaos: $(DEV)  ## track 10,000 tiny videos while workers are killed, and look (half an hour; ARGS="--videos 500" for fewer)
	$(BIN)/python -m benchmarks.chaos build/chaos $(ARGS)

fleet: $(DEV)  ## track 200 clips on two workers, kill one midway, and look (VIDEOS=folder of videos)
	$(BIN)/python -m benchmarks.fleet "$(VIDEOS)" build/fleet --clips 200 --workers 2 --kill $(ARGS)

clean:  ## remove what the other targets made, except .venv and results
	rm -rf build dist site .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' Makefile | expand -t 8

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "selfvos needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(DEV): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing selfvos into $(VENV); the first time takes a few minutes."
	$(INSTALL) ".[dev]"
	@touch $@

$(DOCS): $(DEV)
	$(INSTALL) ".[docs]"
	@touch $@

$(RELEASE): $(DEV)
	$(INSTALL) ".[release]"
	@touch $@
