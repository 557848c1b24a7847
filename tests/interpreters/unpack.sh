#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Unpacks the Python of another Debian suite into a folder, with its debug
# information and its pydebug build; the machine's own packages are not touched.
#
#   unpack.sh SUITE VERSION [FOLDER [ARCH]]        unpack.sh trixie 3.13
#
# ARCH: another one than the machine's, to look at and not to run; its folder is SUITE-VERSION-ARCH.
# FOLDER (default: $XDG_CACHE_HOME/pyheap-interpreters) then holds SUITE-VERSION/root and
# the commands python3.X and python3.Xd beside it, which run it through its own
# loader. The mirror is the one apt uses here; signatures are verified.
set -eu
suite=$1
version=$2
folder=${3:-${XDG_CACHE_HOME:-$HOME/.cache}/pyheap-interpreters}
own=$(dpkg --print-architecture)
arch=${4:-$own}
place=$folder/$suite-$version
if [ "$arch" != "$own" ]; then
	place=$place-$arch
fi
root=$place/root
done=$place/unpacked
if [ -e "$done" ]; then
	cat "$done"
	exit 0
fi

state=$place/apt
rm -rf "${place:?}"
mkdir -p "$root"
"$(dirname "$0")/private-apt.sh" "$suite" "$state" deb "$arch"
export APT_CONFIG="$state/apt.conf"
# what the standard library's extension modules are linked with is in the closure
apt-get -qq -y --download-only install "python$version" "python$version-dbg" "libpython$version-stdlib" >"$state/log" 2>&1 || {
	cat "$state/log" >&2
	exit 1
}
for package in "$state"/cache/archives/*.deb; do
	case $package in
	*nopie*) ;; # replaces the interpreter
	*) dpkg-deb -x "$package" "$root" ;;
	esac
done

package=$(basename "$(find "$state/cache/archives" -name "python${version}_*.deb")" .deb)
if [ "$arch" != "$own" ]; then
	rm -rf "$state/cache" "$state/lists"
	echo "$suite: package $(echo "$package" | tr _ ' ')" | tee "$done"
	exit 0
fi

# a file, not the link to it: old suites link to an absolute path
loader=$(find "$root" -type f \( -name 'ld-linux-*.so.*' -o -name 'ld-2.*.so' \) | head -n 1)
libs=$(find "$root/lib" "$root/usr/lib" -maxdepth 1 -name '*-linux-gnu' 2>/dev/null | tr '\n' ':')
for name in "python$version" "python${version}d"; do
	[ -x "$root/usr/bin/$name" ] || continue
	cat >"$place/$name" <<RUN
#!/bin/sh
export PYTHONHOME="$root/usr"
exec "$loader" --library-path "$libs" "$root/usr/bin/$name" "\$@"
RUN
	chmod +x "$place/$name"
done
rm -rf "$state/cache" "$state/lists"
"$place/python$version" -c 'import ctypes, decimal, sqlite3, ssl'
echo "$suite: $("$place/python$version" -V), package $(echo "$package" | tr _ ' ')" | tee "$done"
