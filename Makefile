# Two commands matter: `make run` and `make test`. Both set up what they need in .venv.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
HAVE_CC := $(shell command -v cc >/dev/null 2>&1 && echo yes)
INSTALL := PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q
SLOWER := building pure Python, which is slower (install gcc and Python's headers for more)
PATH_MODULES := $(shell sed -n 's/^    "edge\.\(.*\)",$$/\1/p' setup.py)
HOT := $(wildcard edge/_fast/_*.py edge/*.pxd edge/*/*.pxd) $(foreach name,$(PATH_MODULES),edge/$(subst .,/,$(name)).py)

.PHONY: run test check coverage soak sanitize fuzz docs wheels image tools clients lint audit lock bench proof interpreter bench-instructions bench-micro bench-peers clean

run: $(VENV)/.built
	@$(BIN)/edge version
	@if [ -n "$$OPENAI_API_KEY$$ANTHROPIC_API_KEY$$EDGE_CONFIG" ]; then exec $(BIN)/edge serve; else exec $(BIN)/edge demo; fi

test: $(VENV)/.test clients
	@$(BIN)/edge version | grep -q compiled || echo "SKIPPED: the compiled build, which is not here (see above)"
	EDGE_CLIENTS=$(CURDIR)/$(VENV)/clients $(BIN)/python -m tests.stages test $(if $(LIVE),--live $(LIVE))

# What an edit is tried with: the linters, the unit tests on the build that is here, and the live tests of the main ways.
check: lint
	$(BIN)/python -m tests.stages check

# Which lines of the pure build the tests execute, in the edges that they start and in their workers too. The files with the most lines that
# none executes come last, and less than 95 % is an error. Takes twice as long as the tests. COVERAGE='tests/unit -k gate' looks at a part, and
# asks for no share.
coverage: $(VENV)/.test $(VENV)/.coverage
	@rm -rf build/coverage && mkdir -p build/coverage
	EDGE_PURE_PYTHON=1 $(BIN)/python -m coverage run -m pytest -q --tb=short -n 4 --dist loadfile --no-loadscope-reorder \
	-m 'not alone and not compiled' $(or $(COVERAGE),tests) > build/coverage/tests.log; tail -3 build/coverage/tests.log
	@$(BIN)/python -m coverage combine -q
	@$(BIN)/python -m coverage lcov -q -o build/coverage/lines.lcov --fail-under=0
	$(BIN)/python -m coverage report --show-missing $(if $(COVERAGE),--fail-under=0) > build/coverage/report.txt; code=$$?; tail -40 build/coverage/report.txt; exit $$code

# 200,000 answers, each looked at: is it its client's own? And what memory grows by for each 100,000. SOAK=1000000 asks for more. Needs redis-server.
soak: $(VENV)/.test
	EDGE_SOAK=$(or $(SOAK),200000) $(BIN)/python -m pytest -s -k r1 tests/http/test_cache_figures.py

# The tests of the hot modules on a build with gcc's sanitizers, made in build/sanitize: what a wrong index reads is an error.
sanitize: $(VENV)/.test build/sanitize/tools/.here
	$(BIN)/python -m tests.sanitize

# Apart from the environment, where the pure build has to do without Cython.
build/sanitize/tools/.here: $(VENV)/.pip pyproject.toml
	$(INSTALL) --upgrade --target build/sanitize/tools --group compile
	@touch $@

# Inputs that nobody thought of, guided by coverage. FUZZ='sse --seconds 600' fuzzes one module for ten minutes.
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz.run $(FUZZ)

# dist/: the sdist, a compiled wheel for each Python found here and one in pure Python, each installed in an environment of its own, where
# the source is not, and asked a first request. Needs the network. WHEELS=python3.13 does it for that one.
wheels: $(VENV)/.test
	$(BIN)/python -m tests.wheels $(WHEELS)

# The pages of docs/ as a site, in build/site; a link that leads nowhere is an error.
docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q
	@echo "wrote build/site"

# The image; where no engine runs, its steps in a tree of Debian's (as root, with debootstrap). Needs the network.
image: $(VENV)/.test
	@if docker info >/dev/null 2>&1; then docker build -f deploy/docker/Dockerfile -t llm-edge-agent . && deploy/docker/try.sh llm-edge-agent; \
	else $(BIN)/python -m tests.image; fi

# Other clients than the SDKs that are here, each in an environment of its own, for the tests. Most of it is waiting for the network.
# A client that takes more than ten minutes to install is left out (GNU timeout), and so are those for which there is no room:
# all take 2 GB, four at a time, and the tests have to write too.
BOUND := $(shell command -v timeout >/dev/null && echo timeout 600)
ROOM_KB := 3000000
ROOM = [ $$(df -Pk $(VENV) | awk 'END { print $$4 }') -ge $(ROOM_KB) ] || { echo "less than $(ROOM_KB) KB are free" >&2; false; }
CLIENTS := $(patsubst requirements/clients/%,%,$(basename $(wildcard requirements/clients/*))) go
clients: $(VENV)/.pip
	@$(MAKE) -s -j 4 $(CLIENTS:%=$(VENV)/clients/%/.here)

# What else checks the files that ship the edge: actionlint, helm and kustomize, compiled by Go, which takes minutes.
# Without them their tests are skipped. Needs the network.
tools: $(VENV)/.tools

lint: $(VENV)/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Known vulnerabilities in what an image installs, and an SBOM of it (CycloneDX) in build/sbom.json. Needs the network: what nobody
# can be asked about is an error, and no good news.
audit: $(VENV)/.audit
	$(VENV)/audit/bin/pip-audit --strict --require-hashes --disable-pip -r requirements/image.txt
	@mkdir -p build
	$(VENV)/audit/bin/cyclonedx-py requirements requirements/image.txt --output-file build/sbom.json
	@echo "wrote build/sbom.json"

# Fixes anew what an image installs, what builds a wheel and a release, and what tests and lints, after a change of the dependencies in
# pyproject.toml: for every Python and system that they are for. Needs the network.
LOCK := $(VENV)/audit/bin/uv pip compile -q --no-config --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --no-emit-index-url --no-emit-find-links
EXTRAS := --extra http2 --extra jwt
lock: $(VENV)/.audit
	@mkdir -p build
	$(LOCK) $(EXTRAS) --extra pii -o build/image.txt pyproject.toml
	$(LOCK) --group pyproject.toml:compile -o build/build.txt
	$(LOCK) --group pyproject.toml:release -o build/release.txt
	$(LOCK) $(EXTRAS) --group pyproject.toml:test --group pyproject.toml:lint -o build/ci.txt pyproject.toml
	for each in image build release ci; do { sed '/^[^#]/,$$d' requirements/$$each.txt; cat build/$$each.txt; } > build/lock && mv build/lock requirements/$$each.txt; done

# Apart from the environment, whose versions theirs would change.
$(VENV)/.audit: $(VENV)/.pip
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install -q 'pip-audit>=2.9,<3' 'cyclonedx-bom>=7,<8' 'uv>=0.13,<1'
	@touch $@

# BENCH=--write keeps what is printed in benchmarks/RESULTS.md; BENCH='json streams --seconds 2' measures a part.
bench: $(VENV)/.built
	$(BIN)/python -m benchmarks $(BENCH)

# What one worker executes for a request, by callgrind, which hardly depends on the machine. Needs valgrind.
# PYTHON=/usr/bin/python3 measures an edge that is built for that one, in build/instructions; INSTRUCTIONS='--only forward'.
ifeq ($(origin PYTHON),command line)
INSTRUCTED := build/instructions/$(subst /,-,$(PYTHON))
bench-instructions: $(VENV)/.built $(INSTRUCTED)/.built
	$(BIN)/python -m benchmarks.instructions --python $(INSTRUCTED)/bin/python $(INSTRUCTIONS)

interpreter: $(INSTRUCTED)/.built

$(INSTRUCTED)/.built: $(wildcard edge/*.py edge/*/*.py edge/*.pxd edge/*/*.pxd) setup.py pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -q --upgrade 'pip>=25.1'
	rm -rf build/lib*
	EDGE_REQUIRE_COMPILED=1 PYTHONWARNINGS=ignore $(@D)/bin/python -m pip install -q .
	@touch $@
else
bench-instructions: $(VENV)/.built
	$(BIN)/python -m benchmarks.instructions $(INSTRUCTIONS)
endif

# The long runs: all that `make bench` measures, a million requests of which each answer is looked at, half an hour with a fault each minute;
# about three hours. PROOF='--only R25 --seconds 60' is a part, and shorter. PYTHONS are others for which the edge is built and counted, such
# as Debian's. Writes benchmarks/RESULTS.md, and from it the figures of README.md and docs/. Needs redis-server, wrk, nginx and valgrind.
PYTHONS ?= $(filter-out $(realpath $(BIN)/python),$(realpath /usr/bin/python3))
proof: $(VENV)/.test
	for python in $(PYTHONS); do $(MAKE) interpreter PYTHON=$$python || exit 1; done
	$(BIN)/python -m benchmarks.proof $(foreach python,$(PYTHONS),--python build/instructions/$(subst /,-,$(python))/bin/python) $(PROOF); \
	code=$$?; $(BIN)/python tools/describe_figures.py && exit $$code

# The hot modules call by call, both builds beside each other. MICRO='json sse --write' measures a part, and keeps it.
bench-micro: $(VENV)/.bench
	$(BIN)/python -m benchmarks.micro $(MICRO)

# Other gateways, in environments of their own, which `make bench` measures too once they are here.
bench-peers: $(VENV)/.built
	$(BIN)/python -m benchmarks.peers

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis $(VENV)
	find edge -name '*.so' -delete -o -name '*.c' -delete
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade 'pip>=25.1'
	@touch $@

# What tests and lints, fixed by version and hash. It comes first where it is needed, so that nothing else is downloaded for
# the edge itself but what compiles it.
$(VENV)/.locked: $(VENV)/.pip requirements/ci.txt
	$(INSTALL) --require-hashes -r requirements/ci.txt
	@touch $@

ifneq ($(filter test check coverage soak proof fuzz sanitize lint,$(MAKECMDGOALS)),)
$(VENV)/.built: | $(VENV)/.locked
endif

# The editable install compiles the hot modules in place. Without a C compiler it goes on as pure Python.
$(VENV)/.built: $(VENV)/.pip pyproject.toml setup.py $(HOT)
ifeq ($(HAVE_CC),yes)
	EDGE_REQUIRE_COMPILED=1 $(INSTALL) -e . || { echo "The hot modules do not compile here (see above): $(SLOWER)"; EDGE_PURE_PYTHON=1 $(INSTALL) -e .; }
else
	@echo "There is no C compiler: $(SLOWER)"
	EDGE_PURE_PYTHON=1 $(INSTALL) -e .
endif
	@touch $@

# Building atheris would take clang, so it is there as a wheel or not at all.
$(VENV)/.test: $(VENV)/.built $(VENV)/.locked
	@$(INSTALL) --only-binary atheris --group fuzz 2>/dev/null || echo "There is no wheel of atheris here: nothing is fuzzed"
	@touch $@

# Each where its tests look for it, anew when what is asked for changes. What does not install here is told, and its tests are skipped.
$(VENV)/clients/%/.here: requirements/clients/%.txt $(VENV)/.pip
	@rm -rf $(@D) && { $(ROOM); } && $(PYTHON) -m venv $(@D) && $(BOUND) $(@D)/bin/python -m pip install -q --no-compile -r $< && touch $@ || \
	{ rm -rf $(@D); echo "SKIPPED: the client '$*', which does not install here (see above)"; }

$(VENV)/clients/%/.here: requirements/clients/%.npm
	@rm -rf $(@D) && { $(ROOM); } && mkdir -p $(@D) && $(BOUND) npm install --silent --no-save --cache $(@D)/cache --prefix $(@D) $$(cat $<) && \
	rm -rf $(@D)/cache && touch $@ || { rm -rf $(@D); echo "SKIPPED: the client '$*', which does not install here (see above; is there npm?)"; }

$(VENV)/clients/go/.here: $(wildcard tests/clients/go/*)
	@rm -rf $(@D) && { $(ROOM); } && mkdir -p $(@D) && cp $^ $(@D) && (cd $(@D) && $(BOUND) go build -o /dev/null .) && touch $@ || \
	{ rm -rf $(@D); echo "SKIPPED: the SDKs in Go, which do not compile here (see above; is there Go?)"; }

$(VENV)/.tools: $(VENV)/.pip
	GOBIN=$(CURDIR)/$(BIN) go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
	GOBIN=$(CURDIR)/$(BIN) go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
	GOBIN=$(CURDIR)/$(BIN) go install helm.sh/helm/v3/cmd/helm@v3.19.5
	@touch $@

$(VENV)/.coverage: $(VENV)/.built
	$(INSTALL) --group coverage
	@touch $@

$(VENV)/.bench: $(VENV)/.built
	$(INSTALL) --group bench
	@touch $@

$(VENV)/.lint: $(VENV)/.built $(VENV)/.locked
	@touch $@
