# make             set up what a grade needs, then grade what was started
# make notebooks   set up Jupyter, then open notebooks/start_here.ipynb
# make test        set up the rest, then check everything that must hold
# make lint        set up the rest, then check style and types
#
# PYTHON=python3.13 takes that Python. TORCH=auto takes the build of PyTorch that fits this machine's GPU; graders and
# notebooks compute on the CPU.

PYTHON ?= python3
TORCH ?= cpu
UV := uv==0.13.8
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PARALLEL := -p xdist.plugin -n auto --maxprocesses 4
PIP := $(BIN)/python -m pip install --disable-pip-version-check

.PHONY: grade notebooks test lint

# Exit status 1 says that an answer is wrong, which is no failure of make's; 2 and 3 are.
grade: $(VENV)/grade
	@$(BIN)/python grader.py || [ $$? -eq 1 ]

notebooks: $(VENV)/notebooks
	$(BIN)/python -m jupyterlab notebooks/start_here.ipynb

test: $(VENV)/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -p nbval.plugin --nbval --nbval-current-env --nbval-cell-timeout=60 $(PARALLEL) --dist loadfile notebooks/*.ipynb notebooks/zh/*.ipynb
	$(BIN)/python docs/screens.py --check
	$(BIN)/python -m pytest -q --candidate=solutions --ignore=tests/engine
	$(BIN)/python -m pytest -q $(PARALLEL) tests/engine

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci docs/gitlab-ci.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --offline --quiet --persona pedantic .github

# Set-up: three lists of packages, each with a mark in .venv. The first holds PyTorch, whose CPU build uv finds by itself;
# where uv cannot have it, pip takes the default build. Later lists find PyTorch installed.

$(VENV)/grade: requirements.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or later is needed: make PYTHON=python3.12')"
	@echo "Setting up $(VENV): 24 packages, 230 MB to download and 1.1 GB on the disk with PyTorch's CPU build."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --quiet $(UV) || true
	@$(BIN)/uv pip install --python $(BIN)/python --torch-backend $(TORCH) -r requirements.txt || { \
	  echo "Set-up: uv cannot have that build here, so pip takes the default one: on Linux that can be 3 GB to download and 5 GB on the disk."; \
	  $(PIP) -r requirements.txt; }
	@touch $@

$(VENV)/notebooks: requirements-notebooks.txt $(VENV)/grade
	@echo "Setting up Jupyter and Matplotlib: 93 packages, 75 MB to download and 340 MB on the disk."
	@$(PIP) -r requirements-notebooks.txt
	@touch $@

$(VENV)/dev: requirements-dev.txt $(VENV)/notebooks
	@echo "Setting up tests and lint: 22 packages, 40 MB to download and 110 MB on the disk."
	@$(PIP) -r requirements-dev.txt
	@touch $@
