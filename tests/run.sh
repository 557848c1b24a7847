#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs every test and adds up. Each part ends in Check's closing line or in
# `N passed, N failed`; one that ends otherwise has failed.
set -u
BUILD=${BUILD:-build}
PYTHON=${PYTHON:-/usr/bin/python3}
export BUILD PYTHON
# each unit test is a fork of the one that keeps what was freed: with 256 MiB of that they take minutes
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:quarantine_size_mb=16}"
passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

part() {
	name=$1
	shift
	echo "== $name"
	began=$(date +%s)
	"$@" >"$log" 2>&1
	status=$?
	line=$(grep -aE '^([0-9]+ passed, [0-9]+ failed|[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+)' "$log" | tail -n 1)
	case $line in
	*passed*)
		p=${line%% *}
		f=$(echo "$line" | sed 's/.*passed, \([0-9]*\) failed.*/\1/')
		;;
	*Checks*)
		f=$(echo "$line" | sed 's/.*Failures: \([0-9]*\), Errors: \([0-9]*\).*/\1 \2/' | awk '{print $1 + $2}')
		p=$(echo "$line" | sed 's/.*Checks: \([0-9]*\),.*/\1/' | awk -v f="$f" '{print $1 - f}')
		;;
	*)
		p=0
		f=1
		;;
	esac
	if [ "$status" != 0 ] && [ "$f" = 0 ]; then
		f=1
	fi
	# what was left out here is said, not hidden
	grep -a '^skipped: ' "$log" | sed 's/^/   /'
	if [ "$f" != 0 ]; then
		tail -n 60 "$log"
	fi
	echo "   $p passed, $f failed ($(($(date +%s) - began)) s)"
	passed=$((passed + p))
	failed=$((failed + f))
}

part "unit" "$BUILD/check_unit"
part "property" "$BUILD/check_property"
part "tree (layers, headers, man page, scripts)" tests/tree.sh
part "golden" "$PYTHON" tests/golden/run.py
for test in tests/live/test_*.py; do
	# no sanitizer is linked statically
	[ "$test" = tests/live/test_static.py ] && [ -z "${PYHEAP_STATIC-static}" ] && continue
	part "live: $(basename "$test" .py)" "$PYTHON" "$test"
done
echo
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
