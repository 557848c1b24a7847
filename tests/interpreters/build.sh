#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds a free-threaded Python, which no Debian suite has as a package, from the suite's
# source package; the machine's own packages are not touched.
#
#   build.sh SUITE VERSION [FOLDER]              build.sh trixie 3.13t; with 3.13td the pydebug build
#   build.sh --if-built SUITE VERSION [FOLDER]   only say what is there already; 1 if nothing is
#
# FOLDER (default: $XDG_CACHE_HOME/pyheap-interpreters) then holds built/SUITE-VERSION_PACKAGE
# with the command pythonVERSION in it. What is there already is taken as it is, without asking
# the mirror; remove the folder to have the suite's present package built. Three minutes
# each on two cores. Interrupted, it goes on where it was when it is started again.
set -eu
only_look=
if [ "${1-}" = --if-built ]; then
	only_look=1
	shift
fi
suite=$1
version=$2
folder=${3:-${XDG_CACHE_HOME:-$HOME/.cache}/pyheap-interpreters}/built
number=${version%%t*}
name=python$version
here=$(dirname "$0")

whole() {
	find "$folder" -mindepth 2 -maxdepth 2 -path "*/$suite-${version}_*/whole" 2>/dev/null | sort -V | tail -n 1
}
done=$(whole)
if [ -n "$done" ]; then
	cat "$done"
	exit 0
fi
if [ -n "$only_look" ]; then
	exit 1
fi
case $version in
*t) debug= ;;
*td) debug=--with-pydebug ;;
*)
	echo "$0: $version is no free-threaded build" >&2
	exit 2
	;;
esac

# two builds of one version at a time would be in each other's way
mkdir -p "$folder"
exec 9>"$folder/$suite-$version.lock"
flock 9
done=$(whole)
if [ -n "$done" ]; then
	cat "$done"
	exit 0
fi

source=python$number
state=$folder/apt-$suite-$version
"$here/private-apt.sh" "$suite" "$state" deb-src
export APT_CONFIG="$state/apt.conf"
package=$(apt-cache showsrc --only-source "$source" | sed -n 's/^Version: //p' | sort -V | tail -n 1)
if [ -z "$package" ]; then
	echo "$0: $suite has no source package $source" >&2
	exit 1
fi
place=$folder/${suite}-${version}_$package
root=$place/root
log=$place/log
mkdir -p "$place"

# each step leaves its mark when it has ended, and none is believed without
if [ ! -e "$place/unpacked" ]; then
	rm -rf "$place"
	mkdir -p "$place/files"
	(cd "$place/files" && apt-get -qq source --download-only "$source=$package" &&
		dpkg-source --no-check -x ./*.dsc source) >"$log" 2>&1 || {
		cat "$log" >&2
		exit 1
	}
	mv "$place/files/source" "$place/source"
	touch "$place/unpacked"
fi
rm -rf "$state" "$place/files"

cd "$place/source"
step() {
	"$@" >>"$log" 2>&1 9>&- || {
		tail -n 40 "$log" >&2
		echo "$0: $* failed; all of it is in $log" >&2
		exit 1
	}
}
if [ ! -e "$place/configured" ]; then
	step ./configure --prefix="$root" --disable-gil --enable-shared $debug --disable-test-modules \
		--without-ensurepip CFLAGS="-g -O2"
	touch "$place/configured"
fi
step make -j"$(nproc)"
step make altinstall
cd /
cat >"$place/$name" <<RUN
#!/bin/sh
export LD_LIBRARY_PATH="$root/lib"
exec "$root/bin/$name" "\$@"
RUN
chmod +x "$place/$name"
step "$place/$name" -c 'import ctypes, decimal, sqlite3, ssl, sys; assert not sys._is_gil_enabled()'
rm -rf "$place/source" "$place/unpacked" "$place/configured"
echo "$suite: $("$place/$name" -V), source package $source $package, $place/$name" >"$place/whole.new"
mv "$place/whole.new" "$place/whole"
cat "$place/whole"
