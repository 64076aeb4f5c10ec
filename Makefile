# `make help` is the manual. Everything runs in .venv, which local/bootstrap.py makes from the pinned requirements.

PYTHON ?= python3
BIN := .venv/bin
# Compiled code is kept, whatever the environment says: a run and its tests start dozens of processes that load the same.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run load test test-fast test-peers test-chaos bench-pool bench-click soak bench-tracer bench-capacity bench-console bench-start screenshots provision images wheels k8s-check k8s-rules check format proto proto-check proto-image schema lock \
	bootstrap bootstrap-dev bootstrap-bench clean

help: ## Shows this list.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Options of make run: PROXIES=20 COOLDOWN=5s MAX_WAIT=3s TLS=1, or any other as ARGS='--http-port 9080'"
	@echo "  (all of them: make run ARGS=--help). Options of make test: ARGS='-k lease'."
	@echo "  Every bench-* knows ARGS=--smoke and ARGS='--baseline REV' (docs/performance.md)."

bootstrap:
	@$(PYTHON) local/bootstrap.py

bootstrap-dev:
	@$(PYTHON) local/bootstrap.py --dev

bootstrap-bench:
	@$(PYTHON) local/bootstrap.py --dev requirements.txt requirements-local.txt requirements-bench.txt

run: bootstrap ## Starts the whole system on embedded parts, ready to click; Ctrl-C stops it.
	@exec $(BIN)/python -m local --stop-with-parent $(if $(PROXIES),--proxies $(PROXIES)) $(if $(COOLDOWN),--cooldown $(COOLDOWN)) \
		$(if $(MAX_WAIT),--max-wait $(MAX_WAIT)) $(if $(TLS),--tls) $(ARGS)

load: bootstrap ## Clicks CLICKS=10 times at once on the running system; shows exit IPs, times and answers (ARGS=--help).
	@$(BIN)/python -m local.tools.load $(if $(CLICKS),--clicks $(CLICKS)) $(ARGS)

test: bootstrap-dev ## Runs every test that needs nothing but Python: unit, contract, integration, acceptance.
	@$(BIN)/python -m pytest -n 3 --dist loadgroup --ignore tests/peers -m "not chaos" $(ARGS)

test-peers: bootstrap-bench ## Runs the tests with programs of others (grpcurl, …); each says what it misses.
	@PATH="$(CURDIR)/.build/bin:$$PATH" $(BIN)/python -m pytest tests/peers $(ARGS)

test-chaos: bootstrap-dev ## Kills and freezes services and PostgreSQL under load, and checks what they promise.
	@$(BIN)/python -m pytest tests -m chaos $(ARGS)

test-fast: bootstrap-dev ## Runs the tests that need neither processes nor a database.
	@$(BIN)/python -m pytest tests/unit $(ARGS)

bench-pool: bootstrap-bench ## Measures leases beside an empty call, the usual way and pharox, on one PostgreSQL.
	@$(BIN)/python -m bench.pool $(ARGS)

bench-click: bootstrap-dev ## Measures what a click costs beside a bare walk and the same job in one process; ARGS="visitor cost deadline held pressure".
	@$(BIN)/python -m bench.click $(ARGS)

bench-console: bootstrap-dev ## Measures the console's page with 10,000 IPs and 200 clicks a second, in Chromium.
	@$(BIN)/python -m bench.console $(ARGS)

bench-start: bootstrap-dev ## Measures how long make run takes to its first answered click.
	@$(BIN)/python -m bench.start $(ARGS)

screenshots: bootstrap-dev ## Takes the screenshots of docs/images from the running system, with Chromium.
	@$(BIN)/python -m tests.screenshots

bench-capacity: bootstrap-dev ## Measures what one PostgreSQL carries, and that two pools do not disturb each other.
	@$(BIN)/python -m bench.capacity $(ARGS)

bench-tracer: bootstrap-bench ## Measures traces beside bare libcurl, aiohttp, curl -L and minet, on one chain and proxy.
	@$(BIN)/python -m bench.tracer $(ARGS)

.PHONY: reference
reference: bootstrap-dev ## Writes docs/settings.md, and the list of variables that services know, from their declarations.
	@REFRESH_DOCS=1 $(BIN)/python -m pytest -q tests/contract/test_settings_docs.py

.PHONY: docs status click
docs: bootstrap-dev ## Runs every command of docs/operations.md and puts what it says into it; needs grpcurl.
	@PATH="$(CURDIR)/.build/bin:$$PATH" REFRESH_DOCS=1 $(BIN)/python -m pytest -q tests/peers/test_runbook.py $(ARGS)

status: bootstrap ## Counts the pool of a running system; POOL=host:port names another than that of make run.
	@POOL=$(POOL) $(BIN)/python -m local.tools.ask status

