#!/usr/bin/env bash
# Installs a build into a folder of its own and uses it as another project would: the programs, the pages, the C++ client by CMake and by pkg-config, the Python
# example. Then takes it away again, and nothing is left.
#
#   install_test.sh BUILD_DIRECTORY
set -euo pipefail
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$1
WORK=$(mktemp -d)
SERVER=
cleanup() {
  if [[ -n $SERVER ]]; then kill "$SERVER" 2>/dev/null && wait "$SERVER" 2>/dev/null; fi
  rm -rf "$WORK"
}
trap cleanup EXIT
PREFIX=$WORK/prefix

fail() {
  echo "install_test: $*" >&2
  exit 1
}

# The manifest of whoever installed this build for real is not ours to change.
if [[ -e $BUILD/install_manifest.txt ]]; then cp "$BUILD/install_manifest.txt" "$WORK/manifest"; fi
cmake --install "$BUILD" --prefix "$PREFIX" >/dev/null
mv "$BUILD/install_manifest.txt" "$WORK/installed"
if [[ -e $WORK/manifest ]]; then mv "$WORK/manifest" "$BUILD/install_manifest.txt"; fi

# Folders of the build are out of reach of what is installed.
unset TUNESMITH_BIN_DIR
"$PREFIX/bin/tunesmith" version >/dev/null || fail "the installed command does not start"
"$PREFIX/bin/tunesmith" evaluate --help >/dev/null || fail "the installed command does not find the trainer"
[[ -f $PREFIX/share/man/man1/tunesmith-recommend.1 ]] || fail "no manual page"
bash -c "source '$PREFIX/share/bash-completion/completions/tunesmith' && complete -p tunesmith" >/dev/null || fail "no completion"

cmake -S "$SOURCE/examples/cpp" -B "$WORK/example" -DCMAKE_PREFIX_PATH="$PREFIX" >"$WORK/log" 2>&1 || { cat "$WORK/log" >&2; fail "find_package"; }
cmake --build "$WORK/example" >"$WORK/log" 2>&1 || { cat "$WORK/log" >&2; fail "the C++ example does not build"; }
"$WORK/example/recommend" >"$WORK/offline" || fail "the C++ example does not answer"
grep -q '^method=lora' "$WORK/offline" || fail "the C++ example answers otherwise"

PKG_CONFIG_PATH=$(dirname "$(find "$PREFIX" -name tunesmith-client.pc)")
export PKG_CONFIG_PATH
# Relocated: the file names the prefix that was configured.
read -r -a flags <<<"$(pkg-config --define-variable=prefix="$PREFIX" --cflags --libs tunesmith-client)"
g++ "$SOURCE/examples/cpp/recommend.cc" -o "$WORK/by_pkg_config" "${flags[@]}" || fail "pkg-config's flags do not do"
"$WORK/by_pkg_config" | cmp - "$WORK/offline" || fail "the example by pkg-config answers otherwise"

"$PREFIX/bin/tunesmithd" --listen 127.0.0.1:0 --data-dir "$WORK/data" >"$WORK/server.log" 2>&1 &
SERVER=$!
for _ in $(seq 100); do
  PORT=$(sed -n 's/.* listens on port \([0-9]*\).*/\1/p' "$WORK/server.log" | head -1)
  if [[ -n $PORT ]]; then break; fi
  sleep 0.1
done
ADDRESS=127.0.0.1:$PORT
[[ -n $PORT ]] || { cat "$WORK/server.log" >&2; fail "the installed server does not listen"; }
"$WORK/example/recommend" "$ADDRESS" >/dev/null || fail "the C++ example does not reach the server"
PYTHON=$SOURCE/.venv/bin/python
if "$PYTHON" -c 'import grpc_tools' 2>/dev/null; then
  "$PYTHON" "$SOURCE/examples/python/recommend.py" "$ADDRESS" --proto "$PREFIX/share/tunesmith/proto" >"$WORK/python" || fail "the Python example does not answer"
  cmp "$WORK/python" "$WORK/offline" || fail "the Python example answers otherwise"
else
  echo "install_test: grpcio-tools is not in .venv; the Python example was left out"
fi
kill "$SERVER"
wait "$SERVER" || fail "the installed server does not end well"
SERVER=

cmake -DMANIFEST="$WORK/installed" -P "$SOURCE/cmake/Uninstall.cmake"
[[ -z $(find "$PREFIX" -type f -o -type l) ]] || fail "uninstall leaves $(find "$PREFIX" -type f -o -type l | head -3)"
[[ -z $(find "$PREFIX" -name 'tunesmith*') ]] || fail "uninstall leaves folders: $(find "$PREFIX" -name 'tunesmith*')"
echo "install_test: all good"
