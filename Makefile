# SPDX-License-Identifier: GPL-2.0-or-later
# pyheap: `make help` lists what can be made.

VERSION = 0.1.0
BUILD ?= build
PREFIX ?= /usr/local
PYTHON ?= /usr/bin/python3
PKGS = libelf libdw jansson libxxhash zlib liblzma liblz4 libzstd
ARCH := $(shell uname -m)

CC ?= cc
CFLAGS ?= -O2 -g
# -fPIE, as Debian's compilers have it anyway: the static program is of the same objects
PH_CFLAGS = -std=gnu11 -D_GNU_SOURCE -fPIE -DPYHEAP_VERSION='"$(VERSION)"' \
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter \
	-Iinclude -Isrc -MMD -MP $(if $(filter x86_64,$(ARCH)),-mpopcnt) \
	$(shell pkg-config --cflags $(PKGS) 2>/dev/null) $(SAN)
LIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm -pthread
STATIC_LIBS = $(shell pkg-config --static --libs $(PKGS) 2>/dev/null) -lm -pthread
# the sanitizers have no static libraries
STATIC = $(if $(SAN),,$(BUILD)/static/pyheap)

SRC := $(wildcard src/*/*.c)
OBJ := $(SRC:%.c=$(BUILD)/%.o)
LIB = $(BUILD)/libpyheap.a

.DEFAULT_GOAL := all
# make V=1 shows whole commands
Q = $(if $(V),,@)
say = $(if $(V),,@echo "  $(1)";)
.DELETE_ON_ERROR:

##@ Building

all: $(BUILD)/pyheap ## build pyheap; says which packages are missing

# the sealed child of replay: freestanding, at an address of its own, embedded as it is
ifneq ($(wildcard src/replay/child/arch_$(ARCH).h),)
CHILD_CFLAGS = -O2 -g -std=gnu11 -D_GNU_SOURCE -Iinclude -Wall -Wextra -ffreestanding -fpie -fvisibility=hidden \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -mgeneral-regs-only
$(BUILD)/child.bin: src/replay/child/child.c $(wildcard src/replay/child/*.h src/replay/child/*.lds) include/pyheap/replay.h | $(BUILD)/deps
	$(call say,CC $@) $(CC) $(CHILD_CFLAGS) -nostdlib -static -Wl,-T,src/replay/child/child.lds,--build-id=none,-z,noexecstack \
		-o $(BUILD)/child.elf $<
	$(Q)objcopy -O binary -j .text -j .data $(BUILD)/child.elf $@
$(BUILD)/src/replay/image.o: $(BUILD)/child.bin
$(BUILD)/src/replay/image.o: PH_CFLAGS += -DPYHEAP_CHILD='"$(BUILD)/child.bin"'
endif

# the shipped layouts, embedded as they are
LAYOUTS := $(wildcard layouts/*.layout)
$(BUILD)/layouts.txt: $(LAYOUTS)
	@mkdir -p $(@D)
	$(call say,CAT $@) for f in $(LAYOUTS); do echo "file $$f"; cat "$$f"; done >$@
$(BUILD)/src/layout/layoutfile.o: $(BUILD)/layouts.txt
$(BUILD)/src/layout/layoutfile.o: PH_CFLAGS += -DPYHEAP_LAYOUTS='"$(BUILD)/layouts.txt"'

$(BUILD)/pyheap: $(BUILD)/src/main.o $(LIB)
	$(call say,LD $@) $(CC) $(LDFLAGS) $(SAN) -o $@ $^ $(LIBS)

static: install-static-deps ## build build/static/pyheap, which needs no libraries: for containers
	@$(MAKE) --no-print-directory $(BUILD)/static/pyheap

# stripped, as it is copied about; the other one has the symbols. Not at a fixed address:
# it reads what strangers made
# all but the one file that loads a library
$(BUILD)/static/debuginfod.o: src/layout/debuginfod.c | $(BUILD)/deps
	@mkdir -p $(@D)
	$(call say,CC $<) $(CC) $(CFLAGS) $(PH_CFLAGS) -DPYHEAP_STATIC -c -o $@ $<
$(BUILD)/static/pyheap: $(BUILD)/src/main.o $(BUILD)/static/debuginfod.o $(LIB)
	$(call say,LD $@) $(CC) $(LDFLAGS) -static-pie -s -o $@ $^ $(STATIC_LIBS)

$(LIB): $(OBJ)
	$(Q)rm -f $@
	$(call say,AR $@) ar rcs $@ $^

# named before the first compilation, so that nobody has to read compiler errors
$(BUILD)/deps: tools/install-deps.sh
	@mkdir -p $(@D)
	@command -v dpkg-query >/dev/null 2>&1 || { touch $@; exit 0; }; tools/install-deps.sh --list build
	@touch $@

$(BUILD)/%.o: %.c | $(BUILD)/deps
	@mkdir -p $(@D)
	$(call say,CC $<) $(CC) $(CFLAGS) $(PH_CFLAGS) -c -o $@ $<

install: all ## install below PREFIX (/usr/local)
	install -Dm755 $(BUILD)/pyheap $(DESTDIR)$(PREFIX)/bin/pyheap
	install -Dm644 man/pyheap.1 $(DESTDIR)$(PREFIX)/share/man/man1/pyheap.1
	install -Dm644 docs/report.schema.json $(DESTDIR)$(PREFIX)/share/pyheap/report.schema.json

uninstall: ## remove what install installed
	rm -f $(DESTDIR)$(PREFIX)/bin/pyheap $(DESTDIR)$(PREFIX)/share/man/man1/pyheap.1
	rm -rf $(DESTDIR)$(PREFIX)/share/pyheap

clean: ## remove the build folder
	rm -rf $(BUILD)

##@ Trying and testing

demo: install-demo-deps ## install what is missing, build, and look into a leaking program
	@$(MAKE) --no-print-directory all
	@PYHEAP=$(BUILD)/pyheap PYTHON=$(PYTHON) tools/demo.sh

check: install-check-deps ## install what is missing, build, and run all tests
	@$(MAKE) --no-print-directory -j$(shell nproc) run-check

check-matrix: install-check-deps ## compare object by object on every interpreter; unpacks Debian's other Pythons (1 GB)
	@$(MAKE) --no-print-directory all
	@PYHEAP=$(BUILD)/pyheap $(PYTHON) tests/interpreters/matrix.py

check-releases: install-check-deps ## the same on three of Debian's releases with one workload
	@$(MAKE) --no-print-directory all
	@PYHEAP=$(BUILD)/pyheap $(PYTHON) tests/interpreters/matrix.py --small

check-freethreaded: install-freethreaded-deps ## build a Python without a GIL (3 minutes, once) and compare on it; BUILDS=all
	@$(MAKE) --no-print-directory all
	@PYHEAP=$(BUILD)/pyheap $(PYTHON) tests/interpreters/matrix.py --free-threaded $(BUILDS)

asan: install-check-deps ## the same tests with address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan CFLAGS="-O1 -g" SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" -j$(shell nproc) run-check

bench: install-bench-deps ## what pyheap costs, beside yardsticks, 10^6 objects; BENCH="--python P -o JSON KIND"
	@$(MAKE) --no-print-directory all $(BUILD)/bench/copy
	@PYHEAP=$(BUILD)/pyheap COPY=$(BUILD)/bench/copy $(PYTHON) bench/run.py $(BENCH)

bench-large: ## the same with 10^7 objects: 4 GB of memory, 3 GB of TMPDIR
	@$(MAKE) --no-print-directory bench BENCH="-n 10000000 $(BENCH)"

install-demo-deps:
	@if command -v dpkg-query >/dev/null 2>&1; then tools/install-deps.sh demo; fi
install-static-deps:
	@if command -v dpkg-query >/dev/null 2>&1; then tools/install-deps.sh static; fi
install-bench-deps:
	@if command -v dpkg-query >/dev/null 2>&1; then tools/install-deps.sh bench; fi
install-freethreaded-deps:
	@if command -v dpkg-query >/dev/null 2>&1; then tools/install-deps.sh freethreaded; fi
install-check-deps:
	@if command -v dpkg-query >/dev/null 2>&1; then tools/install-deps.sh check; fi

# unit and property tests are Check programs, everything else is a script
define check_program
$(BUILD)/check_$(1): $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/$(1)/*.c)) $(LIB)
	$$(call say,LD $$@) $(CC) $(LDFLAGS) $(SAN) -o $$@ $$^ $(LIBS) $$(shell pkg-config --libs check)
endef
$(eval $(call check_program,unit))
$(eval $(call check_program,property))

$(BUILD)/bench/copy: bench/copy.c
	@mkdir -p $(@D)
	$(call say,CC $<) $(CC) $(CFLAGS) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -o $@ $<

fuzz-snapshot: ## build a libFuzzer program that opens snapshots (clang); run build/fuzz/fuzz_snapshot CORPUS
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=clang CFLAGS="-O1 -g" SAN="-fsanitize=address,undefined,fuzzer-no-link" $(BUILD)/fuzz/libpyheap.a
	clang -O1 -g $(PH_CFLAGS) -fsanitize=address,undefined,fuzzer -o $(BUILD)/fuzz/fuzz_snapshot tests/fuzz/fuzz_snapshot.c \
		$(BUILD)/fuzz/libpyheap.a $(LIBS)

run-check: $(BUILD)/pyheap $(STATIC) $(BUILD)/check_unit $(BUILD)/check_property $(BUILD)/bench/copy
	@PYHEAP=$(BUILD)/pyheap COPY=$(BUILD)/bench/copy PYHEAP_STATIC=$(STATIC) BUILD=$(BUILD) PYTHON=$(PYTHON) CC="$(CC)" tests/run.sh

##@ Keeping the house

layouts: install-check-deps ## make layouts/ anew from all interpreters that can be had here (unpacks Debian's: 5 GB)
	@$(MAKE) --no-print-directory all
	PYHEAP=$(BUILD)/pyheap $(PYTHON) tools/mklayout --all

format: ## format the C sources with clang-format
	clang-format -i $$(git ls-files '*.c' '*.h')

man: ## check the man page and show it
	mandoc -Tlint -Wwarning man/pyheap.1
	man -l man/pyheap.1

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all static layouts demo check check-matrix check-releases check-freethreaded asan bench bench-large fuzz-snapshot run-check install-demo-deps install-static-deps install-bench-deps install-check-deps install-freethreaded-deps install uninstall clean format man help
