"""The figures that a GPU is judged by, beside those of peers, from the report of gpu-check: the one place where peers are named."""

import re
import statistics

NOT_MEASURED = "not measured"
FILLED = "a document fills each row, random weights"


def tokens_per_second(result):
    return result["tokens_per_second"], result["step_spread"]


def tokens_of_context(result):
    """A context that a step of one row ran at."""
    return result["tokens_per_step"], None


def attention_share(context):
    """cuDNN's seconds over the project's own, forward and backward together, at head size 128 and one document a row."""

    def value(result):
        rows = [row for row in result["attention_engines"] if "cudnn_seconds" in row and is_shape(row["shape"], context)]
        if not rows:
            return None, None
        return sum(row["cudnn_seconds"] for row in rows) / sum(row["own_seconds"] for row in rows), None

    return value


def is_shape(shape, context):
    """As "(4 x 4096), 32/8 heads of 128": with documents behind it the rows are packed."""
    return re.search(r" x %d\), \S+ heads of 128$" % context, shape) is not None


def share_of_ceiling(products):
    """Median over the ops that are matrix products, or over those that memory bounds."""

    def value(result):
        shares = [row["of_ceiling"] for row in result["ops"]
                  if "attention" not in row["op"] and row["op"].startswith("linear") == products and row["bytes"] > 1 << 20]
        if not shares:
            return None, None
        middle = statistics.median(shares)
        return middle, (max(shares) - min(shares)) / middle

    return value


def largest_difference(result):
    return max(abs(a - b) for a, b in zip(result["losses"], result["cpu_losses"])), None


def field(name):
    return lambda result: (result.get(name), None)


def full(size, model, peer_value):
    return {
        "work": "full fine-tune %s, sequence 1024, bf16 states, 0.5M tokens a step; %s" % (model, FILLED), "unit": "tokens/s", "peer": "llmq on H100, 0.5M tokens a step",
        "peer_value": peer_value, "to_reach": peer_value, "step": ("speed", "full Qwen2.5-" + size), "value": tokens_per_second}


def lora(model, conditions, dropout, peer, peer_value, to_reach, engine=""):
    return {
        "work": "LoRA %s, %s, dropout %s%s; %s" % (model, conditions, dropout, engine, FILLED), "unit": "tokens/s", "peer": peer, "peer_value": peer_value,
        "to_reach": to_reach, "step": ("speed", "LoRA %s, dropout %s%s" % (model, dropout, engine)), "value": tokens_per_second}


def attention(context, text):
    return {
        "work": "attention head dim 128, causal, %s: time of cuDNN alone over ours, forward and backward" % text, "unit": "ratio", "peer": "cuDNN, measured there", "peer_value": 1,
        "to_reach": 0.97, "step": ("ops", "engines of attention bf16"), "value": attention_share(context)}


def context(work, step, peer=None, peer_value=None, to_reach=None):
    return {
        "work": work + ", one step, all layers' inputs in host memory; " + FILLED, "unit": "tokens of context", "peer": peer, "peer_value": peer_value, "to_reach": to_reach,
        "step": ("contexts", step), "value": tokens_of_context}


def losses(precision, to_reach):
    """Within what the self test allows (trainer/selftest_command.cc)."""
    return {
        "work": "losses of 200 steps in %s against the CPU: largest difference" % precision, "unit": "nats", "peer": "CPU, fp32", "peer_value": 0, "to_reach": to_reach,
        "higher_is_better": False, "step": ("parity", "200 steps " + precision), "value": largest_difference}


LLAMA = ("Llama-3.1-8B", "sequence 4096, micro-batch 2, no recompute, 8192 tokens a step")
QWEN = ("Qwen3-8B", "sequence 2048, micro-batch 2, no recompute, 4096 tokens a step")
AUTOMODEL = ("NeMo AutoModel on H100, sequence 4096, micro-batch 2, no recompute", 12500, 16000)
SUROGATE = ("Surogate on H100, sequence 2048", 10200, 15000)

