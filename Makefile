# The tasks of users, developers and the CI. `make help` lists them.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules

PYTHON ?= python3
CLANG ?= clang
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
FUZZ_SECONDS ?= 600
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
BUILD := build

# Warnings are errors in development and in the CI only: a user's compiler may be
# newer and have more warnings.
ifneq ($(filter true 1,$(CI) $(FTA_WERROR)),)
export FTA_WERROR := 1
WERROR := -Werror
endif

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- Set-up -------------------------------------------------------------------

.PHONY: packages packages-test packages-wheels venv build
packages:
	@PYTHON=$(PYTHON) scripts/install_packages.sh run

packages-test:
	@PYTHON=$(PYTHON) scripts/install_packages.sh test

packages-wheels:
	@PYTHON=$(PYTHON) scripts/install_packages.sh wheels

venv: $(BIN)/python ## Make .venv, which holds the packages from PyPI
$(BIN)/python: | packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and sys.executable + \
		" is too old: Python 3.10 or later is needed, and PYTHON=... names another")'
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check --upgrade 'pip>=25.1' 'setuptools>=77'

# The dependency groups of pyproject.toml.
$(VENV)/.group-%: pyproject.toml | $(BIN)/python
	@echo "Installing the $* group into $(VENV)"
	@$(BIN)/pip install -q --group $*
	@touch $@

