# The commands for newcomers, developers and CI. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install wheelhouse demo up down test test-unit test-all cluster-test offline-test lint docs bench lock clean \
  images secrets sbom audit images-lint images-test

VENV := .venv
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
# The first Python that the locks support.
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info < (3,14))' 2>/dev/null && echo $$p && break; done)
# `make install ACCELERATOR=gpu` installs CUDA wheels; all other targets use what is installed.
ACCELERATOR := $(or $(patsubst $(VENV)/.installed-%,%,$(wildcard $(VENV)/.installed-*)),cpu)
STAMP := $(VENV)/.installed-$(ACCELERATOR)
# Build backends are pinned and hashed like the rest.
BUILD := --build-constraints requirements/build.txt
# `make wheelhouse` fills a folder, by default wheelhouse/; `make install WHEELHOUSE=folder` installs from it alone.
WHEELHOUSE :=
HOUSE := $(or $(WHEELHOUSE),wheelhouse)
# It has a note for each lock that it serves. Wheels fit one version of Python and one kind of processor.
SERVES = $(ACCELERATOR)-$(shell $(PYTHON) -c 'import sys, platform; print("python%d.%d" % sys.version_info[:2], platform.machine(), sep="-")')
LOCKS = cat requirements/build.txt requirements/audit.txt requirements/$(ACCELERATOR).txt | sha256sum
ifneq ($(WHEELHOUSE),)
ifeq ($(filter wheelhouse,$(MAKECMDGOALS)),)
export PIP_NO_INDEX := 1
export PIP_FIND_LINKS := $(WHEELHOUSE)
export UV_FIND_LINKS := $(WHEELHOUSE)
export UV_OFFLINE := 1
NO_INDEX := --no-index
endif
endif
NEEDS_PYTHON = test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none was found; install one and run make again."; exit 1; }
NEEDS_WHEELS = test -z "$(NO_INDEX)" || test "$$($(LOCKS))" = "$$(cat $(HOUSE)/.$(SERVES) 2>/dev/null)" || { echo "$(HOUSE) lacks packages of $(SERVES): on a machine with internet and the same version of Python, check out this revision and run 'make wheelhouse ACCELERATOR=$(ACCELERATOR)'."; exit 1; }
FETCH = PYTHONPATH=.uv $$(test -x .uv/bin/pip && echo .uv/bin/pip || echo $(PYTHON) -m pip) download -q --require-hashes --no-deps -d $(HOUSE)
# What only some patches of this Python need, such as those before 3.11.3.
MINOR = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
OF_PATCHES = sed -nE "/^[a-z0-9].* $(1) '$(MINOR)\.[0-9]+'/,/[^\\]$$/{s/ ;.*/ \\\\/;p}" requirements/$(ACCELERATOR).txt
# NiiVue is the one package of npm; its bundle needs no other.
VIEWER := $(VENV)/share/niivue/niivue.umd.js
COMPILE := $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
PYTEST := pytest -n 3 --dist=loadfile --no-loadscope-reorder -m "not slow"
EXTRAS := train infer survival validate reports track version s3 dicom prepare orchestrate cluster

# Its tools look at the project from outside, so they have an environment of their own.
AUDIT := .audit
IMAGES := orchestrator mlflow worker-cpu worker-gpu
TAG := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# `make images BASE=image` builds on another base, `WHEELHOUSE=folder` without the internet.
ENGINE := $(firstword $(foreach engine,docker podman buildah,$(shell command -v $(engine))))
# The names of the packages of an image: what some extras need, as a lock has resolved it.
LIST = lock=$$(mktemp) && cp requirements/$(2).txt $$lock && $(COMPILE) pyproject.toml $(3) -o $$lock && sed -nE 's/^([a-z0-9][a-z0-9._-]*)==.*/\1/p' $$lock | uniq > requirements/images/$(1).names && rm $$lock

export GX_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := 1
export PRE_COMMIT_HOME := $(CURDIR)/.cache/pre-commit
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) $(VIEWER) ## create .venv from the hashed lock

# A machine without npm gets no such file, so each `make` tries again.
$(VIEWER): requirements/niivue.sha512 | $(STAMP)
	@sh requirements/niivue.sh $(HOUSE) $(dir $@)

$(STAMP): requirements/$(ACCELERATOR).txt pyproject.toml | $(UV)
	@$(NEEDS_PYTHON)
	@$(NEEDS_WHEELS)
	test -x $(VENV)/bin/python || $(UV) venv -q --python $(PYTHON) $(VENV)
	VIRTUAL_ENV=$(VENV) $(UV) pip sync -q $(NO_INDEX) --compile-bytecode --require-hashes $(BUILD) requirements/$(ACCELERATOR).txt
	VIRTUAL_ENV=$(VENV) $(UV) pip install -q $(NO_INDEX) --no-deps $(BUILD) --editable .
	rm -f $(VENV)/.installed-*
	touch $@

.uv/bin/uv: requirements/build.txt
	@$(NEEDS_PYTHON)
	@$(NEEDS_WHEELS)
	rm -rf .uv
	$(PYTHON) -m venv .uv && .uv/bin/pip install -q --require-hashes -r $< || { rm -rf .uv; $(PYTHON) -m pip install -q --require-hashes --target .uv -r $<; }
	touch $@

