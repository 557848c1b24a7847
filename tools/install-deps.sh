#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs what is missing of what a target of the Makefile needs, from Debian.
#   install-deps.sh build|static|demo|bench|check|freethreaded          install (through sudo when not root)
#   install-deps.sh --list build|static|demo|bench|check|freethreaded   only name what is missing; exit 1 if anything is
set -eu

only_list=
if [ "${1-}" = --list ]; then
	only_list=1
	shift
fi

build="gcc make libc6-dev pkg-config libelf-dev libdw-dev libjansson-dev libxxhash-dev zlib1g-dev liblzma-dev liblz4-dev libzstd-dev"
# what the static libraries of these packages need in turn
archives="libbz2-dev"
# python3-dbg depends on the debug package of the interpreter by its minor version
# only; ask for that one, and for the interpreter, so that their builds match
python="python3 python3-dbg"
system=$(readlink -f /usr/bin/python3 2>/dev/null || true)
case $system in
*/python3.*) python="$python ${system##*/} ${system##*/}-dbg" ;;
esac
demo="$build $python"
static="$build $archives"
bench="$demo gdb python3-objgraph"
check="$demo $archives check gdb strace python3-jsonschema mandoc gzip zstd lz4 xz-utils libpython3-dev"
# what the modules of a Python that is built from its source are linked with
freethreaded="$check dpkg-dev libffi-dev libsqlite3-dev libssl-dev libbz2-dev"

case ${1-} in
build) wanted=$build ;;
static) wanted=$static ;;
demo) wanted=$demo ;;
bench) wanted=$bench ;;
check) wanted=$check ;;
freethreaded) wanted=$freethreaded ;;
*)
	echo "usage: $0 [--list] build|static|demo|bench|check|freethreaded" >&2
	exit 2
	;;
esac

version_of() {
	dpkg-query -W -f '${db:Status-Status} ${Version}' "$1" 2>/dev/null || true
}

missing=
for package in $wanted; do
	case $(version_of "$package") in
	"installed "*) ;;
	*)
		# pkgconf has taken the place of pkg-config in newer suites
		if [ "$package" = pkg-config ] && command -v pkg-config >/dev/null 2>&1; then
			continue
		fi
		missing="$missing $package"
		;;
	esac
done
# a debug package of another build than the interpreter's is as good as none
for package in $wanted; do
	case $package in
	python3.*-dbg)
		if [ "$(version_of "$package")" != "$(version_of "${package%-dbg}")" ]; then
			case " $missing " in
			*" $package "*) ;;
			*) missing="$missing ${package%-dbg} $package" ;;
			esac
		fi
		;;
	esac
done

[ -n "$missing" ] || exit 0
if [ -n "$only_list" ]; then
	echo "missing packages:$missing" >&2
	echo "install them with: apt-get install$missing" >&2
	exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "this is no Debian; install what corresponds to:$missing" >&2
	exit 1
fi

sudo=
if [ "$(id -u)" != 0 ]; then
	sudo=sudo
fi
install() {
	# shellcheck disable=SC2086
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}
echo "installing:$missing" >&2
# the package lists may be old, or not be there at all
if ! install; then
	$sudo apt-get update
	install
fi