# work, unit, peer, peer_value, to_reach; the step of a stage that measures it, and how its result is read: (value, spread).
ROWS = [
    full("0.5B", "Qwen2.5-0.5B", 149500),
    full("1.5B", "Qwen2.5-1.5B", 58900),
    full("3B", "Qwen2.5-3B", 30900),
    full("7B", "Qwen2.5-7B", 13850),
    lora(*LLAMA, "0", *AUTOMODEL),
    lora(*LLAMA, "0", *AUTOMODEL, ", by cuDNN"),
    lora(*LLAMA, "0.1", *AUTOMODEL),
    lora(*QWEN, "0", *SUROGATE),
    lora(*QWEN, "0.1", *SUROGATE),
    attention(4096, "4k"),
    attention(16384, "16k"),
    {"work": "GEMMs of the step, Llama-3.1-8B LoRA shapes, median over shapes", "unit": "share of the rate", "peer": "cublasLt on a large product, measured there", "peer_value": 1,
     "to_reach": 0.92, "step": ("ops", "bench Llama-3.1-8B bf16"), "value": share_of_ceiling(True)},
    {"work": "memory-bound kernels, Llama-3.1-8B shapes, median over ops", "unit": "share of the rate", "peer": "device copy, measured there", "peer_value": 1, "to_reach": 0.85,
     "step": ("ops", "bench Llama-3.1-8B bf16"), "value": share_of_ceiling(False)},
    {"work": "predicted step times, unseen points: mean error", "unit": "share", "peer": None, "peer_value": None, "to_reach": 0.04, "higher_is_better": False,
     "step": ("calibrate", "accuracy"), "value": field("time_mape")},
    {"work": "predicted step times, unseen points: largest error", "unit": "share", "peer": None, "peer_value": None, "to_reach": 0.10, "higher_is_better": False,
     "step": ("calibrate", "accuracy"), "value": field("time_worst")},
    {"work": "arenas of another size than predicted", "unit": "points", "peer": None, "peer_value": None, "to_reach": 0, "higher_is_better": False,
     "step": ("calibrate", "accuracy"), "value": field("arena_mismatch_count")},
    {"work": "device memory in all, predicted over measured: largest error", "unit": "share", "peer": None, "peer_value": None, "to_reach": 0.01, "higher_is_better": False,
     "step": ("calibrate", "accuracy"), "value": field("memory_worst")},
    {"work": "points that took more device memory than predicted", "unit": "points", "peer": None, "peer_value": None, "to_reach": 0, "higher_is_better": False,
     "step": ("calibrate", "accuracy"), "value": field("memory_under_count")},
    context("longest context: LoRA Llama-3.1-8B bf16", "LoRA Llama-3.1-8B, context 256k", None, None, 262144),
    context("longest context: QLoRA Llama-3.1-8B", "QLoRA Llama-3.1-8B, context 350k", "Unsloth, QLoRA 8B", 342000, 350000),
    context("longest context: QLoRA Llama-3.1-70B", "QLoRA Llama-3.1-70B, context 64k"),
    {"work": "QLoRA Llama-3.1-70B, context 4k, one row a step; " + FILLED, "unit": "tokens/s", "peer": None, "peer_value": None, "to_reach": None,
     "step": ("contexts", "QLoRA Llama-3.1-70B, context 4k"), "value": tokens_per_second},
    losses("fp32", 1e-4),
    losses("bf16", 0.01),
]


def outside_arena_bytes(report, result):
    """What is predicted beside the arena: by the calibration of this report, else what the planner assumes."""
    calibrated = report["stages"].get("calibrate", {}).get("calibration", {}).get("result", {})
    return calibrated.get("outside_arena_bytes") or result.get("assumed_outside_arena_bytes", 0)


def memory_of(report, result):
    """(predicted, measured) bytes of the device in all, or None where there is no device."""
    if not result.get("device_bytes"):
        return None
    return result["planned_arena_bytes"] + outside_arena_bytes(report, result), result["device_bytes"]


def memory_text(report, result):
    memory = memory_of(report, result)
    if memory is None:
        return ""
    host = ", pinned host memory %d bytes, the process's peak %d" % (result["pinned_bytes"], result["peak_resident_bytes"]) if result["pinned_bytes"] else ""
    return "; device memory predicted %d, measured %d (%+.2f %%)%s" % (memory[0], memory[1], 100 * (memory[0] / memory[1] - 1), host)


def conditions(report, stage, result):
    """What a figure is of that only its result knows."""
    if stage in ("speed", "contexts"):
        return memory_text(report, result) + "".join("; " + note for note in result.get("notes", []))
    return "; %d points" % result["point_count"] if "point_count" in result else ""


def row_of(report, row):
    stage, name = row["step"]
    step = report["stages"].get(stage, {}).get(name, {})
    result = step.get("result", {})
    try:
        measured, spread = row["value"](result)
    except (KeyError, ValueError, ZeroDivisionError):
        measured, spread = None, None
    work = row["work"] + conditions(report, stage, result)
    return {
        "work": work, "unit": row["unit"], "measured": NOT_MEASURED if measured is None else measured, "spread": spread, "peer": row["peer"], "peer_value": row["peer_value"],
        "to_reach": row["to_reach"], "higher_is_better": row.get("higher_is_better", True), "gpu": report["device"]["name"], "driver": report["device"].get("driver"),
        "command": step.get("command", "gpu-check --stage %s" % stage)}


def rows_of(report):
    return [row_of(report, row) for row in ROWS]