# pip keeps a file that is there and whole by its hash in the lock, and downloads any other. The note comes last, so
# nothing installs from a folder that a kill left incomplete. pip reads the names of the one package without a wheel by
# the setuptools of requirements/build.txt.
wheelhouse: .uv/bin/uv ## download all that `make install` and `make images` need into wheelhouse/, for a machine without internet
	rm -f $(HOUSE)/.$(SERVES)
	$(FETCH) -r requirements/build.txt
	$(FETCH) --no-build-isolation -r requirements/$(ACCELERATOR).txt
	$(FETCH) -r <($(call OF_PATCHES,<))
	$(FETCH) -r <($(call OF_PATCHES,>=))
	$(FETCH) -r requirements/audit.txt
	sh requirements/niivue.sh $(HOUSE)
	$(LOCKS) > $(HOUSE)/.$(SERVES)

demo: install ## run the whole pipeline on synthetic patients under a real Airflow scheduler
	brats demo

up: install ## start Airflow and MLflow on loopback and leave them running
	brats up

down: install ## stop everything that `up` or `demo` started
	brats down

test: install ## run the tests that CI runs, then print branch coverage: the ten lowest modules and the total
	$(PYTEST) --cov --cov-report=
	@echo "Branch coverage, without what only child processes of the tests run:"
	@coverage report --sort=cover | sed -n '1,12p;$$p'

test-unit: install ## run the tests of single functions and classes, in about two minutes
	$(PYTEST) tests/unit

test-all: install $(AUDIT)/.installed ## run all tests, including the slow ones, and audit the dependencies
	pytest
	@$(AUDIT)/bin/python tests/audit.py || { status=$$?; test $$status = 3 && echo "The tests passed; the dependencies are NOT AUDITED."; test $$status = 3; }

cluster-test: install ## run the DAGs on a cluster of real servers and kill them; it needs packages of Debian
	python -m tests.cluster check
	pytest tests/cluster

offline-test: install ## install from wheelhouse/ and run the demo where no network is
	pytest -m "" tests/e2e/test_offline.py

images: ## build the images of a cluster, and list what they consist of in sbom/
	for image in $(IMAGES); do BUILDAH_FORMAT=docker $(ENGINE) build --file docker/Dockerfile --target $$image --tag localhost/brats-$$image:$(TAG) $(BASE:%=--build-arg BASE=%) $(WHEELHOUSE:%=--build-arg WHEELHOUSE=%) $(BUILD_OPTIONS) . || exit 1; done
	$(MAKE) sbom

secrets: ## make the missing passwords and keys of docker/compose.yaml
	sh docker/secrets.sh

sbom: $(AUDIT)/.installed ## write a CycloneDX list of the packages of each image to sbom/
	mkdir -p sbom
	set -o pipefail; for image in $(IMAGES); do sh docker/subset.sh $$image $$(case $$image in *-gpu) echo gpu;; *) echo cpu;; esac) requirements | PYTHONWARNINGS=ignore $(AUDIT)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file sbom/$$image.cdx.json - || exit 1; done

audit: $(AUDIT)/.installed ## compare the locks with the published vulnerabilities of their packages
	$(AUDIT)/bin/python tests/audit.py

images-lint: $(AUDIT)/.installed ## check docker/ by hadolint and by the schemas of compose files and pods
	$(AUDIT)/bin/hadolint docker/Dockerfile
	$(AUDIT)/bin/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	$(AUDIT)/bin/kubernetes-validate --strict docker/pods/*.yaml

images-test: install ## run the DAGs in containers of the images, next to real stores; it needs podman and packages of Debian
	python -m tests.cluster check
	pytest tests/images

$(AUDIT)/.installed: requirements/audit.txt | $(UV)
	$(UV) venv -q --clear --python $(PYTHON) $(AUDIT)
	VIRTUAL_ENV=$(AUDIT) $(UV) pip sync -q $(NO_INDEX) --require-hashes $(BUILD) requirements/audit.txt
	touch $@

lint: install ## style, spelling, types and architecture: every hook of .pre-commit-config.yaml
	pre-commit run --all-files

docs: install ## build the documentation in site/; a broken link is an error
	python -m typer brats_ml.cli utils docs --name brats --title "Every option" --output docs/reference/commands.md
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

bench: install ## run the benchmarks and compare with other packages
	for b in benchmarks/*.py; do case $$b in benchmarks/_*) ;; *) python $$b || exit 1;; esac; done

lock: | $(UV) ## compile all locks afresh from pyproject.toml
	rm -f requirements/*.txt
	for kind in cpu gpu; do $(COMPILE) pyproject.toml $(EXTRAS:%=--extra %) --extra $$kind --group test --group lint --group docs -o requirements/$$kind.txt || exit 1; done
	for group in audit build; do $(COMPILE) --group $$group -o requirements/$$group.txt || exit 1; done
	# The images have packages of these locks alone, so their lists name no versions.
	$(call LIST,orchestrator,cpu,--extra orchestrate --extra cluster --extra version)
	$(call LIST,mlflow,cpu,--extra track --extra s3 <(printf 'httpx\npsycopg2-binary\n'))
	$(call LIST,worker-cpu,cpu,$(EXTRAS:%=--extra %) --extra cpu)
	$(call LIST,worker-gpu,gpu,$(EXTRAS:%=--extra %) --extra gpu)

clean: ## remove the environment; keep data and runs
	rm -rf $(VENV) $(AUDIT) .uv
