# Every command. `make help` lists them.
PY := .venv/bin/python
# Three at once, since tests wait for servers and programs; those of `check` wait for nothing.
PYTEST = $(PY) -m pytest -q -n $(if $(filter check,$@),2,3) --dist loadfile --no-loadscope-reorder $(if $(filter tests/%,$(ONLY)),$(ONLY),$(if $(ONLY),-k "$(ONLY)"))

# A shell that forbids bytecode makes every start several seconds slower.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH
unexport PYTHONHOME
# Commands that need a model take the shipped one; monitor, retrain and decisions take all when MODEL is not given.
pipeline evaluate plan lr-find sweep promote rollback: MODEL ?= triage
.PHONY: help setup pipeline evaluate plan sweep win-rate judge sheet sheet-in confidence constitutional snapshot test check lint up down ui key monitor retrain decisions promote rollback drift-demo lr-find gpu methods reference lock
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

setup: ## build the environment in .venv (DEVICE=cpu|gpu; detected by default)
	@infra/setup.sh

pipeline: setup ## from raw data to a served model (MODEL=triage)
	@$(PY) -m flows.pipeline $(MODEL)

evaluate: setup ## compare a model with every alternative, nearest neighbours and retrieved examples included (MODEL=triage)
	@$(PY) -m flows.evaluate $(MODEL)

sweep: setup ## try settings of a training by its row of `sweeps`, the best ones in full, judged on rows no trial has seen (MODEL=triage)
	@$(PY) -m flows.sweep $(MODEL)

win-rate: setup ## how often a model's answers are better than another's (MODEL=mine AGAINST=triage BY=rubric, reward, judge or people; WITH=which ON=dataset ROWS=50 TEMPERATURE=1; FILE=anna.csv READER=Anna)
	@$(PY) -m flows.win_rate $(or $(MODEL),$(error name a model: make win-rate MODEL=mine AGAINST=triage)) $(or $(AGAINST),$(error name the other: AGAINST=triage)) \
	  $(if $(BY),--by $(BY)) $(if $(WITH),--with $(WITH)) $(if $(ON),--on $(ON)) $(if $(ROWS),--rows $(ROWS)) $(if $(TEMPERATURE),--temperature $(TEMPERATURE)) $(if $(SEED),--seed $(SEED)) \
	  $(if $(FILE),--file '$(FILE)') $(if $(READER),--reader '$(READER)') $(if $(filter model,$(READER_IS)),--model-read)

judge: setup ## have a judge (ANNEAL_JUDGE_URL) compare sampled answers (RANKING=mine)
	@$(PY) -m flows.judge judge $(or $(RANKING),$(error name a ranking: make judge RANKING=mine))

sheet: setup ## write a blind sheet, for people to compare sampled answers (RANKING=mine)
	@$(PY) -m flows.judge sheet $(or $(RANKING),$(error name a ranking: make sheet RANKING=mine))

sheet-in: setup ## read a sheet that came back (RANKING=mine FILE=anna.csv READER=Anna; READER_IS=model for one that a model filled in)
	@$(PY) -m flows.judge sheet-in $(or $(RANKING),$(error name a ranking: RANKING=mine)) '$(or $(FILE),$(error name the sheet: FILE=anna.csv))' \
	  '$(or $(READER),$(error name who read it: READER=Anna))' $(if $(filter model,$(READER_IS)),--model)

confidence: setup ## write rows that say how sure answers may be: how often sampled ones were right (SAMPLES=mine ABOUT=intent,priority)
	@$(PY) -m flows.judge confidence $(or $(SAMPLES),$(error name a row of samples: make confidence SAMPLES=mine)) $(if $(ABOUT),--about '$(ABOUT)')

constitutional: setup ## have a model (ANNEAL_JUDGE_URL) revise sampled answers by principles (SAMPLES=mine PRINCIPLES=data/principles/support.yaml)
	@$(PY) -m flows.judge constitutional $(or $(SAMPLES),$(error name a row of samples: SAMPLES=mine)) '$(or $(PRINCIPLES),data/principles/support.yaml)'

