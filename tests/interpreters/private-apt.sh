#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes an apt of its own that knows one suite, from the mirror that apt uses here; the
# machine's is not touched. Signatures are verified.
#
#   private-apt.sh SUITE STATE deb|deb-src [ARCH]      then APT_CONFIG=STATE/apt.conf apt-get …
set -eu
suite=$1
state=$2
kind=$3
arch=${4:-$(dpkg --print-architecture)}

# shellcheck disable=SC2016
site=$(apt-get indextargets --format '$(SITE) $(ORIGIN) $(RELEASE)' 'Created-By: Packages' |
	awk '$2 == "Debian" && $1 !~ /security/ {print $1; exit}')
if [ -z "$site" ]; then
	echo "apt knows of no Debian mirror here" >&2
	exit 1
fi

mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/etc/preferences.d"
: >"$state/status"
echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $suite main" >"$state/sources.list"
cat >"$state/apt.conf" <<CONF
Dir::State "$state";
Dir::State::status "$state/status";
Dir::State::lists "$state/lists";
Dir::Cache "$state/cache";
Dir::Etc::sourcelist "$state/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "$state/etc/preferences.d";
APT::Install-Recommends "false";
APT::Architecture "$arch";
APT::Architectures "$arch";
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
CONF
export APT_CONFIG="$state/apt.conf"
apt-get -qq update
