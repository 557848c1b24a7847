# SPDX-License-Identifier: GPL-2.0-or-later
# pyheap: `make help` lists what can be made.

VERSION = 0.1.0
BUILD ?= build
PREFIX ?= /usr/local
PKGS = libelf libdw jansson
ARCH := $(shell uname -m)

CC ?= cc
CFLAGS ?= -O2 -g
PH_CFLAGS = -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DPYHEAP_VERSION='"$(VERSION)"' \
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter \
	-Iinclude -Isrc -MMD -MP $(if $(filter x86_64,$(ARCH)),-mpopcnt) \
	$(shell pkg-config --cflags $(PKGS)) $(SAN)
LIBS = $(shell pkg-config --libs $(PKGS)) -lm

SRC := $(wildcard src/*/*.c)
OBJ := $(SRC:%.c=$(BUILD)/%.o)
LIB = $(BUILD)/libpyheap.a

all: $(BUILD)/pyheap

$(BUILD)/pyheap: $(BUILD)/src/main.o $(LIB)
	$(CC) $(LDFLAGS) $(SAN) -o $@ $^ $(LIBS)

$(LIB): $(OBJ)
	rm -f $@
	ar rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(PH_CFLAGS) -c -o $@ $<

# unit and property tests
define check_binary
$(BUILD)/check_$(1): $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/$(1)/*.c)) $(LIB)
	$(CC) $(LDFLAGS) $(SAN) -o $$@ $$^ $(LIBS) $$(shell pkg-config --libs check)
endef
$(eval $(call check_binary,unit))
$(eval $(call check_binary,property))

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all clean