plan: setup ## what a training will come to, and advice: memory, tokens, steps, time, disk, the largest batch (MODEL=triage)
	@$(PY) -m flows.plan $(MODEL)

lr-find: setup ## suggest a learning rate by a range test on a model's own rows (MODEL=triage; LOW=1e-6 HIGH=1 STEPS=100)
	@$(PY) -m flows.lr_find $(MODEL) $(if $(LOW),--low $(LOW)) $(if $(HIGH),--high $(HIGH)) $(if $(STEPS),--steps $(STEPS))

snapshot: setup ## fetch data from databases, URLs and hubs (DATASET=tickets; all by default)
	@$(PY) -m flows.snapshot $(DATASET)

test: setup ## run the tests (ONLY=tests/tasks/test_gate.py or ONLY=word: only those of a file, or with the word in their names; ANNEAL_ALL_TESTS=1: the slowest too, and no skips)
	@$(PYTEST) --durations=10 $(if $(filter 1,$(ANNEAL_ALL_TESTS)),,-m "not minutes")

check: lint ## under a minute: style, imports, types, and the tests that neither train nor start anything
	@$(PYTEST) -m "not slow"

lint: setup ## check style, imports and types
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && .venv/bin/lint-imports --no-logo && $(PY) -m mypy

up: setup ## start everything, supervised: Prefect, MLflow, vLLM, gateway, reconciler, schedules
	@$(PY) -m tasks.serve.local up

down: setup ## stop everything
	@$(PY) -m tasks.serve.local down
	@if [ -d .anneal/demo ]; then cd .anneal/demo && ../../$(PY) -m tasks.serve.local down >/dev/null; fi

ui: setup ## show what is running, and where
	@$(PY) -m tasks.serve.local ui

key: setup ## create a key for the gateway (NAME=alice; ADMIN=1 for the dashboard's buttons)
	@$(PY) -m tasks.serve.gateway.keys $(or $(NAME),$(error name the key: make key NAME=alice)) $(if $(ADMIN),--admin)

monitor: setup ## check for drift now (MODEL=triage; all by default)
	@$(PY) -m flows.monitor $(MODEL)

retrain: setup ## decide now whether to retrain, and retrain if so (MODEL=triage; all by default; NOW=1 asks for it, cool-down or not)
	@$(PY) -m flows.retrain $(MODEL) $(if $(NOW),--now)

decisions: setup ## show what was decided, and why (MODEL=triage; all by default)
	@$(PY) -m tasks.retrain.show_decisions $(MODEL)

drift-demo: setup ## play the whole loop once, in a copy of the project (PREFERENCES=1: learn from pairs too)
	@$(PY) -m flows.demo $(if $(PREFERENCES),preferences)

promote: setup ## make @challenger the @champion and serve it (MODEL=triage; FORCE=1 overrules the gate)
	@$(PY) -m tasks.steps.release promote $(MODEL) $(if $(FORCE),force)

rollback: setup ## make @previous the @champion again and serve it (MODEL=triage)
	@$(PY) -m tasks.steps.release rollback $(MODEL)

gpu: setup ## check training on this machine's GPU: precisions, optimizers, resuming, speed, memory (MINUTES=10)
	@$(PY) bench/gpu.py --minutes $(or $(MINUTES),10)

methods: setup ## list what can be trained, on what data, and how it is served
	@$(PY) -m tasks.methods

reference: setup ## write docs/reference.md from the code
	@$(PY) -m tasks.reference

lock: setup ## resolve infra/requirements/*.in again
	@for device in cpu gpu; do .venv/bin/uv pip compile -q --python-version 3.11 --no-header --no-emit-index-url --no-annotate \
	  --override infra/requirements/$$device.overrides.txt infra/requirements/base.in infra/requirements/$$device.in -o infra/requirements/$$device.lock; done
