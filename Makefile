# The one place that knows how to build, test and install flockq. `make help` lists the targets.

SHELL := /bin/bash
PREFIX ?= /usr/local

.PHONY: help build demo test prove bench bench-peers lint install clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/'

build: ## the command line, the libraries, the Go driver and the Python module (.venv)
	@scripts/make.sh build

demo: ## C, Go, Python and Rust share one directory for about 10 seconds while consumers are killed
	@scripts/make.sh demo

test: ## everything, in every language
	@scripts/make.sh test

prove: ## what test does in part, whole; deliberate bugs; schedules, Miri, sanitizers, fuzzing; docs/reliability.md
	@scripts/prove.sh

bench: ## how fast, beside SQLite and the bare system calls (ROUNDS=7)
	@cd benches && CARGO_TARGET_DIR=../target/bench cargo run --quiet --release

bench-peers: ## how fast, beside what people use today: writes docs/benchmarks.md, in about 35 minutes (ROUNDS=3)
	@scripts/bench-peers.sh --rounds $(or $(ROUNDS),3)

lint: ## formatting, lints, licences
	@scripts/make.sh lint

install: ## header, libraries, pkg-config file and command line below PREFIX (/usr/local)
	@scripts/install.sh "$(PREFIX)"

clean: ## everything that was built
	rm -rf target .venv go/internal/native/*/libflockq.a go/internal/native/*/library.go