C_FILES := $(wildcard csrc/*/*.[ch] csrc/*/*/*.[ch])
LUA_FILES := $(wildcard csrc/*/*/*/*.lua)
PYTHON_LUA := $(wildcard flask_tenant_auth/*/lua/*.lua)

build: $(VENV)/.built ## Build the C core and install the package into .venv, editable
$(VENV)/.built: $(C_FILES) $(LUA_FILES) scripts/embed_lua.py setup.py pyproject.toml | $(BIN)/python
	@echo "Building flask_tenant_auth"
	@$(BIN)/pip install -qq --no-build-isolation --editable .
	@touch $@

# --- Running ------------------------------------------------------------------

.PHONY: run
run: $(VENV)/.built $(VENV)/.group-example ## Install what is missing, then run the example e-mail service
	@cd examples && exec "$(CURDIR)/$(BIN)/python" -m email_service

# --- The C tests, one build of core and tests per flavour ---------------------

# Everything but the binding: plain C, which needs no Python.
CORE := $(filter-out csrc/binding/%,$(filter %.c,$(C_FILES)))
C_TESTS := $(wildcard tests/c/test_*.c)
# The Lua that runs in Redis, as C.
SCRIPT := $(BUILD)/generated/redis_script
$(SCRIPT).c: $(LUA_FILES) scripts/embed_lua.py
	@$(PYTHON) scripts/embed_lua.py $@

FUZZERS := $(wildcard fuzz/fuzz_*.c)
LIBRARIES := libjwt openssl hiredis

# Not :=, because a prerequisite may install pkg-config first.
C_FLAGS = -std=c11 -D_GNU_SOURCE -g -Wall -Wextra -Wshadow -Wconversion $(WERROR) \
	-Icsrc -Itests/c $(shell pkg-config --cflags $(LIBRARIES))
C_LIBS = $(shell pkg-config --libs $(LIBRARIES)) -lpthread
# A ThreadSanitizer from before 2024 fails on kernels with more random address bits.
NO_ASLR = $(shell setarch -R true 2>/dev/null && echo setarch -R)
SANITIZE := -O1 -fno-omit-frame-pointer -fno-sanitize-recover=all

FLAGS_plain := -O2
FLAGS_asan := $(SANITIZE) -fsanitize=address,undefined
FLAGS_tsan := $(SANITIZE) -fsanitize=thread
FLAGS_coverage := -O0 --coverage
FLAGS_fuzz := $(SANITIZE) -fsanitize=fuzzer-no-link,address,undefined
LINK_fuzz := -fsanitize=fuzzer

# $(call flavour,NAME,COMPILER): build/NAME/core.a, and build/NAME/test_* or
# build/NAME/fuzz_* linked with it. The core is an archive: a test that includes
# a file of the core is then linked without that file of the archive.
define flavour
CORE_$(1) := $(CORE:csrc/%.c=$(BUILD)/$(1)/core/%.o) $(SCRIPT:$(BUILD)/%=$(BUILD)/$(1)/%.o)

$(BUILD)/$(1)/core/%.o: csrc/%.c Makefile
	@mkdir -p $$(@D)
	$(2) $$(C_FLAGS) $$(FLAGS_$(1)) -MMD -MP -c -o $$@ $$<

$(BUILD)/$(1)/generated/%.o: $(BUILD)/generated/%.c Makefile
	@mkdir -p $$(@D)
	$(2) $$(C_FLAGS) $$(FLAGS_$(1)) -MMD -MP -c -o $$@ $$<

$(BUILD)/$(1)/core.a: $$(CORE_$(1))
	@rm -f $$@
	ar qcs $$@ $$^ # files of different folders may have the same name

$(BUILD)/$(1)/%: tests/c/%.c $(BUILD)/$(1)/core.a Makefile
	$(2) $$(C_FLAGS) $$(FLAGS_$(1)) -MMD -MP -MF $$@.d -o $$@ $$< $(BUILD)/$(1)/core.a $$(C_LIBS)

$(BUILD)/$(1)/%: fuzz/%.c $(BUILD)/$(1)/core.a Makefile
	$(2) $$(C_FLAGS) $$(FLAGS_$(1)) $$(LINK_$(1)) -MMD -MP -MF $$@.d -o $$@ $$< $(BUILD)/$(1)/core.a $$(C_LIBS)

-include $$(wildcard $(BUILD)/$(1)/*.d) $$(CORE_$(1):.o=.d)

.PHONY: programs-$(1)
programs-$(1): $$(patsubst $(if $(LINK_$(1)),fuzz,tests/c)/%.c,$(BUILD)/$(1)/%,$(if $(LINK_$(1)),$(FUZZERS),$(C_TESTS)))
endef

$(foreach name,plain asan tsan coverage,$(eval $(call flavour,$(name),$$(CC))))
$(eval $(call flavour,fuzz,$$(CLANG)))

# A make that another one runs as one of several jobs shares the jobs of that one, if the recipe
# itself has $(MAKE): make does not see one that comes from `call`.
PARALLEL = $(if $(findstring --jobserver,$(MAKEFLAGS)),,-j$(JOBS))

# $(call run_tests,FLAVOUR,WRAPPER): runs the tests one by one.
define run_tests
	@for test in $(C_TESTS:tests/c/%.c=$(BUILD)/$(1)/%); do $(2) $$test || exit 1; done
endef

.PHONY: test-c asan tsan valgrind coverage
test-c: packages ## Run the C tests
	@echo "C tests"
	@$(MAKE) -s $(PARALLEL) programs-plain
	$(call run_tests,plain)

asan: packages ## Run the C tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@echo "C tests under ASan and UBSan"
	@$(MAKE) -s $(PARALLEL) programs-asan
	$(call run_tests,asan)

# The extension with sanitizers, for the Python tests of the core. It is built
# with GCC, whose sanitizer runtime comes with the compiler. The runtime is
# preloaded, because Python itself is built without it. FTA_THREAD_SECONDS is the
# time of each test with threads.
SANITIZED := $(BUILD)/asan-python
SANITIZED_CC ?= gcc
SANITIZED_FLAGS := -std=c11 -D_GNU_SOURCE -Icsrc -g -fPIC $(SANITIZE) -fsanitize=address,undefined \
	-fsanitize=float-cast-overflow
SANITIZED_OBJECTS := $(patsubst csrc/%.c,$(SANITIZED)/objects/%.o,$(filter %.c,$(C_FILES))) \
	$(SCRIPT:$(BUILD)/%=$(SANITIZED)/%.o)
SANITIZED_TESTS := $(wildcard tests/unit/test_core_*.py) tests/flask/test_tokens.py tests/unit/test_token_rules.py \
	tests/flask/test_audit_log.py tests/flask/test_ordinary_requests.py tests/redis/test_redis_hostile.py \
	tests/project/test_sanitized.py
# Left out: tests that measure memory or time, tests of processes, and the hypothesis tests of the
# parsers, which the fuzzers run under the same sanitizers.
SANITIZED_WITHOUT := stays_flat or take_no_memory or run_meanwhile or separate_processes or \
	killed_workers or AgainstTheOracle
PYTHON_INCLUDE = -I$(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')
EXTENSION = $(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')

$(SANITIZED)/objects/%.o: csrc/%.c Makefile
	@mkdir -p $(@D)
	$(SANITIZED_CC) $(SANITIZED_FLAGS) $(PYTHON_INCLUDE) $(shell pkg-config --cflags $(LIBRARIES)) \
		-MMD -MP -c -o $@ $<

$(SANITIZED)/generated/%.o: $(BUILD)/generated/%.c Makefile
	@mkdir -p $(@D)
	$(SANITIZED_CC) $(SANITIZED_FLAGS) -MMD -MP -c -o $@ $<

$(SANITIZED)/.built: $(SANITIZED_OBJECTS) tests/sanitized/faults.c
	@mkdir -p $(SANITIZED)/flask_tenant_auth
	$(SANITIZED_CC) $(SANITIZED_FLAGS) -shared -o $(SANITIZED)/flask_tenant_auth/_core$(EXTENSION) \
		$(SANITIZED_OBJECTS) $(C_LIBS)
	$(SANITIZED_CC) $(SANITIZED_FLAGS) $(PYTHON_INCLUDE) -shared \
		-o $(SANITIZED)/fta_faults$(EXTENSION) tests/sanitized/faults.c
	@touch $@

-include $(SANITIZED_OBJECTS:.o=.d)

.PHONY: asan-python
asan-python: packages-test $(VENV)/.built $(VENV)/.group-test ## Run the Python tests of the core under ASan and UBSan
	@echo "Python tests of the core under ASan and UBSan"
	@$(MAKE) -s $(PARALLEL) $(SANITIZED)/.built
	@$(BIN)/python scripts/run_sanitized.py $(SANITIZED) \
		$(shell $(SANITIZED_CC) -print-file-name=libasan.so) -q \
		-k 'not ($(SANITIZED_WITHOUT))' $(SANITIZED_TESTS)

tsan: packages ## Run the C tests under ThreadSanitizer
	@$(MAKE) -s $(PARALLEL) programs-tsan
	$(call run_tests,tsan,$(NO_ASLR))

valgrind: packages-test ## Run the C tests under valgrind's memcheck
	@$(MAKE) -s $(PARALLEL) programs-plain
	$(call run_tests,plain,valgrind -q --error-exitcode=1 --leak-check=full --child-silent-after-fork=yes)

coverage: packages ## List the lines and branches of the core that the C tests miss
	@find $(BUILD)/coverage -name '*.gcda' -delete 2>/dev/null || true
	@$(MAKE) -s $(PARALLEL) programs-coverage
	$(call run_tests,coverage)
	@$(PYTHON) scripts/coverage_summary.py $(BUILD)/coverage/core

.PHONY: timing
timing: packages ## Test that the time of an invalid signature does not depend on the wrong octet
	@$(MAKE) -s $(BUILD)/plain/timing_signature
	@$(BUILD)/plain/timing_signature

$(BUILD)/plain/timing_%: tests/timing/timing_%.c $(BUILD)/plain/core.a Makefile
	$(CC) $(C_FLAGS) $(FLAGS_plain) -MMD -MP -MF $@.d -o $@ $< $(BUILD)/plain/core.a $(C_LIBS) -lm

# --- Leases -------------------------------------------------------------------

# The arithmetic of the core, and the script of Redis in a Lua of the same process.
$(BUILD)/plain/lease_%: tests/lease/%.c $(wildcard tests/lease/*.h) $(BUILD)/plain/core.a Makefile
	$(CC) $(C_FLAGS) $(FLAGS_plain) $(shell pkg-config --cflags lua5.1) -MMD -MP -MF $@.d -o $@ $< \
		$(BUILD)/plain/core.a $(C_LIBS) $(shell pkg-config --libs lua5.1) -lm

.PHONY: lease-model lease-simulation
lease-model: packages-test ## Check leases in all orders of events, and that each rule is needed
	@$(MAKE) -s $(BUILD)/plain/lease_model
	@$(BUILD)/plain/lease_model --deep
	@$(BUILD)/plain/lease_model --rules

lease-simulation: packages-test ## Simulate leases of 1,000 hosts, and print what they cost
	@$(MAKE) -s $(BUILD)/plain/lease_simulation
	@$(BUILD)/plain/lease_simulation

# --- Fuzzing ------------------------------------------------------------------

# New inputs are written below build/. fuzz/corpus/ holds the seeds.
# $(call run_fuzzers,SECONDS)
define run_fuzzers
	@for fuzzer in $(FUZZERS:fuzz/fuzz_%.c=%); do \
		mkdir -p $(BUILD)/fuzz/corpus/$$fuzzer fuzz/corpus/$$fuzzer; \
		$(BUILD)/fuzz/fuzz_$$fuzzer -max_total_time=$(1) -verbosity=0 -print_final_stats=1 \
			-artifact_prefix=$(BUILD)/fuzz/$$fuzzer- \
			$(BUILD)/fuzz/corpus/$$fuzzer fuzz/corpus/$$fuzzer >$(BUILD)/fuzz/$$fuzzer.log 2>&1 \
			|| { cat $(BUILD)/fuzz/$$fuzzer.log; exit 1; }; \
		echo "fuzz_$$fuzzer: $$(awk '/number_of_executed_units/ { print $$2 }' $(BUILD)/fuzz/$$fuzzer.log) inputs"; \
	done
endef

.PHONY: fuzz fuzz-short
fuzz: packages-test ## Fuzz each target for FUZZ_SECONDS (600)
	@$(MAKE) -s $(PARALLEL) programs-fuzz
	$(call run_fuzzers,$(FUZZ_SECONDS))

fuzz-short: packages-test
	@echo "Fuzzing, two seconds a target"
	@$(MAKE) -s $(PARALLEL) programs-fuzz
	$(call run_fuzzers,2)

# --- Speed --------------------------------------------------------------------

# BENCH_ARGS=--quick shows in two minutes that everything works. Its figures are not for quoting.
BENCH := .venv-bench
BENCH_ARGS ?=

.PHONY: bench
bench: packages-test $(BENCH)/.built ## Measure this package and its peers, and write the figures into README
	@$(BENCH)/bin/python -m benchmarks $(BENCH_ARGS)

$(BENCH)/.built: $(C_FILES) $(LUA_FILES) scripts/embed_lua.py setup.py pyproject.toml | packages
	@echo "Making $(BENCH)"
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/pip install -q --disable-pip-version-check --upgrade 'pip>=25.1' 'setuptools>=77'
	@$(BENCH)/bin/pip install -q --group bench
	@$(BENCH)/bin/pip install -q --no-build-isolation --editable .
	@touch $@

# --- Style and types ----------------------------------------------------------

.PHONY: lint format
lint: packages-test $(VENV)/.built $(VENV)/.group-test $(VENV)/.group-lint $(VENV)/.group-example ## Check style and types: ruff, clang-format, luacheck, mypy, stubtest
	@echo "Lint"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/clang-format --dry-run -Werror $(C_FILES) $(wildcard tests/*/*.[ch] fuzz/*.[ch])
	@luac5.1 -p $(LUA_FILES) $(PYTHON_LUA)
	@luacheck --quiet --no-color $(LUA_FILES) $(PYTHON_LUA)
	@$(BIN)/mypy
	@$(BIN)/stubtest --mypy-config-file scripts/stubtest.ini flask_tenant_auth._core

format: $(VENV)/.group-lint ## Format the code with ruff and clang-format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/clang-format -i $(C_FILES) $(wildcard tests/*/*.[ch] fuzz/*.[ch])

# --- A first look: lint, types, and the tests that take seconds ----------------

# All of it takes less than half a minute on two cores, so these are left out.
# tests/project/test_workflows.py holds that each of them exists.
CHECK_WITHOUT_C := test_audit_chain test_breaker test_key test_key_wiping test_pair_reader test_password \
	test_permits test_permits_interleaving test_revocations test_revocations_killed test_segment test_segment_protocol \
	test_shm_interleaving test_shm_table test_token_memory test_token_sign
CHECK_WITHOUT_FILES := $(addprefix tests/unit/,test_core_threads.py test_key_material.py test_leaks.py \
	test_shared_memory.py) $(wildcard tests/flask/test_served*.py tests/flask/test_example_*.py) $(addprefix tests/flask/,test_cli.py test_cli_output.py test_console.py test_console_top.py \
	test_outside_an_app.py test_passwords.py test_requests.py test_route_protection.py)
CHECK_WITHOUT := AgainstTheOracle or separate_processes or take_no_memory or grammar_of_the_pattern or \
	RATELIMIT_SHM_BYTES or answers_as_the_app_does_without_it or a_bearer_token_needs_a_request
CHECK_FOLDERS := tests/unit tests/flask
CHECK_TESTS := tests/project/test_layers.py tests/project/test_workflows.py tests/project/test_development.py \
	$(filter-out $(CHECK_WITHOUT_FILES),$(wildcard $(CHECK_FOLDERS:%=%/test_*.py)))
CHECK_C := $(filter-out $(CHECK_WITHOUT_C),$(C_TESTS:tests/c/%.c=%))

.PHONY: check check-c check-python
check: $(VENV)/.built $(VENV)/.group-test $(VENV)/.group-lint $(VENV)/.group-example ## Check style, types and the tests that take seconds
	@$(MAKE) -s -j2 --output-sync=target lint check-c check-python
	@echo "Not run: $(words $(CHECK_WITHOUT_C)) slow C tests, the sanitizers, the fuzzers, all tests outside of"
	@echo "$(CHECK_FOLDERS), the slow ones inside of them. 'make test' runs them all."

check-c: packages
	@$(MAKE) -s $(CHECK_C:%=$(BUILD)/plain/%)
	@echo "C tests, the quick ones"
	@for test in $(CHECK_C:%=$(BUILD)/plain/%); do $$test || exit 1; done

check-python: $(VENV)/.built $(VENV)/.group-test
	@$(BIN)/python -m pytest -q -m 'not soak' -k 'not ($(CHECK_WITHOUT))' $(CHECK_TESTS)

# --- Beside other libraries ---------------------------------------------------

# .venv has the newest SQLAlchemy. PYTHONPATH puts this one before it.
SQLALCHEMY_20 := $(BUILD)/sqlalchemy20
$(SQLALCHEMY_20)/.installed: | $(BIN)/python
	@echo "Installing SQLAlchemy 2.0 beside the newest"
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --target $(SQLALCHEMY_20) \
		'SQLAlchemy>=2.0.20,<2.1'
	@touch $@

.PHONY: test-sqlalchemy
test-sqlalchemy: packages-test $(VENV)/.built $(VENV)/.group-test $(SQLALCHEMY_20)/.installed ## Run the tests of data isolation on SQLAlchemy 2.0
	@echo "Data isolation on SQLAlchemy 2.0"
	@PYTHONPATH=$(SQLALCHEMY_20) $(BIN)/python -m pytest -q $(wildcard tests/sqlalchemy/test_sqlalchemy_*.py)

# An environment of its own: these libraries change Flask. The package is that of the checkout.
BESIDE := $(BUILD)/beside
$(BESIDE)/.installed: pyproject.toml | packages
	@echo "Making $(BESIDE)"
	@$(PYTHON) -m venv $(BESIDE)
	@$(BESIDE)/bin/pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BESIDE)/bin/pip install -q --group beside
	@echo "$(CURDIR)" >"$$($(BESIDE)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/checkout.pth"
	@touch $@

.PHONY: test-beside
test-beside: $(VENV)/.built $(BESIDE)/.installed ## Run the tests beside OpenTelemetry, Sentry, Flask-Login and others
	@echo "Beside other libraries"
	@$(BESIDE)/bin/python -m pytest -q tests/beside

# FREETHREADED=python3.14t names another interpreter than the one that is built.
.PHONY: test-freethreaded
test-freethreaded: packages-test ## Run the Python tests on a CPython 3.13 without the GIL (FREETHREADED=3.14)
	@echo "Python tests without the GIL"
	@scripts/test_freethreaded.sh $(FREETHREADED)

.PHONY: tsan-freethreaded
tsan-freethreaded: packages-test ## Run the tests with threads under ThreadSanitizer, on a CPython 3.13 without the GIL
	@echo "Python tests with threads under ThreadSanitizer, without the GIL"
	@scripts/tsan_freethreaded.sh

# --- All of it ----------------------------------------------------------------

.PHONY: pictures test soak isolation mutants session-model lease-faults audit-chain clean
pictures: packages-test $(VENV)/.built $(VENV)/.group-test ## Make the pictures in the docs anew: the console, the dashboard
	@CONSOLE_PICTURES=1 $(BIN)/python -m pytest -q tests/browser/test_console_page.py -k 'light or pictures'
	@DASHBOARD_PICTURE=1 $(BIN)/python -m pytest -q tests/prometheus/test_prometheus.py -k 'page_of_the_dashboard or picture'

# As many jobs at once as there are cores. First what several of them need, then the longest. The tests
# in Python come last: the last line says how many have passed.
test: packages-test ## Install what is missing, then run all checks and tests
	@$(MAKE) -s -j$(JOBS) ready $(SCRIPT).c programs-asan programs-plain programs-fuzz
	@$(MAKE) -s -j$(JOBS) --output-sync=target asan-python asan test-c test-beside lint fuzz-short test-sqlalchemy
	@$(BIN)/python $(if $(PYTEST_ARGS),-m pytest $(PYTEST_ARGS),scripts/run_tests.py $(JOBS))

# A make of its own, which begins at once: the one above turns to a target again only when it has been
# through all others.
.PHONY: ready installed
ready:
	@$(MAKE) -s installed

installed: $(VENV)/.built $(VENV)/.group-test $(VENV)/.group-lint $(VENV)/.group-example
# One pip at a time changes an environment.
ifneq ($(filter installed,$(MAKECMDGOALS)),)
$(VENV)/.group-test: | $(VENV)/.built
$(VENV)/.group-lint: | $(VENV)/.group-test
$(VENV)/.group-example: | $(VENV)/.group-lint
endif

soak: packages-test $(VENV)/.built $(VENV)/.group-test ## Run the long tests, which `make test` leaves out
	@$(BIN)/python -m pytest -m soak $(PYTEST_ARGS)
	@$(MAKE) isolation
	@$(MAKE) mutants
	@$(MAKE) session-model
	@$(MAKE) lease-faults
	@$(MAKE) audit-chain
	@$(MAKE) lease-model
	@$(MAKE) lease-simulation

# $(call run_statements,DIALECT,STATEMENTS); SEED=... repeats a run.
define run_statements
	@$(BIN)/python -m tests.isolation --dialect $(1) --statements $(2) --jobs $(JOBS) $(if $(SEED),--seed $(SEED))
endef

isolation: packages-test $(VENV)/.built $(VENV)/.group-test ## Test data isolation with 120,000 random statements
	$(call run_statements,sqlite,100000)
	$(call run_statements,postgresql,20000)

MUTANTS ?= 1000000
mutants: packages-test $(VENV)/.built $(VENV)/.group-test ## Test the verdict on 2,000,000 mutants of valid tokens
	@$(BIN)/python -m tests.mutants --of providers --mutants $(MUTANTS) $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.mutants --of random --mutants $(MUTANTS) $(if $(SEED),--seed $(SEED))

SESSION_STEPS ?= 100000
session-model: packages-test $(VENV)/.built $(VENV)/.group-test ## Test sessions with 100,000 random steps on each store
	@$(BIN)/python -m tests.session_model --steps $(SESSION_STEPS) $(if $(SEED),--seed $(SEED))

AUDIT_LIVES ?= 2000
audit-chain: packages-test $(VENV)/.built $(VENV)/.group-test ## Test 2,000 lives of a chain of audit lines, each with 50 attacks
	@$(BIN)/python -m tests.audit_chain --lives $(AUDIT_LIVES) --attacks 50 $(if $(SEED),--seed $(SEED))

SCHEDULES ?= 10000
lease-faults: packages-test $(VENV)/.built $(VENV)/.group-test ## Test limits with 10,000 random schedules of faults between hosts and Redis
	@$(BIN)/python -m tests.lease_faults --schedules $(SCHEDULES) $(if $(SEED),--seed $(SEED))

.PHONY: test-roots test-interpreters test-newest matrix
test-roots: $(VENV)/.built $(VENV)/.group-test ## Run the lines of README in bare Debian and Ubuntu roots, as root
	@$(BIN)/python -m pytest -v tests/roots/bare.py $(PYTEST_ARGS)

test-interpreters: $(VENV)/.built $(VENV)/.group-test ## Run the tests of two interpreters in mod_wsgi and uWSGI, in Debian and Ubuntu roots, as root
	@$(BIN)/python -m pytest -v tests/roots/interpreters.py $(PYTEST_ARGS)

test-newest: ## Run the tests in Debian forky on libjwt 1.17 and on libjwt 3, as root
	@scripts/test_newest.sh $(PYTEST_ARGS)

matrix: ## Build with gcc and clang and test the core in Debian and Ubuntu roots, as root
	@scripts/matrix.sh $(SUITES)

# The tools are in an environment of their own; PYTHONS="python3.12 ..." chooses the Pythons.
WHEELS := $(BUILD)/wheels
$(WHEELS)/tools/.installed: pyproject.toml | packages-wheels
	@echo "Making $(WHEELS)/tools"
	@$(PYTHON) -m venv $(WHEELS)/tools
	@$(WHEELS)/tools/bin/pip install -q --disable-pip-version-check --upgrade 'pip>=25.1' 'setuptools>=77'
	@$(WHEELS)/tools/bin/pip install -q --group wheels
	@touch $@

$(WHEELS)/static: $(wildcard scripts/wheels/libraries.*) scripts/hardening.txt | $(WHEELS)/tools/.installed
	@rm -rf $@
	@PATH="$(CURDIR)/$(WHEELS)/tools/bin:$$PATH" python scripts/wheels/libraries.py $@
	@touch $@

.PHONY: wheels test-wheels
wheels: $(WHEELS)/tools/.installed $(WHEELS)/static ## Make the source archive and a wheel for each Python in dist
	@$(WHEELS)/tools/bin/python scripts/wheels/make.py $(PYTHONS)

test-wheels: packages-test $(VENV)/.built $(VENV)/.group-test ## Try the wheels in dist in bare Debian and Ubuntu roots, as root
	@$(BIN)/python -m pytest -v tests/roots/wheels.py $(PYTEST_ARGS)

clean: ## Remove everything that was installed, built or measured here
	rm -rf $(VENV) $(BENCH) $(BUILD) dist .run *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -f flask_tenant_auth/*.so
