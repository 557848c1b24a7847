#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What holds for the tree itself: a stage includes only what tests/layers.txt
# allows, each header compiles alone, every command and option stands in the man
# page, scripts and man page are clean.
set -u
CC=${CC:-cc}
PYHEAP=${PYHEAP:-build/pyheap}
passed=0
failed=0

ok() {
	if [ "$1" = 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		shift
		echo "FAIL $*"
	fi
}

for dir in src/*/; do
	stage=$(basename "$dir")
	allowed=$(sed -n "s/^$stage://p" tests/layers.txt)
	grep -q "^$stage:" tests/layers.txt
	ok $? "$stage is not in tests/layers.txt"
	# shellcheck disable=SC2013
	for header in $(cat "$dir"*.c "$dir"*.h include/pyheap/"$stage".h 2>/dev/null |
		sed -n 's/^#include <pyheap\/\([a-z]*\)\.h>.*/\1/p' | sort -u); do
		case " $stage $allowed " in
		*" $header "*) ok 0 ;;
		*) ok 1 "src/$stage may not include <pyheap/$header.h>" ;;
		esac
	done
	foreign=$(grep -lE '^#include "(\.\./|[a-z]+/)' "$dir"*.c "$dir"*.h 2>/dev/null | while read -r file; do
		grep -oE '^#include "(\.\.|[a-z]+)/' "$file" | cut -d'"' -f2 | while read -r folder; do
			[ "$folder" != ../ ] && [ -d "$dir$folder" ] || echo "$file"
		done
	done)
	[ -z "$foreign" ]
	ok $? "private headers of other stages in: $foreign"
done
uses=$(grep -lE '^#include <(elfutils/libdw|dwarf)\.h>' src/*/*.[ch] | grep -v '^src/layout/')
[ -z "$uses" ]
ok $? "only src/layout may know of DWARF, not: $uses"

for header in include/pyheap/*.h; do
	# shellcheck disable=SC2046
	$CC -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Iinclude $(pkg-config --cflags libelf libdw jansson) \
		-fsyntax-only -x c "$header"
	ok $? "$header does not compile alone"
done

long=$(wc -l src/*/*.c | awk '$2 != "total" && $1 > 600 {print $2}')
[ -z "$long" ]
ok $? "more than one thought in: $long"

mandoc -Tlint -Wwarning man/pyheap.1
ok $? "mandoc has warnings for man/pyheap.1"
# without it the loop below would have nothing to do, and nothing to find
[ -x "$PYHEAP" ]
ok $? "there is no $PYHEAP"
for command in $("$PYHEAP" help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
	grep -qE "^\.(Ss|It Cm|Sh) .*\b$command\b" man/pyheap.1
	ok $? "command $command is not in the man page"
	"$PYHEAP" "$command" -h >/dev/null
	ok $? "pyheap $command -h"
	for option in $("$PYHEAP" "$command" -h | grep -oE -- '--[a-z][a-z-]+' | sort -u); do
		grep -qF -- "Fl \\-${option#--}" man/pyheap.1 || grep -qF -- "Fl Fl ${option#--}" man/pyheap.1 ||
			grep -qF -- "Fl -${option#--}" man/pyheap.1
		ok $? "option $option of $command is not in the man page"
	done
done

for script in tools/*.sh tests/*.sh .ci/run; do
	if command -v shellcheck >/dev/null 2>&1; then
		shellcheck "$script"
	else
		sh -n "$script"
	fi
	ok $? "$script"
done
found=$(git ls-files -z 2>/dev/null | xargs -0 grep -lIE '(/[r]oot/|/[h]ome/[a-z]+/|[.][.]/shared)' 2>/dev/null)
[ -z "$found" ]
ok $? "paths of one machine in: $found"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
