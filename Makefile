# The front door. `make help` lists it.
MODEL ?= triage
PY := .venv/bin/python
# With ANNEAL_ALL_TESTS=1 three at once: tests that take minutes wait for servers half of their time.
PYTEST = $(PY) -m pytest -q -n $(if $(filter 1,$(ANNEAL_ALL_TESTS)),3,2) --dist loadfile --no-loadscope-reorder $(if $(filter tests/%,$(ONLY)),$(ONLY),$(if $(ONLY),-k "$(ONLY)"))

# A shell that forbids bytecode makes every start several seconds slower.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH
unexport PYTHONHOME
.PHONY: help setup pipeline evaluate snapshot test check lint up down ui key monitor retrain decisions promote rollback drift-demo gpu methods lock
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

setup: ## the environment in .venv (DEVICE=cpu|gpu; found when not given)
	@infra/setup.sh

pipeline: setup ## raw data to a served model (MODEL=triage)
	@$(PY) -m flows.pipeline $(MODEL)

evaluate: setup ## a model beside all that could answer in its place: also nearest neighbours, retrieved examples (MODEL=triage)
	@$(PY) -m flows.evaluate $(MODEL)

snapshot: setup ## fetch the data that are not files here: databases, URLs, hubs (DATASET=tickets; all when not given)
	@$(PY) -m flows.snapshot $(DATASET)

test: setup ## the tests (ONLY=tests/tasks/test_gate.py: those of a file; ONLY=word: those with the word in their names; ANNEAL_ALL_TESTS=1: also those that take minutes, and none may be skipped)
	@$(PYTEST) --durations=10 $(if $(filter 1,$(ANNEAL_ALL_TESTS)),,-m "not minutes")

check: lint ## what takes less than a minute: style, imports, types, and the tests that train nothing and start nothing
	@$(PYTEST) -m "not slow"

lint: setup ## style, imports and types
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && .venv/bin/lint-imports --no-logo && $(PY) -m mypy

up: setup ## the whole local system, supervised: Prefect, MLflow, vLLM, gateway, reconciler, schedules
	@$(PY) -m tasks.serve.local up

down: setup ## stop them
	@$(PY) -m tasks.serve.local down
	@if [ -d .anneal/demo ]; then cd .anneal/demo && ../../$(PY) -m tasks.serve.local down >/dev/null; fi

ui: setup ## where they are
	@$(PY) -m tasks.serve.local ui

key: setup ## a key for the gateway (NAME=alice, ADMIN=1 for the dashboard's buttons)
	@$(PY) -m tasks.serve.gateway.keys $(or $(NAME),$(error give the key a name: make key NAME=alice)) $(if $(ADMIN),--admin)

monitor: setup ## check for drift now (TASK=triage; all when not given)
	@$(PY) -m flows.monitor $(TASK)

retrain: setup ## decide about retraining now, and do it when the answer is yes (TASK=triage, NOW=1 by hand)
	@$(PY) -m flows.retrain $(TASK) $(if $(NOW),--now)

decisions: setup ## what was decided, and why (TASK=triage)
	@$(PY) -m tasks.retrain.book $(TASK)

drift-demo: setup ## the whole loop played once, in a copy of the project
	@$(PY) -m flows.demo

promote: setup ## serve @challenger and make it @champion (MODEL=triage, FORCE=1 against the gate)
	@$(PY) -m tasks.release promote $(MODEL) $(if $(FORCE),force)

rollback: setup ## serve @previous and make it @champion again (MODEL=triage)
	@$(PY) -m tasks.release rollback $(MODEL)

gpu: setup ## check training on this machine's GPU: precisions, optimizers, resuming, speed, memory (MINUTES=10)
	@$(PY) bench/gpu.py --minutes $(or $(MINUTES),10)

methods: setup ## what can be trained, on what, how it is served: shapes, objectives, tuners
	@$(PY) -m tasks.methods

lock: setup ## resolve infra/requirements/*.in anew
	@for device in cpu gpu; do .venv/bin/uv pip compile -q --python-version 3.11 --no-header --no-emit-index-url --no-annotate \
	  --override infra/requirements/$$device.overrides.txt infra/requirements/base.in infra/requirements/$$device.in -o infra/requirements/$$device.lock; done
