# shellcheck shell=bash
# Sourced by dev: checks that need no build, and format. Each check prints what is wrong and where; all run, then the verdict.

LARGEST_FILE_BYTES=$((1024 * 1024))

# Files of the repository that match the patterns, new ones that git does not ignore included, deleted ones not.
source_files() {
  git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
    if [[ -f $file ]]; then echo "$file"; fi
  done
}

shell_files() {
  source_files | while read -r file; do
    if [[ $file == *.sh ]] || head -c 64 "$file" | head -n 1 | grep -aqE '^#!.*\b(ba)?sh\b'; then echo "$file"; fi
  done
}

cpp_files() { source_files '*.h' '*.cc' '*.cu' '*.cuh'; }

format() { cpp_files | xargs -r clang-format -i; }

lint_format() { cpp_files | xargs -r clang-format --dry-run -Werror; }

lint_shell() { shell_files | xargs -r shellcheck --external-sources; }

lint_spelling() { source_files | xargs -r .venv/bin/codespell -L positionof,nd,notin; }

# released.binpb is what clients may rely on: nothing of it may be taken away. It is made anew, when the API has grown, by
#   (cd proto && ../.venv/bin/buf build --exclude-source-info -o released.binpb)
lint_protos() {
  (cd proto && ../.venv/bin/buf lint && ../.venv/bin/buf breaking --against released.binpb) || return 1
  .venv/bin/python scripts/lib/api_reference.py | cmp -s - docs/reference/api.md && return
  echo "docs/reference/api.md is not what the protos say; write it anew: .venv/bin/python scripts/lib/api_reference.py > docs/reference/api.md" >&2
  return 1
}

lint_layers() { "$(system_python)" tests/layering_test.py; }

lint_alerts() { promtool check rules deploy/prometheus/*.rules.yml && promtool test rules deploy/prometheus/*.rules.test.yml; }

lint_images() { source_files '*Dockerfile' | xargs -r .venv/bin/hadolint -c deploy/container/hadolint.yaml; }

# Units name binaries that are not installed here; in their place stands one that is. 20 is an exposure of 2.0.
lint_units() {
  local unit copies verdict=0
  copies=$(mktemp -d)
  while read -r unit; do
    sed 's|/usr/bin/tunesmith[a-z-]*|/usr/bin/true|' "$unit" >"$copies/${unit##*/}"
  done < <(source_files 'deploy/systemd/*.service' 'deploy/systemd/*.socket')
  systemd-analyze verify "$copies"/*.service "$copies"/*.socket || verdict=1
  while read -r unit; do
    systemd-analyze security --offline=true --threshold=20 --no-pager "$unit" >"$copies/report" || {
      cat "$copies/report" >&2
      verdict=1
    }
  done < <(source_files 'deploy/systemd/*.service')
  rm -r "$copies"
  return "$verdict"
}

lint_chart() { .venv/bin/helm lint --quiet --strict deploy/kubernetes; }

lint_sizes() {
  local file size ok=true
  while read -r file; do
    size=$(stat -c %s "$file")
    if ((size > LARGEST_FILE_BYTES)); then
      echo "$file: $size bytes, more than $LARGEST_FILE_BYTES" >&2
      ok=false
    fi
  done < <(source_files)
  $ok
}

lint() {
  local check failed=()
  for check in format shell spelling protos layers alerts images units chart sizes; do
    echo "lint: $check" >&2
    "lint_$check" || failed+=("$check")
  done
  if [[ ${#failed[@]} -gt 0 ]]; then
    echo "lint: failed: ${failed[*]}" >&2
    return 1
  fi
  echo "lint: all good" >&2
}
