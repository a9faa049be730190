# A fresh clone needs Python 3.11 to 3.13 and make; the rest goes into .venv, once.

IN_RANGE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c '$(IN_RANGE)' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
READY := .venv/.ready
BENCH_READY := .venv/.bench-ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet

.PHONY: help demo test check bench bench-quick faults faults-quick lock clean

help: ## print what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1 - \2/p' Makefile

demo: $(READY) ## a year of real flights through Kafka: the drift that is there, and nothing else
	@$(BIN)/tidegauge demo

test: $(READY) ## check, then every test and doctest, on a real Apache Kafka
	@echo "style, types, layers, kernels as plain Python, then every test on a real Apache Kafka: about 17 minutes on 2 cores"
	@$(MAKE) --no-print-directory check
	@NUMBA_DISABLE_JIT=1 $(BIN)/python -m coverage run -m pytest --quiet tests/detectors
	@$(BIN)/python -m coverage report
	@REQUIRE_JIT=1 $(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY) ## style, types and layers, as CI runs them
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: $(BENCH_READY) ## speed, latency and memory beside peers, in ten minutes; writes docs/benchmarks.md, fails where a target is missed
	@$(BIN)/python -m load_tests --page

bench-quick: $(BENCH_READY) ## less of the same in two minutes; writes nothing, fails likewise
	@$(BIN)/python -m load_tests --quick

faults: $(BENCH_READY) ## inject faults into a year of real flights: what is told of them; writes docs/detection.md
	@$(BIN)/python -m load_tests.faults --page

faults-quick: $(BENCH_READY) ## less of the same; prints it
	@$(BIN)/python -m load_tests.faults --quick

# With 3.11: what it needs contains what 3.12 and 3.13 need, so one lock serves all three.
lock: $(READY) ## work out requirements.txt anew, keeping the versions that still fit
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "lock with Python 3.11")'
	@CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --strip-extras \
		--allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--extra worker --extra broker --extra dev --output-file requirements.txt pyproject.toml
	@CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --strip-extras \
		--allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--extra worker --build-deps-for wheel --constraint requirements.txt \
		--output-file requirements-worker.txt pyproject.toml

clean: ## remove .venv, caches and builds
	@rm -rf .venv build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.txt requirements-demo.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "needs Python 3.11, 3.12 or 3.13 with venv; name one: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@$(PYTHON) -c '$(IN_RANGE)' 2>/dev/null || { echo "expected Python 3.11 to 3.13 with venv, got $(PYTHON)" >&2; exit 2; }
	@echo "installing into .venv with $$($(PYTHON) --version); this happens once"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --require-hashes --no-deps --no-build-isolation -r requirements-demo.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(BENCH_READY): $(READY) requirements-bench.txt
	@echo "installing the benchmark's peers and plots, and a file of diamonds; this happens once"
	@$(PIP) install --require-hashes --no-deps -r requirements-bench.txt
	@touch $@
