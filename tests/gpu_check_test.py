#!/usr/bin/env python3
"""Runs gpu-check of the bundle with binaries that say what they are told to: what it runs, resumes, leaves out and reports. Needs no GPU."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUNDLE = Path(__file__).resolve().parent.parent / "deploy/bundle"
sys.path.insert(0, str(BUNDLE))
sys.dont_write_bytecode = True
import gpu_rows  # noqa: E402
import gpu_stages  # noqa: E402

# Logs its arguments, then does what the file of its name with .plan behind it says: sleeps, prints, exits.
FAKE = """#!%s
import json, os, sys, time
here = os.path.dirname(os.path.realpath(__file__))
name = os.path.basename(sys.argv[0])
with open(os.path.join(here, "log"), "a") as log:
    log.write(json.dumps([name] + sys.argv[1:]) + "\\n")
plan_path = os.path.join(here, name + ".plan")
plan = json.load(open(plan_path)) if os.path.exists(plan_path) else {}
time.sleep(plan.get("sleep", 0))
print(plan.get("stdout", "{}").replace("DATA", sys.argv[sys.argv.index("--data-dir") + 1] if "--data-dir" in sys.argv else ""))
sys.exit(plan.get("exit", 0))
""" % sys.executable

SMI = """#!/bin/sh
echo 'NVIDIA H100 80GB HBM3, 580.1, 81559 MiB, 9.0, 4 MiB'
"""

STEP = {
    "tokens_per_second": 15000.5, "step_spread": 0.02, "tokens_per_step": 8192, "median_step_seconds": 0.5, "planned_arena_bytes": 20 << 30, "device_bytes": (20 << 30) + (600 << 20),
    "pinned_bytes": 0, "peak_resident_bytes": 1 << 30, "assumed_outside_arena_bytes": 640 << 20, "losses": [11.0] * 20}


class GpuCheckTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.bin = Path(self.directory.name, "bin")
        self.out = Path(self.directory.name, "out")
        self.bin.mkdir()
        for name in ("gpu-check", "gpu_rows.py", "gpu_stages.py"):
            shutil.copy(BUNDLE / name, self.bin)
        self.script("nvidia-smi", SMI)
        for name in ("tunesmith-selftest", "tunesmith-profiler", "tunesmith-bench-accuracy", "tunesmith-bench-ops", "tunesmith-gpu-tests"):
            self.script(name, FAKE)

    def script(self, name, text):
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def plan(self, name, **what):
        if not isinstance(what.get("stdout", ""), str):
            what["stdout"] = json.dumps(what["stdout"])
        (self.bin / (name + ".plan")).write_text(json.dumps(what))

    def check(self, *arguments):
        variables = {**os.environ, "PATH": "%s:%s" % (self.bin, os.environ["PATH"])}
        return subprocess.run([sys.executable, "-B", str(self.bin / "gpu-check"), "--out", str(self.out), *arguments], capture_output=True, text=True, env=variables)

    def ran(self):
        log = self.bin / "log"
        commands = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        log.unlink(missing_ok=True)
        return commands

    def report(self):
        return json.loads((self.out / "nvidia-h100-80gb-hbm3.json").read_text())

    def rows(self):
        return {row["work"].split(";")[0]: row for row in json.loads((self.out / "gpu-h100.json").read_text())}

    def test_speed_makes_rows(self):
        self.plan("tunesmith-selftest", stdout=STEP)
        done = self.check("--stage", "speed")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        commands = self.ran()
        self.assertEqual(len(commands), len(gpu_stages.STAGES["speed"]))
        for command in commands:
            self.assertIn("filled", command)
        row = self.rows()["LoRA Llama-3.1-8B, sequence 4096, micro-batch 2, no recompute, 8192 tokens a step, dropout 0"]
        self.assertEqual(
            {key: row[key] for key in ("measured", "spread", "peer_value", "to_reach", "higher_is_better", "unit", "gpu", "driver")},
            {"measured": 15000.5, "spread": 0.02, "peer_value": 12500, "to_reach": 16000, "higher_is_better": True, "unit": "tokens/s", "gpu": "NVIDIA H100 80GB HBM3",
             "driver": "580.1"})
        self.assertIn("--model Llama-3.1-8B", row["command"])
        self.assertIn("device memory predicted %d, measured %d (+0.19 %%)" % ((20 << 30) + (640 << 20), (20 << 30) + (600 << 20)), row["work"])
        self.assertEqual(self.rows()["attention head dim 128, causal, 4k: time of cuDNN alone over ours, forward and backward"]["measured"], "not measured")
        markdown = (self.out / "nvidia-h100-80gb-hbm3.md").read_text()
        self.assertIn("| 15000.5 | 2.0 % | NeMo AutoModel", markdown)
        self.assertIn("(20 in all)", markdown)

    def test_a_row_says_what_its_run_did_without(self):
        self.plan("tunesmith-selftest", stdout={**STEP, "notes": ["no cuDNN there"]})
        self.assertEqual(self.check("--stage", "speed", "--only", "by cuDNN").returncode, 0)
        self.assertIn("; no cuDNN there", self.rows()["LoRA Llama-3.1-8B, sequence 4096, micro-batch 2, no recompute, 8192 tokens a step, dropout 0, by cuDNN"]["work"])

    def test_resume_runs_only_what_has_not_passed(self):
        self.plan("tunesmith-selftest", stdout=STEP)
        chosen = [step for step in gpu_stages.STAGES["speed"] if "dropout 0" in step[0]]
        self.assertEqual(self.check("--stage", "speed", "--only", "dropout 0").returncode, 0)
        self.assertEqual(len(self.ran()), len(chosen))
        self.assertEqual(self.check("--stage", "speed", "--resume").returncode, 0)
        self.assertEqual(len(self.ran()), len(gpu_stages.STAGES["speed"]) - len(chosen))
        self.assertEqual(self.check("--stage", "speed", "--only", "0.1").returncode, 0)
        self.assertEqual(len(self.ran()), 2, "without --resume what was chosen runs again")
        self.assertEqual(len(self.report()["stages"]["speed"]), len(gpu_stages.STAGES["speed"]), "and the rest is kept")

    def test_a_step_that_fails_keeps_its_output_and_lets_others_run(self):
        self.plan("tunesmith-selftest", stdout="boom", exit=3)
        done = self.check("--stage", "speed")
        self.assertEqual(done.returncode, 1)
        steps = self.report()["stages"]["speed"]
        self.assertEqual({step["status"] for step in steps.values()}, {"failed"})
        self.assertEqual(steps["full Qwen2.5-7B"]["exit_status"], 3)
        self.assertIn("boom", steps["full Qwen2.5-7B"]["output_tail"])

    def test_what_a_failed_comparison_said_is_kept(self):
        self.plan("tunesmith-selftest", stdout={"losses": [2.0, 1.0], "cpu_losses": [2.0, 1.5]}, exit=1)
        self.assertEqual(self.check("--stage", "parity", "--only", "200 steps fp32").returncode, 1)
        self.assertEqual(self.rows()["losses of 200 steps in fp32 against the CPU: largest difference"]["measured"], 0.5)

    def test_what_failed_tests_said_first_is_kept(self):
        cases = [{"classname": "DTypes/GemmTest", "name": "CublasLt/%d" % i, "result": "COMPLETED", "failures": [{"failure": "difference %d" % i + "x" * 5000}]} for i in range(20)]
        result = {"testsuites": [{"testsuite": cases + [{"classname": "A", "name": "b", "result": "COMPLETED"}]}]}
        self.script("tunesmith-gpu-tests", "#!/bin/sh\nfor a; do case $a in --gtest_output=json:*) echo '%s' > \"${a#*json:}\";; esac; done\nexit 1\n" % json.dumps(result))
        self.assertEqual(self.check("--stage", "ops", "--only", "tests").returncode, 1)
        step = self.report()["stages"]["ops"]["tests"]
        self.assertEqual((step["status"], step["result"]["test_count"], len(step["result"]["failed"])), ("failed", 21, 20))
        self.assertEqual(len(step["result"]["messages"]), 6)
        self.assertTrue(step["result"]["messages"][0].startswith("difference 0x"))

    def test_tests_that_are_cut_off_say_how_far_they_came(self):
        self.script("tunesmith-gpu-tests", "#!/bin/sh\nprintf '[ RUN      ] A.b/f32\\n[       OK ] A.b/f32 (3 ms)\\n[ RUN      ] A.c\\n[  FAILED  ] A.c, where GetParam() = 1 (2 ms)\\n[ RUN      ] A.d\\n'\nkill -9 $$\n")
        self.assertEqual(self.check("--stage", "ops", "--only", "tests").returncode, 1)
        self.assertEqual(self.report()["stages"]["ops"]["tests"]["result"], {"test_count": 2, "failed": ["A.c"], "unfinished": ["A.d"]})

    def test_skipped_tests_fail_unless_their_library_may_be_missing(self):
        result = {"testsuites": [{"testsuite": [{"classname": "DTypes/CudnnAttentionTest", "name": "Groups", "result": "SKIPPED"}]}]}
        self.script("tunesmith-gpu-tests", "#!/bin/sh\nfor a; do case $a in --gtest_output=json:*) echo '%s' > \"${a#*json:}\";; esac; done\n" % json.dumps(result))
        self.assertEqual(self.check("--stage", "ops", "--only", "tests").returncode, 1)
        steps = self.report()["stages"]["ops"]
        self.assertEqual((steps["tests"]["status"], steps["tests of cuDNN"]["status"]), ("failed", "passed"))

    def test_rows_of_ops_survive_the_end_of_their_time(self):
        row = {"op": "linear", "shapes": "(1)", "median_seconds": 1e-3, "bytes": 1 << 24, "bytes_per_second": 1e12, "flops_per_second": 5e14, "of_ceiling": 0.9}
        table = {"copy_bytes_per_second": 3e12, "product_flops_per_second": 7e14, "ops": [row], "failed": [{"op": "rope", "why": "no reason"}]}
        self.script("tunesmith-bench-ops", "#!/bin/sh\nwhile [ $# -gt 1 ]; do [ $1 = --out ] && echo '%s' > $2; shift; done\nexec sleep 60\n" % json.dumps(table))
        done = self.check("--stage", "ops", "--only", "bench Llama", "--seconds", "10.5")
        self.assertEqual(done.returncode, 1)
        step = self.report()["stages"]["ops"]["bench Llama-3.1-8B bf16"]
        self.assertEqual((step["status"], step["result"]), ("failed", table))
        self.assertEqual(self.rows()["GEMMs of the step, Llama-3.1-8B LoRA shapes, median over shapes"]["measured"], 0.9)
        self.assertIn("- rope failed: no reason", (self.out / "nvidia-h100-80gb-hbm3.md").read_text())

    def test_the_budget_ends_a_stage(self):
        self.plan("tunesmith-selftest", stdout=STEP, sleep=3)
        done = self.check("--stage", "speed", "--seconds", "11")
        self.assertEqual(done.returncode, 1)
        statuses = [step["status"] for step in self.report()["stages"]["speed"].values()]
        self.assertEqual(statuses, ["passed"] + ["not reached"] * (len(gpu_stages.STAGES["speed"]) - 1))

    def test_calibrate_hands_the_table_on(self):
        data = self.out / "data"
        data.mkdir(parents=True)
        (data / "h100.json").write_text(json.dumps({"id": "H100-SXM-1", "outside_arena_bytes": str(610 << 20), "gemm": [{}, {}], "step_factor": 1.02}))
        self.plan("tunesmith-profiler", stdout="probe 3/3\nDATA/h100.json")
        accuracy = {"point_count": 48, "time_mape": 0.03, "time_worst": 0.09, "arena_mismatch_count": 0, "memory_worst": 0.004, "memory_under_count": 0}
        self.plan("tunesmith-bench-accuracy", stdout="+1.0 % a point\n" + json.dumps(accuracy))
        done = self.check("--stage", "calibrate", "--seconds", "400")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        profiler, bench = self.ran()
        self.assertEqual(profiler[profiler.index("--budget") + 1], "128s")
        self.assertEqual(bench[bench.index("--calibration") + 1], str(data / "h100.json"))
        left = int(bench[bench.index("--seconds") + 1])
        self.assertTrue(300 < left <= 355, left)
        step = self.report()["stages"]["calibrate"]
        self.assertEqual(step["calibration"]["result"]["gemm_count"], 2)
        self.assertEqual(step["accuracy"]["points"], ["+1.0 % a point"])
        self.assertEqual(json.loads((self.out / "nvidia-h100-80gb-hbm3-calibration.json").read_text())["id"], "H100-SXM-1")
        self.assertEqual(self.rows()["predicted step times, unseen points: largest error"]["measured"], 0.09)
        self.assertFalse(self.rows()["predicted step times, unseen points: largest error"]["higher_is_better"])
        self.assertIn("; 48 points", self.rows()["predicted step times, unseen points: largest error"]["work"])
        self.assertEqual(gpu_rows.outside_arena_bytes(self.report(), STEP), 610 << 20)

    def test_no_calibration_no_points(self):
        self.plan("tunesmith-profiler", stdout="", exit=1)
        self.assertEqual(self.check("--stage", "calibrate").returncode, 1)
        self.assertEqual(len(self.ran()), 1)
        self.assertEqual(self.report()["stages"]["calibrate"]["accuracy"]["status"], "not reached")

    def test_rows_of_a_report(self):
        self.plan("tunesmith-selftest", stdout=STEP)
        self.check("--stage", "speed", "--only", "0.5B")
        done = self.check("--rows", str(self.out / "nvidia-h100-80gb-hbm3.json"))
        self.assertEqual(json.loads(done.stdout), json.loads((self.out / "gpu-h100.json").read_text()))

    def test_bad_usage(self):
        self.assertEqual(self.check("--stage", "fast").returncode, 2)
        done = self.check("--stage", "contexts", "--only", "1M")
        self.assertEqual(done.returncode, 2)
        self.assertIn("QLoRA Llama-3.1-8B, context 350k", done.stderr)

    def test_graphs_are_asked_for_by_a_variable(self):
        self.script("tunesmith-selftest", "#!/bin/sh\nprintf '{\"graphs\": \"%s\"}\\n' \"$TUNESMITH_CUDA_GRAPHS\"\n")
        self.check("--stage", "full", "--only", "as graphs")
        results = [step["result"] for step in self.report()["stages"]["full"].values()]
        self.assertEqual(results, [{"graphs": "1"}] * 2)


class RowsTest(unittest.TestCase):
    def test_every_row_is_measured_by_a_step(self):
        for row in gpu_rows.ROWS:
            stage, name = row["step"]
            self.assertIn(name, [step[0] for step in gpu_stages.STAGES[stage]], row["work"])

    def test_attention_is_of_whole_rows(self):
        rows = [{"shape": "(4 x 4096), 32/8 heads of 128", "cudnn_seconds": 1.0, "own_seconds": 2.0}, {"shape": "(4 x 4096), 32/8 heads of 128", "cudnn_seconds": 2.0, "own_seconds": 2.0},
                {"shape": "(4 x 4096), 32/8 heads of 128, documents of 1024", "cudnn_seconds": 9.0, "own_seconds": 1.0}, {"shape": "(4 x 4096), 32/8 heads of 128", "cudnn": "none"}]
        self.assertEqual(gpu_rows.attention_share(4096)({"attention_engines": rows}), (0.75, None))
        self.assertEqual(gpu_rows.attention_share(16384)({"attention_engines": rows}), (None, None))

    def test_shares_are_medians_of_their_kind(self):
        ops = [{"op": "linear", "of_ceiling": 0.9, "bytes": 1 << 24}, {"op": "linear_backward_input", "of_ceiling": 0.8, "bytes": 1 << 24},
               {"op": "rms_norm", "of_ceiling": 0.5, "bytes": 1 << 24}, {"op": "arg_max", "of_ceiling": 0.0, "bytes": 4}, {"op": "attention", "of_ceiling": 0.1, "bytes": 1 << 24}]
        self.assertAlmostEqual(gpu_rows.share_of_ceiling(True)({"ops": ops})[0], 0.85)
        self.assertAlmostEqual(gpu_rows.share_of_ceiling(False)({"ops": ops})[0], 0.5)


if __name__ == "__main__":
    unittest.main()
