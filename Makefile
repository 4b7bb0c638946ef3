# Everything runs in .venv, which the first target that needs it sets up: only Python >= 3.11 and make are needed.
PYTHON ?= python3
TRACE ?= fixtures/gpu/train.plain.trace.json.gz
OOM ?= fixtures/gpu/oom_leak.plain.snapshot.pickle.gz
MINUTES ?= 10
BIN := .venv/bin
# Pinned and installed first, so that nothing later can pull in another build of it.
TORCH := torch==2.13.0
AXE := axe-core@4.14.1
CODE := traceanalyzer tests fixtures

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint lowest bench peers fuzz fixtures reports accuracy clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: .venv/ready .venv/axe.min.js ## Set up .venv with the package and what its tests need

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

# What checks that everybody can use the page; a test without it says so. No package of Python has the current one.
.venv/axe.min.js: .venv/ready
	@cd .venv && npm pack --silent $(AXE) > /dev/null && tar -xzf axe-core-*.tgz --strip-components=1 package/axe.min.js \
	  && rm axe-core-*.tgz && touch axe.min.js || echo "$(AXE) could not be fetched: npm and its registry are needed for that test"

# Apart, because the peers to compare with bring half of Jupyter.
.venv/bench-ready: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH) --editable '.[test,bench]'
	@touch $@

# Apart from all else, because a tab of theirs would open in our tests of TensorBoard, and they need an older pandas.
.venv/peers/ready: .venv/ready
	$(BIN)/python -m venv .venv/peers
	.venv/peers/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[peers]'
	@touch $@

demo: .venv/ready ## Run the report on a trace of an H200 and say where the page is (TRACE=run.json for yours)
	@mkdir -p demo
	@$(BIN)/trace-analyze report $(TRACE) -o demo/report.html --json demo/report.json --force
	@echo "The page: file://$(CURDIR)/demo/report.html"

test: lint .venv/axe.min.js ## Set up, check style, types and imports, run every test
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: .venv/ready ## Style, types, and the direction of imports
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

lowest: ## Run the tests with the oldest versions that pyproject.toml allows, in .venv-lowest
	$(PYTHON) -m venv .venv-lowest
	$(PYTHON) tests/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' \
	  --constraint .venv-lowest/constraints.txt $(TORCH)
	.venv-lowest/bin/python -m pytest -n auto --dist worksteal --ignore tests/conformance

bench: .venv/bench-ready ## Compare with other tools on 100 MB and 500 MB, write reports/benchmarks.md (half an hour)
	$(BIN)/python tests/benchmarks/run.py
	$(BIN)/python tests/benchmarks/snapshot.py --report reports/benchmarks.md
	$(BIN)/python tests/benchmarks/page.py --report reports/benchmarks.md
	$(BIN)/python tests/benchmarks/nsys.py --report reports/benchmarks.md

peers: .venv/peers/ready ## Ask other tools about the same recordings, write reports/peers.md (five minutes)
	$(BIN)/python -m fixtures.peers -o reports/peers.md

fuzz: .venv/ready ## Damage traces, then snapshots and error texts, for MINUTES each, and see that nothing crashes or runs
	$(BIN)/python tests/fuzz/run.py --minutes $(MINUTES)
	$(BIN)/python tests/fuzz/memory.py --minutes $(MINUTES)

fixtures: .venv/ready ## Simulate and record the traces in fixtures/ anew
	$(BIN)/python -m fixtures.simulator -o fixtures/simulated
	$(BIN)/python fixtures/recorders/cpu.py -o fixtures/recorded
	$(BIN)/python -m fixtures.memory -o fixtures/snapshots

reports: .venv/ready ## Write the sample report and its screenshots in reports/ anew (screenshots need Chromium)
	$(BIN)/trace-analyze report $(TRACE) -o reports/sample.html --json reports/sample.json --force
	@mkdir -p demo
	$(BIN)/trace-analyze report $(TRACE) -o demo/sample.zh.html --lang zh --force
	$(BIN)/trace-analyze report $(OOM) -o demo/oom.html --force
	$(BIN)/trace-analyze report $(OOM) -o reports/oom.md --force
	$(BIN)/python tests/browser/screenshots.py reports/sample.html demo/sample.zh.html demo/oom.html reports
	$(BIN)/python tests/browser/screenshots_tensorboard.py reports
	$(BIN)/python -c "from traceanalyzer.rules.explain import reference; print(reference(), end='')" > reports/rules.md

accuracy: .venv/ready ## Compare the analysis with recordings, ncu and the clock, write reports/accuracy.md
	$(BIN)/python -m fixtures.accuracy -o reports/accuracy.md

clean: ## Remove what make and the tools left behind
	rm -rf .venv .venv-lowest demo dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
