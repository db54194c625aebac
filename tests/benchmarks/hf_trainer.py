#!/usr/bin/env python3
"""Fine-tunes with Hugging Face's Trainer on the CPU, in float32: the other side of trainer_cpu.py, which starts this.

The last line of stdout is one JSON object: seconds of every step, loss of every step, the most resident memory while training.
"""

import argparse
import json
import os
import pathlib
import re
import time


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True, help=".gguf file")
    parser.add_argument("--rows", type=pathlib.Path, required=True, help="a JSON array of token ids per line, all of one length")
    parser.add_argument("--method", choices=["lora", "full"], required=True)
    parser.add_argument("--micro-batch", type=int, required=True)
    parser.add_argument("--accumulation", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    return parser.parse_args()


def peak_resident_bytes():
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s*(\d+) kB", status).group(1)) * 1024


def forget_peak():
    """What reading the model took does not count."""
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def plain_model(arguments, torch, transformers):
    """A directory with the file's weights as float32: transformers does not train what it read from a GGUF file."""
    directory = arguments.work / "model"
    if not (directory / "model.safetensors").exists():
        read = transformers.AutoModelForCausalLM.from_pretrained(
            arguments.model.parent, gguf_file=arguments.model.name, dtype=torch.float32)
        config = transformers.AutoConfig.from_pretrained(arguments.model.parent, gguf_file=arguments.model.name)
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        plain = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        plain.load_state_dict(read.state_dict())
        plain.save_pretrained(directory)
    return directory


def load_model(arguments, torch, transformers):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        plain_model(arguments, torch, transformers), dtype=torch.float32, attn_implementation=arguments.attention)
    model.config.use_cache = False
    if arguments.method == "full":
        return model
    import peft

    lora = peft.LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    return peft.get_peft_model(model, lora)


def main():
    arguments = parse_arguments()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    import torch
    import transformers

    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = load_model(arguments, torch, transformers)
    rows = [json.loads(line) for line in arguments.rows.read_text(encoding="utf-8").splitlines()]
    batch = arguments.micro_batch * arguments.accumulation
    dataset = [{"input_ids": row, "labels": row} for row in rows[:batch]] * arguments.steps

    class InOrder(transformers.Trainer):
        """Every step takes the same rows: the first loss is that of a known batch."""

        def _get_train_sampler(self, *_, **__):
            return torch.utils.data.SequentialSampler(dataset)

    class Clock(transformers.TrainerCallback):
        def __init__(self):
            self.seconds = []

        def on_step_begin(self, *_, **__):
            self.start = time.monotonic()

        def on_step_end(self, *_, **__):
            self.seconds.append(time.monotonic() - self.start)

    options = transformers.TrainingArguments(
        output_dir=str(arguments.work), use_cpu=True, max_steps=arguments.steps, per_device_train_batch_size=arguments.micro_batch,
        gradient_accumulation_steps=arguments.accumulation, learning_rate=arguments.learning_rate, lr_scheduler_type="constant",
        weight_decay=0.0, max_grad_norm=1.0, optim="adamw_torch_fused", logging_steps=1, save_strategy="no", report_to=[],
        disable_tqdm=True, dataloader_num_workers=0, dataloader_pin_memory=False)
    clock = Clock()
    trainer = InOrder(model=model, args=options, train_dataset=dataset, callbacks=[clock])
    trainer.remove_callback(transformers.PrinterCallback)
    forget_peak()
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(json.dumps({"step_seconds": clock.seconds, "losses": losses, "peak_resident_bytes": peak_resident_bytes()}))


if __name__ == "__main__":
    main()
