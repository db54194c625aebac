"""What each stage of gpu-check runs, most valuable first. Plain data.

A step is (name, most seconds, command). In commands {device}, {out} and {calibration}, a file that the stage calibrate made, are filled in; so are {result}, where a
step's result belongs, {budget}, the seconds of a calibration, and {left}, those that a step has to measure in. Variables may come in front, as in a shell.
"""

BENCH = ["tunesmith-bench-ops", "--device", "{device}", "--seconds", "0.1", "--out", "{result}"]
# Tests of what a host may lack, whose kernels are compiled first: half a second to three for each.
OPTIONAL_TESTS = "*CudnnAttentionTest*"
SELFTEST = ["tunesmith-selftest", "--device", "{device}"]
PARITY = SELFTEST + ["--compare", "cpu"]

# Random weights of a stretch that is repeated, which take seconds; a document fills each row, as packed text does at most; micro-batches of each kind warm up and no step is lost to it.
TIMED = SELFTEST + ["--weights", "noise", "--documents", "filled", "--warm-up", "micro", "--count-used", "no"]
# A step is minutes: the first one counts, with what it takes to pick algorithms.
ONCE = SELFTEST + ["--weights", "noise", "--documents", "filled", "--warm-up", "none", "--count-used", "no", "--steps", "1"]


def graphs(command):
    return ["TUNESMITH_CUDA_GRAPHS=1"] + command


def bench(model, context, mix):
    return BENCH + ["--model", model, "--context", context, "--mix", mix]


def tests(name, seconds, chosen):
    return (name, seconds, ["tunesmith-gpu-tests", "--gtest_output=json:{result}", "--gtest_filter=" + chosen])


def parity(name, mix, *more):
    return (name, 120, PARITY + ["--mix", mix] + list(more))


def small(mix):
    return SELFTEST + ["--model", "SmolLM2-135M", "--context", "1024", "--steps", "20", "--mix", mix]


def full(name, model, batch, seconds, steps, more=""):
    """A full fine-tune of 0.5M tokens a step at sequence 1024: micro-batches as large as 80 GB take without recompute."""
    mix = "method=full precision=bf16 optimizer_state=bf16 %sattention=flash loss=chunked batch=%s" % (more, batch)
    return (name, seconds, TIMED + ["--model", model, "--context", "1024", "--steps", str(steps), "--seconds", "40", "--mix", mix])


def lora(name, model, context, dropout, attention="flash"):
    mix = "method=lora:r16%s precision=bf16 attention=%s loss=chunked batch=2x1" % (":d" + dropout if dropout else "", attention)
    return (name, 60, TIMED + ["--model", model, "--context", context, "--steps", "20", "--seconds", "10", "--mix", mix])


def once(name, model, method, context, layers):
    """One step of one row with all layers' inputs in the host's memory."""
    mix = "method=%s:r16 precision=bf16 recompute=host:%d attention=flash loss=chunked mlp_tiles=16 batch=1x1" % (method, layers)
    return (name, 570, ONCE + ["--model", model, "--context", str(context), "--mix", mix])


