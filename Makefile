# Everything a person does here. `make demo` and `make test` set up all they need.
SHELL := bash
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export UV := $(CURDIR)/.tooling/bin/uv
TESTBED := python3 -m tools.testbed

BENCHES := $(shell sed -n 's/^\(bench-[a-z-]*\):.*/\1/p' Makefile)
.PHONY: help setup demo demo-clean test lint unit molecule docs planner-errors clean $(BENCHES)

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## Install Ansible into .venv and link this checkout as the collection onprem.llm
	@tools/setup.sh

demo:  ## Start a test host, install everything on it, ask a question (ENGINES=ollama,vllm for both; TIMES=1 for times)
	@$(if $(TIMES),ANSIBLE_CALLBACKS_ENABLED=ansible.posix.profile_roles) ENGINES=$(or $(ENGINES),ollama) tools/demo.sh

demo-clean:  ## Remove the demo's host, images and state; stop Docker if the demo started it
	@$(TESTBED) clean
	@rm -rf .cache/demo

test:  ## Everything below, in order; the last line counts
	@tools/setup.sh go dev
	@python3 -m tools.test

lint:  ## Linters, type check, ansible-test sanity
	@tools/setup.sh go dev
	@python3 -m tools.test lint sanity

unit:  ## Unit tests of Python and Lua
	@tools/setup.sh go dev
	@python3 -m tools.test unit lua

molecule:  ## Scenarios on test hosts (SCENARIO=ollama for one)
	@tools/setup.sh go dev
	@python3 -m tools.test $(if $(SCENARIO),molecule-$(SCENARIO),molecule)

docs:  ## Write docs/reference from the modules' and roles' own documentation
	@tools/setup.sh go dev
	@python3 -m tools.reference

bench-demo:  ## Time to the first token from nothing, and of a second run
	@tools/setup.sh go dev
	@python3 -m benchmarks.demo

bench-noop:  ## Time of site.yml where nothing is to do
	@tools/setup.sh go dev
	@python3 -m benchmarks.noop

bench-vllm:  ## Time from a base image to the first answer of vLLM on the CPU, with an empty and a warm cache
	@tools/setup.sh go dev
	@python3 -m benchmarks.vllm

bench-converge:  ## What 20 listed models of Ollama cost a run with nothing to do
	@tools/setup.sh go dev
	@python3 -m benchmarks.converge

bench-pull-ollama:  ## Pull of a 2 GB model from a mirror, against ollama pull
	@tools/setup.sh go dev
	@python3 -m benchmarks.pull_ollama

bench-gateway:  ## What the gateway costs, against plain nginx
	@tools/setup.sh go dev
	@python3 -m benchmarks.gateway

bench-streams:  ## 200 open streams over three reloads of nginx
	@tools/setup.sh go dev
	@python3 -m benchmarks.streams

bench-mirror:  ## A 1 GB file from a mirror to 16 clients, against plain nginx
	@tools/setup.sh go dev
	@python3 -m benchmarks.mirror

bench-pull:  ## A 2 GB file over loopback, against curl and sha256sum
	@tools/setup.sh go dev
	@python3 -m benchmarks.pull

bench-pull-resume:  ## What a run killed at 90 % fetches again, against hf and aria2c
	@tools/setup.sh go dev
	@python3 -m benchmarks.pull_resume

bench-pull-lossy:  ## A big file over a lossy link, against hf and aria2c
	@tools/setup.sh go dev
	@python3 -m benchmarks.pull_lossy

bench-pull-small:  ## 1,000 small files over loopback, against hf
	@tools/setup.sh go dev
	@python3 -m benchmarks.pull_small

bench-facts:  ## What it costs to know a host, and to judge ten
	@tools/setup.sh go dev
	@python3 -m benchmarks.facts

bench-pull-again:  ## A second run for a model of 20 GB that is there
	@tools/setup.sh go dev
	@python3 -m benchmarks.pull_again

planner-errors:  ## Errors of the planner against measurements (CSV=FILE; WRITE=1 for docs/planner-errors.md)
	@tools/setup.sh go dev
	@PYTHONPATH=.collections python3 -m tools.planner_errors $(CSV) $(if $(WRITE),--write)

clean: demo-clean  ## Remove everything that is not in git
	@chmod -R u+w .cache 2> /dev/null; rm -rf .cache .collections .tooling .venv .pytest_cache .mypy_cache .ruff_cache .ansible
