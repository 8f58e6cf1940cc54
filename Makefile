# The front door. `make demo` runs the whole job on a small web of its own; `make help` lists all.

PYTHON ?= python3
VENV   ?= .venv
DATA   ?= data
CLUSTER ?= local
ARGS   ?=

PY     := $(VENV)/bin/python -m
FLAGS   = --data $(DATA) --cluster $(CLUSTER) $(if $(CONFIG),--config $(CONFIG)) $(if $(LIMIT),--limit $(LIMIT)) $(if $(DRY_RUN),--dry-run) $(ARGS)
WHERE   = $(if $(NODES),--nodes $(NODES)) $(if $(GPUS),--gpus $(GPUS)) $(if $(RUN),--run $(RUN)) $(if $(RECIPE),--recipe $(RECIPE))
TRIAL   = $(if $(SETS),--sets $(SETS)) $(if $(VIEWS),--views $(VIEWS)) $(if $(FUSE),--fuse $(FUSE)) $(if $(CHECKLIST),--checklist "$(CHECKLIST)") $(if $(UNSEEN),--unseen)
COMMA  := ,
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo checklist crawl fetch dedup shards train evaluate compare report status \
        bench test test-slurm check format lint types clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile
	@echo '  variables: DATA= SPECIES= LIMIT= CLUSTER= CONFIG= DRY_RUN=1 ARGS="--set section.key=value"'

install: $(READY)  ## Make .venv with all that is needed

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "worldflora needs Python 3.11 or later: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: DATA := $(if $(filter file,$(origin DATA)),data/demo,$(DATA))
demo: $(READY)  ## The whole job on this machine, in minutes: PHOTOS= CHECKLIST= for pictures of yours
	$(PY) demo $(FLAGS) $(if $(PHOTOS),--photos $(PHOTOS)) $(if $(CHECKLIST),--checklist $(CHECKLIST))

checklist: $(READY)  ## Read a list of names: CHECKLIST=file-or-folder [EXTEND=1]
	$(PY) flora $(FLAGS) checklist $(or $(CHECKLIST),$(error CHECKLIST= is the list to read: ThePlantList, World Flora Online or WCVP)) $(if $(EXTEND),--extend)

crawl: $(READY)  ## Search and fetch: SPECIES=file-or-names [RETRY=timeout,http_5xx]
	$(PY) crawler $(FLAGS) $(if $(SPECIES),--species "$(SPECIES)") $(if $(RETRY),--retry "$(RETRY)")

fetch: $(READY)  ## Fetch a list of URLs, no search: URLS=file.txt, .csv or .parquet [RETRY=...]
	$(PY) crawler $(FLAGS) $(if $(RETRY),--retry "$(RETRY)") fetch --urls "$(or $(URLS),$(error URLS= is the list: a txt, csv or parquet))"

dedup: $(READY)  ## Find duplicates and decide what stays: [HOLDOUT=folder-or-table]
	$(PY) dedup $(FLAGS) $(if $(HOLDOUT),--holdout "$(HOLDOUT)")

shards: $(READY)  ## Pack what stays: [VERIFY=1 reads it all again]
	$(PY) shards $(FLAGS) $(if $(VERIFY),--verify)

train: $(READY)  ## Train on the shards: [NODES=n] of SLURM [GPUS=of-each] [RUN=name] [RECIPE=longtail]
	$(PY) train $(FLAGS) $(WHERE)

evaluate: $(READY)  ## Evaluate a run: [SETS=test,folder,...] [VIEWS=10] [FUSE=logs,mean,max] [CHECKLIST=list] [UNSEEN=1]
	$(PY) train $(FLAGS) $(WHERE) evaluate $(TRIAL)
	$(PY) evaluate $(FLAGS) table $(or $(RUN),main)

compare: $(READY)  ## By how much the second run is better: RUNS=one,two [SETS=test]
	$(PY) evaluate $(FLAGS) compare $(subst $(COMMA), ,$(or $(RUNS),$(error RUNS= is two runs of DATA/runs: RUNS=before,after))) $(if $(SETS),--on $(SETS))

report: $(READY)  ## Write DATA/report.html
	$(PY) report $(FLAGS)

status: $(READY)  ## What is done and what is left
	$(PY) flora $(FLAGS) status

bench: $(READY)  ## Measure a claim: NAME=checklist, ...
	$(VENV)/bin/python -m bench.$(or $(NAME),$(error NAME= is one of: $(filter-out %_peers,$(patsubst bench/%.py,%,$(shell grep -lE "^def main|__main__" bench/[a-z]*.py))))) $(CHECKLIST) $(ARGS)

test: $(READY)  ## The tests, in two processes
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

test-slurm: $(READY)  ## Train and pack on a SLURM of four nodes, set up on this machine: as root, Debian
	$(VENV)/bin/python -m pytest tests/slurm -rs $(ARGS)

check: lint types test  ## Format, lint, types and tests

lint: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

format: $(READY)  ## Put the code into its form
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

types: $(READY)
	$(VENV)/bin/mypy

clean:  ## Remove the virtual environment and caches; data stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
