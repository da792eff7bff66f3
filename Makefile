# SPDX-License-Identifier: Apache-2.0
# The front door; meson does the work. `make help` lists what there is.
PREFIX ?= /usr/local
BUILD ?= build
WERROR ?= false
FUZZ_SECONDS ?= 60
CEL_DIR ?= ../shared/conformance/cel
# The slowest parts of the build need up to 1 GiB each: no more jobs than cores.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
NINJA = ninja -j $(JOBS)

.NOTPARALLEL:
.PHONY: all help setup demo test asan tsan soak fuzz bench lint conformance web-test docs install uninstall format clean

all: $(BUILD)/build.ninja ## build the release (build/flyball, build/libflyball.*)
	@$(NINJA) -C $(BUILD) product

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

# The build needs packages: whoever has not run tools/setup is told what is missing.
$(BUILD)/build.ninja:
	@tools/setup --check
	@meson setup $(BUILD) --prefix=$(PREFIX) -Dwerror=$(WERROR) >/dev/null

setup: ## install what the build and the tests need (Debian 12)
	@tools/setup

demo: setup all ## audit this machine and write a report
	@$(BUILD)/flyball run examples/host-audit/audit.yaml

test: setup $(BUILD)/build.ninja ## build and run all tests; the last line is the total
	@tools/run-tests $(BUILD)

asan: ## all tests under AddressSanitizer and UBSan
	@tools/setup
	@tools/sanitize asan

tsan: ## what has threads, under ThreadSanitizer
	@tools/setup
	@tools/sanitize tsan

soak: setup $(BUILD)/build.ninja ## SOAK_ROUNDS (100,000) random rulebooks, SOAK_MINUTES (30) of one session's life, SOAK_KILLS (10,000) simulated crashes
	@tools/soak $(BUILD)

fuzz: ## fuzz every target for FUZZ_SECONDS (60); FUZZ=NAME takes one
	@tools/setup
	@tools/fuzz $(FUZZ_SECONDS) $(FUZZ)

bench: ## all benchmarks; `make bench-WING` runs one
	@tools/setup bench
	@tools/bench

bench-%:
	@tools/setup bench
	@tools/bench $*

gate: setup all ## count instructions of a few programs beside those accepted (bench/gate)
	@tools/setup gate
	@tools/gate $(BUILD)

lint: ## layers, style, banned functions, clang-format, clang-tidy
	@tools/setup
	@tools/lint

conformance: setup $(BUILD)/build.ninja ## CEL conformance tests in CEL_DIR
	@$(NINJA) -C $(BUILD) --quiet tests/conformance/conformance-cel
	@$(BUILD)/tests/conformance/conformance-cel $(CEL_DIR)

web-test: setup all ## the dashboard in a browser; screenshots go to build/web-test
	@tools/setup web
	@mkdir -p $(BUILD)/web-test && cp tests/web/package.json $(BUILD)/web-test
	@cd $(BUILD)/web-test && { [ -d node_modules/axe-core ] || npm install --ignore-scripts --no-audit --no-fund --silent; }
	@node tests/web/browser.mjs $(BUILD)/flyball $(BUILD)/web-test/node_modules $(BUILD)/web-test

docs: all ## put the parts of the reference that are made from tables into docs/reference
	@mkdir -p docs/reference
	@$(BUILD)/flyball man --markdown > docs/reference/cli.md
	@$(BUILD)/flyball explain-error --markdown > docs/reference/errors.md

# Building after the change of prefix is what makes meson write its list of what goes where anew.
install: $(BUILD)/build.ninja ## to PREFIX (/usr/local) under DESTDIR
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@$(NINJA) -C $(BUILD) product
	@DESTDIR="$(DESTDIR)" meson install -C $(BUILD) --strip --no-rebuild

uninstall:
	@$(NINJA) -C $(BUILD) uninstall

format: ## clang-format the tree in place
	@clang-format -i $$(git ls-files '*.c' '*.h')

clean: ## remove the build directories
	@rm -rf build build-*
