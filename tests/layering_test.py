#!/usr/bin/env python3
"""Checks that includes follow the arrows of the architecture.

    common <- planner <- runtimes <- proto/convert <- trainer <- profiler;  planner, proto/convert <- server, client

Exits 0 and prints one line, or prints every include that points the wrong way and exits 1. --self-test checks the checker.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What each layer may include of the project. "proto" is the generated code (tunesmith/v1/*.pb.h).
ALLOWED = {
    "common": {"common"},
    "planner": {"common", "planner"},
    "runtimes": {"common", "planner", "runtimes"},
    "proto/convert": {"common", "planner", "runtimes", "proto", "proto/convert"},
    "trainer": {"common", "planner", "proto", "proto/convert", "trainer"},
    "profiler": {"common", "planner", "proto", "proto/convert", "trainer", "profiler"},
    "server": {"common", "planner", "runtimes", "proto", "proto/convert", "server"},
    "client": {"common", "planner", "runtimes", "proto", "proto/convert", "client"},
}

# Libraries that a layer must not know of.
FORBIDDEN_LIBRARIES = {
    "common": r"grpc|google/protobuf|cuda|cublas|cudnn|nccl|sqlite|spdlog|CLI/",
    "planner": r"grpc|google/protobuf|cuda|cublas|cudnn|nccl|sqlite|spdlog|CLI/|thread",
    "runtimes": r"grpc|google/protobuf|cuda|cublas|cudnn|nccl|sqlite|spdlog|CLI/|thread",
    "proto/convert": r"grpc|cuda|cublas|cudnn|nccl|sqlite|CLI/",
    "trainer": r"grpc|sqlite",
    "profiler": r"grpc|sqlite",
    "server": r"cuda|cublas|cudnn|nccl|cblas",
    "client": r"cuda|cublas|cudnn|nccl|cblas|sqlite",
}

# The planner starts no threads; it asks for the number of processors in one place. Settings and flags of programs with a command line are libraries of their own.
EXCEPTIONS = {
    ("planner/model/hardware_host.cc", "thread"),
    ("common/settings.cc", "CLI/CLI.hpp"),
    ("common/model_flags.cc", "CLI/CLI.hpp"),
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')


def layer_of(path):
    """The layer that a project path belongs to, or None for third-party and test paths."""
    if path.startswith("tunesmith/v1/") or path.startswith("proto/tunesmith/"):
        return "proto"
    for layer in ("proto/convert", *ALLOWED):
        if path.startswith(layer + "/"):
            return layer
    return None


def problem_with(path, included):
    """What is wrong with `path` including `included`, or None."""
    layer = layer_of(path)
    if layer not in ALLOWED or (path, included) in EXCEPTIONS:
        return None
    target = layer_of(included)
    if target is not None and target not in ALLOWED[layer]:
        return f"{layer} must not include {target}"
    if target is None and included.startswith("tests/"):
        return f"{layer} must not include tests"
    if target is None and re.match(FORBIDDEN_LIBRARIES[layer], included):
        return f"{layer} must not know of this library"
    return None


def includes_of(text):
    """Yields (line number, included path)."""
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(2)


def source_files():
    """The sources of the layers, relative to the root."""
    for layer in ALLOWED:
        for path in sorted((ROOT / layer).rglob("*")):
            if path.suffix in (".h", ".cc", ".cu", ".cuh"):
                yield path.relative_to(ROOT).as_posix()


def check_tree():
    problems = []
    count = 0
    for path in dict.fromkeys(source_files()):
        count += 1
        text = (ROOT / path).read_text(encoding="utf-8", errors="replace")
        for number, included in includes_of(text):
            problem = problem_with(path, included)
            if problem:
                problems.append(f"{path}:{number}: includes {included}: {problem}")
    return count, problems


def self_test():
    wrong = [
        ("planner/a.cc", "trainer/dims.h"),
        ("planner/a.cc", "runtimes/setup.h"),
        ("runtimes/a.cc", "proto/convert/plan.h"),
        ("planner/a.cc", "proto/convert/plan.h"),
        ("planner/a.cc", "tunesmith/v1/plan.pb.h"),
        ("planner/a.cc", "grpcpp/grpcpp.h"),
        ("planner/a.cc", "cuda_runtime.h"),
        ("planner/a.cc", "thread"),
        ("common/a.h", "planner/model/mix.h"),
        ("proto/convert/a.cc", "trainer/dims.h"),
        ("trainer/a.cc", "profiler/probe.h"),
        ("trainer/a.cc", "server/store.h"),
        ("server/a.cc", "trainer/dims.h"),
        ("server/a.cc", "client/table.h"),
        ("client/a.cc", "server/store.h"),
        ("client/a.cc", "trainer/dims.h"),
        ("planner/a.cc", "tests/planner/random_model.h"),
    ]
    right = [
        ("planner/a.cc", "common/units.h"),
        ("planner/a.cc", "vector"),
        ("planner/model/hardware_host.cc", "thread"),
        ("proto/convert/a.cc", "tunesmith/v1/plan.pb.h"),
        ("trainer/a.cc", "proto/convert/plan.h"),
        ("profiler/a.cc", "trainer/dims.h"),
        ("server/a.cc", "planner/answer/search.h"),
        ("client/a.cc", "tunesmith/v1/jobs.grpc.pb.h"),
        ("tests/a.cc", "server/store.h"),
    ]
    failures = [f"allowed: {case}" for case in wrong if problem_with(*case) is None]
    failures += [f"refused: {case}" for case in right if problem_with(*case) is not None]
    if list(includes_of('// #include "a.h"\n #  include "b.h"\n#include <c>\n')) != [(2, "b.h"), (3, "c")]:
        failures.append("includes_of reads the wrong lines")
    return failures


def main():
    if "--self-test" in sys.argv[1:]:
        failures = self_test()
        print("\n".join(failures) or "layering: the checker is right")
        return 1 if failures else 0
    count, problems = check_tree()
    if count == 0:
        problems.append(f"no sources found under {ROOT}")
    print("\n".join(problems) or f"layering: {count} files follow the arrows")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
