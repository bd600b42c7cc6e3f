#!/bin/sh
# Installs what the build needs and this machine lacks: xxHash and doctest (headers only), and on
# Debian clang-format 14 for `make lint`. Quiet when nothing is missing. $1: the C++ compiler; $2:
# "test" for what tests can do without too: on Debian the emulators and g++ for aarch64.
has() { printf '#include <%s>\n' "$1" | "$compiler" -E -x c++ - >/dev/null 2>&1; }
compiler=${1:-c++}

extras() {
  command -v apt-get >/dev/null || return
  missing=
  command -v qemu-aarch64 >/dev/null || missing="$missing qemu-user"
  command -v aarch64-linux-gnu-g++ >/dev/null || missing="$missing g++-aarch64-linux-gnu"
  [ -z "$missing" ] && return
  echo "make deps: installing$missing with apt-get, for the tests of other CPUs" >&2
  apt="apt-get -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=10"
  [ "$(id -u)" = 0 ] || apt="sudo -n $apt"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  { $apt update; $apt install -y --no-install-recommends $missing libc6-dev-arm64-cross; } \
    >/dev/null 2>&1 || echo "make deps: could not; tests of other CPUs will be SKIPPED" >&2
}
[ "$2" = test ] && extras

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