click: bootstrap ## Clicks once and explains what became of it: make click OFFER=demo QUERY='gclid=abc123'.
	@GATEWAY=$(GATEWAY) HTTP=$(HTTP) $(BIN)/python -m local.tools.ask click $(if $(OFFER),--offer '$(OFFER)') $(if $(QUERY),--query '$(QUERY)')

soak: bootstrap-dev ## Restarts every process under clicks and checks the books: DURATION=600 MODE=mixed, rolling or kill, RATE=25.
	@$(BIN)/python -m bench.soak $(if $(DURATION),--duration $(DURATION)) $(if $(MODE),--mode $(MODE)) $(if $(RATE),--rate $(RATE)) $(ARGS)

provision: bootstrap ## Fills a running pool from FILE=proxies.csv (or .json), planned first; DRY_RUN=1 only plans.
	@$(BIN)/python -m services.pool_manager provision $(or $(FILE),$(error say which file: make provision FILE=services/pool_manager/examples/luna.csv)) \
		$(if $(DRY_RUN),--dry-run)

images: ## Builds the three images with docker, podman or buildah; TAG=1.2.3, and more in k8s/images.sh --help.
	@k8s/images.sh $(TAG)

wheels: ## Fills ./wheels with what the images install, so that they can be built offline.
	@mkdir -p wheels && $(PYTHON) -m pip download --quiet --no-deps --require-hashes --only-binary :all: \
		--dest wheels --requirement requirements.txt

k8s-check: bootstrap-dev ## Renders every overlay and combination of components, and checks it against schemas and the code.
	@PATH="$(CURDIR)/.build/bin:$$PATH" $(BIN)/python -m pytest tests/peers/test_manifests.py $(ARGS)

k8s-rules: ## Wraps the Prometheus rules for the Prometheus operator, after a change of them.
	@{ printf '# Made by `make k8s-rules` from rules/clicktrace.rules.yaml.\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n'; \
		printf 'metadata:\n  name: clicktrace\nspec:\n'; \
		sed -n '/^groups:/,$$p' k8s/components/monitoring/rules/clicktrace.rules.yaml | sed 's/^./  &/'; \
	} > k8s/components/monitoring/prometheus-rule.yaml

check: bootstrap-dev proto-check ## Checks format, lint, types, import contracts, protos and schemas.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --no-cache
	$(BIN)/pytest -q tests/contract/test_schema.py

format: bootstrap-dev .build/proto-deps ## Formats the code and the protos.
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	$(BIN)/buf format -w protos

# google/rpc/status.proto is the one import from outside; it comes with googleapis-common-protos.
.build/proto-deps: requirements.txt
	@mkdir -p $@/google/rpc
	@$(BIN)/python -c "import google.rpc, shutil; shutil.copy(list(google.rpc.__path__)[0] + '/status.proto', '$@/google/rpc/')"
	@touch $@

PROTOC = $(BIN)/python -m grpc_tools.protoc -Iprotos -I.build/proto-deps \
	--plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	$(shell find protos -name '*.proto' | sort)

proto: bootstrap-dev .build/proto-deps ## Regenerates clicktrace/ from protos/.
	@$(PROTOC) --python_out=. --pyi_out=. --grpc_python_out=. --mypy_grpc_out=quiet:.

proto-check: bootstrap-dev .build/proto-deps ## Fails if protos/ is not clean, breaks its users, or clicktrace/ is not up to date.
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/buf build --exclude-source-info -o .build/image.binpb
	$(BIN)/buf breaking .build/image.binpb --against protos/image.binpb
	@rm -rf .build/generated && mkdir -p .build/generated
	@$(PROTOC) --python_out=.build/generated --pyi_out=.build/generated --grpc_python_out=.build/generated \
		--mypy_grpc_out=quiet:.build/generated
	@diff -r --exclude=__init__.py --exclude=__pycache__ .build/generated/clicktrace clicktrace \
		|| { echo 'clicktrace/ is not what protos/ gives: run make proto and commit the result'; exit 1; }

proto-image: bootstrap-dev .build/proto-deps ## Accepts the present protos as what users rely on (at a release).
	$(BIN)/buf build --exclude-source-info -o protos/image.binpb

schema: bootstrap-dev ## Writes services/*/db/schema.sql from the migrations and functions beside it.
	@REFRESH_SCHEMA=1 $(BIN)/python -m pytest -q tests/contract/test_schema.py

lock: bootstrap-dev ## Compiles the newest versions allowed by requirements*.in into the pinned requirements.
	@for name in requirements requirements-local requirements-dev requirements-bench; do \
		$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
			--no-emit-index-url --no-emit-find-links $$name.in --output-file $$name.txt || exit 1; \
	done

clean: ## Removes what was built and the state of make run; keeps .venv.
	rm -rf .build .local .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
