#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A program that leaks, and what pyheap has to say of it.
set -eu
PYHEAP=${PYHEAP:-build/pyheap}
PYTHON=${PYTHON:-/usr/bin/python3}
dir=$(mktemp -d)
mkfifo "$dir/in" "$dir/out"
pid=
cleanup() {
	if [ -n "$pid" ]; then
		kill "$pid" 2>/dev/null || true
	fi
	rm -rf "$dir"
}
trap cleanup EXIT

say() {
	printf '\n\033[1m%s\033[0m\n' "$*"
}
run() {
	printf '\n$ pyheap %s\n' "$*"
	status=0
	"$PYHEAP" "$@" || status=$?
}

start() {
	"$PYTHON" "samples/$1" <"$dir/in" >"$dir/out" &
	pid=$!
	exec 3>"$dir/in" 4<"$dir/out"
	read -r _ <&4
}
finish() {
	echo stop >&3
	exec 3>&- 4<&-
	wait "$pid" || true
	pid=
}

say "1. samples/growing_cache.py keeps a session for every user it ever saw. What fills its memory?"
start growing_cache.py
run top -n 8 "$pid"
run top --json -o "$dir/before.json" "$pid"
[ "$status" = 0 ] || exit "$status"

say "2. Who holds all these sessions? And what retains most?"
run why "$pid" __main__.Session
[ "$status" = 0 ] || exit "$status"
run dominators -n 3 "$pid"
[ "$status" = 0 ] || exit "$status"

say "3. It serves 5,000 more users. What grew? (in CI: exit status 1 when it grew too much)"
echo "grow 5000" >&3
read -r _ <&4
run diff -n 6 --max-count __main__.Session=22000 "$dir/before.json" "$pid"
echo "exit status $status"
[ "$status" = 1 ] || exit 1
finish

say "4. samples/cycles.py makes reference cycles, and its garbage collector is off. Which reference closes them?"
start cycles.py
run cycles "$pid"
[ "$status" = 0 ] || exit "$status"
finish
