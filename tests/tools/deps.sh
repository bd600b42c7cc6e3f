#!/bin/sh
# Installs what the build needs and this machine lacks: xxHash and doctest (headers only), and on
# Debian clang-format 14 for `make lint`. Quiet when nothing is missing. $1: the C++ compiler.
has() { printf '#include <%s>\n' "$1" | "$compiler" -E -x c++ - >/dev/null 2>&1; }
compiler=${1:-c++}
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