STAGES = {
    "ops": [
        tests("tests", 240, "-" + OPTIONAL_TESTS),
        tests("tests of cuDNN", 240, OPTIONAL_TESTS),
        ("bench SmolLM2-135M bf16", 120, bench("SmolLM2-135M", "1024", "method=full precision=bf16 loss=chunked batch=8x1")),
        ("bench SmolLM2-135M fp32", 120, bench("SmolLM2-135M", "1024", "method=full precision=fp32 loss=chunked batch=8x1")),
        ("bench Llama-3.1-8B bf16", 120, bench("Llama-3.1-8B", "2048", "method=lora:r16 precision=bf16 loss=chunked batch=2x1")),
        ("engines of attention bf16", 120, BENCH + ["--compare", "attention"]),
    ],
    "parity": [
        parity("full fp32", "method=full precision=fp32 batch=2x2"),
        parity("lora fp32", "method=lora:r4 precision=fp32 batch=2x2"),
        parity("full fp32 chunked, recomputed", "method=full precision=fp32 loss=chunked recompute=block:2 batch=2x2"),
        parity("full fp32 flash", "method=full precision=fp32 attention=flash batch=2x2"),
        parity("lora fp32 host rung, tiles", "method=lora:r4 precision=fp32 recompute=host:2 mlp_tiles=2 attention=flash batch=2x2"),
        parity("full fp32 states in bf16", "method=full precision=fp32 optimizer_state=bf16 batch=2x2"),
        parity("full fp32 states in int8", "method=full precision=fp32 optimizer_state=int8 batch=2x2"),
        parity("full fp32 SGD", "method=full precision=fp32 optimizer=sgd batch=2x2"),
        parity("full fp32, states on the host in part", "method=full precision=fp32 offload=optimizer offload_percent=40 batch=2x2"),
        parity("lora fp32, all on the host", "method=lora:r4 precision=fp32 offload=all batch=2x2"),
        parity("full bf16", "method=full precision=bf16 batch=2x2"),
        parity("full bf16 cudnn", "method=full precision=bf16 attention=cudnn batch=2x2"),
        ("full bf16 flash, as graphs", 120, graphs(PARITY + ["--mix", "method=full precision=bf16 attention=flash loss=chunked batch=1x3"])),
        parity("200 steps fp32", "method=full precision=fp32 attention=flash loss=chunked batch=2x2", "--steps", "200"),
        parity("200 steps bf16", "method=full precision=bf16 attention=flash loss=chunked batch=2x2", "--steps", "200"),
    ],
    "full": [
        ("SmolLM2-135M full bf16", 240, small("method=full precision=bf16 loss=chunked batch=8x1")),
        ("SmolLM2-135M full bf16 flash", 240, small("method=full precision=bf16 attention=flash loss=chunked batch=8x1")),
        ("SmolLM2-135M lora bf16 host rung", 240, small("method=lora:r16 precision=bf16 attention=flash loss=chunked recompute=host:30 batch=8x1")),
        ("SmolLM2-135M full bf16 flash, as graphs", 240, graphs(small("method=full precision=bf16 attention=flash loss=chunked batch=8x1"))),
        ("SmolLM2-135M lora bf16 flash", 240, small("method=lora:r16 precision=bf16 attention=flash loss=chunked batch=2x4")),
        ("SmolLM2-135M lora bf16 flash, as graphs", 240, graphs(small("method=lora:r16 precision=bf16 attention=flash loss=chunked batch=2x4"))),
        ("SmolLM2-135M full bf16 flash, products untuned", 240,
            ["TUNESMITH_PRODUCT_TUNING=0"] + small("method=full precision=bf16 attention=flash loss=chunked batch=8x1")),
        ("SmolLM2-135M lora bf16", 240, small("method=lora:r16 precision=bf16 loss=chunked batch=8x1")),
    ],
    # The model that is probed is none of those whose steps are predicted then. The host's processors may be busy: what is measured is the device.
    "calibrate": [
        ("calibration", 240, ["tunesmith-profiler", "--device", "{device}", "--model", "Llama-2-7b-hf", "--context", "2048", "--budget", "{budget}s",
            "--allow-noise", "--data-dir", "{out}/data"]),
        ("accuracy", 480, ["tunesmith-bench-accuracy", "--device", "{device}", "--calibration", "{calibration}", "--points", "56", "--seed", "2", "--seconds", "{left}",
            "--save", "{out}/accuracy-points.json"]),
    ],
    "speed": [
        lora("LoRA Llama-3.1-8B, dropout 0", "Llama-3.1-8B", "4096", ""),
        lora("LoRA Llama-3.1-8B, dropout 0, by cuDNN", "Llama-3.1-8B", "4096", "", "cudnn"),
        lora("LoRA Qwen3-8B, dropout 0", "Qwen3-8B", "2048", ""),
        full("full Qwen2.5-0.5B", "Qwen2.5-0.5B", "32x16", 90, 5),
        full("full Qwen2.5-1.5B", "Qwen2.5-1.5B", "16x32", 120, 4),
        lora("LoRA Llama-3.1-8B, dropout 0.1", "Llama-3.1-8B", "4096", "0.1"),
        lora("LoRA Qwen3-8B, dropout 0.1", "Qwen3-8B", "2048", "0.1"),
        full("full Qwen2.5-3B", "Qwen2.5-3B", "8x64", 150, 3),
        full("full Qwen2.5-7B", "Qwen2.5-7B", "4x128", 240, 2, "accumulation=bf16 "),
    ],
    "contexts": [
        ("QLoRA Llama-3.1-70B, context 4k", 240, TIMED + ["--model", "Llama-3.1-70B", "--context", "4096", "--steps", "3", "--seconds", "40", "--mix",
            "method=qlora:r16 precision=bf16 recompute=block:80 attention=flash loss=chunked batch=1x1"]),
        once("LoRA Llama-3.1-8B, context 256k", "Llama-3.1-8B", "lora", 262144, 32),
        once("QLoRA Llama-3.1-8B, context 350k", "Llama-3.1-8B", "qlora", 350208, 32),
        once("QLoRA Llama-3.1-70B, context 64k", "Llama-3.1-70B", "qlora", 65536, 80),
    ],
}
