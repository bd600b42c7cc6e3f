#!/bin/sh
# Installs what the build needs and this machine lacks: xxHash and doctest (headers only). Quiet when
# nothing is missing. $1: the C++ compiler; $2: "test" for what tests can do without too: on Debian
# the emulators, g++ for aarch64 and clang-format 14.
has() { printf '#include <%s>\n' "$1" | "$compiler" -E -x c++ - >/dev/null 2>&1; }
compiler=${1:-c++}

extra() { # $1: its program; the rest: packages
  command -v apt-get >/dev/null || return
  command -v "$1" >/dev/null && return
  shift
  echo "make deps: installing $* with apt-get, for the tests" >&2
  apt="apt-get -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=10"
  [ "$(id -u)" = 0 ] || apt="sudo -n $apt"
  export DEBIAN_FRONTEND=noninteractive
  { $apt update; $apt install -y --no-install-recommends "$@"; } >/dev/null 2>&1 ||
    echo "make deps: could not; what needs it will be SKIPPED" >&2
}
if [ "$2" = test ]; then
  extra qemu-aarch64 qemu-user
  extra aarch64-linux-gnu-g++ g++-aarch64-linux-gnu libc6-dev-arm64-cross
  extra clang-format-14 clang-format-14
fi

missing=
has xxhash.h || missing="$missing xxhash"
has doctest/doctest.h || missing="$missing doctest"
[ -z "$missing" ] && exit 0

as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
if command -v apt-get >/dev/null; then
  echo "make deps: installing$missing with apt-get" >&2
  export DEBIAN_FRONTEND=noninteractive
  $as_root apt-get update -qq >/dev/null
  $as_root apt-get install -y -qq libxxhash-dev doctest-dev >/dev/null
elif command -v brew >/dev/null; then
  echo "make deps: installing$missing with brew" >&2
  brew install --quiet xxhash doctest
fi
for header in xxhash.h doctest/doctest.h; do
  has "$header" && continue
  echo "make deps: <$header> is missing and could not be installed: install xxHash and doctest" \
       "(Debian: libxxhash-dev doctest-dev) or add their folder to CPATH" >&2
  exit 1
done
