# Each line is a plain command that you can run by hand.

# Behind a TLS-inspecting proxy, pip must trust what this machine trusts.
export PIP_CERT ?= $(wildcard /etc/ssl/certs/ca-certificates.crt)

help: ## list all targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: chosen up ## start the system and run one job from its prompt to its ZIP; with DEMO_MODEL=1, use a model
	scripts/tools.sh python3
	python3 scripts/demo.py

up: engine ## build and start the system; return when it is healthy
	scripts/prepare.sh
	scripts/up.sh

down: ## stop the system: drain and cancel jobs, and remove every container
	scripts/down.sh

doctor: ## check everything that the system needs, and print the remedies; change nothing
	scripts/doctor.sh

model: ## run a local model and use it for prompts: make model MODEL_FILE=some.gguf
	scripts/model.sh

test: .venv/made images ## run all tests on a real Docker engine, and report coverage
	scripts/tools.sh curl unzip wget chromium
	.venv/bin/pytest tests --numprocesses 3 --dist loadfile --cov --cov-report=
	.venv/bin/python -m tests.support.coverage_report

test-fast: .venv/made ## run the quick tests, which need no Docker engine
	.venv/bin/pytest tests -m "not docker and not server and not slow" --numprocesses auto --dist loadfile

bench: .venv/made images ## time jobs over the API against bare docker run
	.venv/bin/python -m bench

skill: .venv/made images ## measure how many real tasks the configured model does, alone and in the product
	.venv/bin/python -m skill

lint: .venv/made ## run ruff, mypy --strict and import-linter
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict orchestrator agent protocol skill
	.venv/bin/lint-imports --no-cache

chosen:
	scripts/model.sh chosen

engine:
	scripts/engine.sh

images: engine
	scripts/prepare.sh
	scripts/compose.sh build

.venv/made: tests/requirements.txt orchestrator/requirements.txt agent/requirements.txt
	scripts/tools.sh python3
	python3 -m venv --clear .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch .venv/made

.PHONY: help demo up down doctor model test test-fast bench skill lint chosen engine images
