#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs every test and adds up. Each part ends in Check's closing line or in
# `N passed, N failed`; one that ends otherwise has failed. Two run at a time (JOBS),
# but those that measure how long something takes.
set -u
BUILD=${BUILD:-build}
PYTHON=${PYTHON:-/usr/bin/python3}
JOBS=${JOBS:-2}
ALONE=" bench capture doctor progress stop "
export BUILD PYTHON
# each unit test is a fork of the one that keeps what was freed: with 256 MiB of that they take minutes
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:quarantine_size_mb=16}"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'trap - TERM; kill 0' INT TERM
number=0

# Says what came of it in one piece; $folder/N.sum: passed, failed.
run() {
	local n=$1 name=$2 log=$folder/$1.log began line p f status
	shift 2
	began=$(date +%s)
	"$@" >"$log" 2>&1
	status=$?
	line=$(grep -aE '^([0-9]+ passed, [0-9]+ failed|[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+)' "$log" | tail -n 1)
	p=0
	f=1
	if [[ $line =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed ]]; then
		p=${BASH_REMATCH[1]}
		f=${BASH_REMATCH[2]}
	elif [[ $line =~ Checks:\ ([0-9]+),\ Failures:\ ([0-9]+),\ Errors:\ ([0-9]+) ]]; then
		f=$((BASH_REMATCH[2] + BASH_REMATCH[3]))
		p=$((BASH_REMATCH[1] - f))
	fi
	if [ "$status" != 0 ] && [ "$f" = 0 ]; then
		f=1
	fi
	{
		echo "== $name"
		# what was left out here is said, not hidden
		grep -a '^skipped: ' "$log" | sed 's/^/   /'
		if [ "$f" != 0 ]; then
			tail -n 60 "$log"
		fi
		echo "   $p passed, $f failed ($(($(date +%s) - began)) s)"
	} >"$folder/$n.said"
	cat "$folder/$n.said"
	echo "$p $f" >"$folder/$n.sum"
}

part() {
	while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do
		wait -n
	done
	number=$((number + 1))
	run "$number" "$@" &
}

part "unit" "$BUILD/check_unit"
part "property" "$BUILD/check_property"
part "tree (layers, headers, man page, scripts)" tests/tree.sh
part "golden" "$PYTHON" tests/golden/run.py
later=()
for test in tests/live/test_*.py; do
	name=$(basename "$test" .py)
	# no sanitizer is linked statically
	[ "$name" = test_static ] && [ -z "${PYHEAP_STATIC-static}" ] && continue
	case $ALONE in
	*" ${name#test_} "*) later+=("$test") ;;
	*) part "live: $name" "$PYTHON" "$test" ;;
	esac
done
wait
for test in "${later[@]}"; do
	part "live: $(basename "$test" .py)" "$PYTHON" "$test"
	wait
done
echo
for ((n = 1; n <= number; n++)); do
	cat "$folder/$n.sum" 2>/dev/null || echo "0 1"
done | awk '{ passed += $1; failed += $2 } END { print passed " passed, " failed " failed"; exit failed != 0 }'
