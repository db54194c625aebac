#!/usr/bin/env python3
"""Reads the configuration files of tests/runtimes/golden with the configuration classes of the libraries that they are for.

    exports_parity.py [GOLDEN_DIRECTORY]

Every file must be accepted, and what the library understood must be what the file says: a key that a library does not know, or a value that
it turns into another, is a failure. Exits 1 after all failures are printed.
"""

import ast
import dataclasses
import json
import os
import sys
import traceback
import types
from pathlib import Path

os.environ.setdefault("DISABLE_VERSION_CHECK", "1")  # LLaMA-Factory bounds transformers' version
os.environ.setdefault("ACCELERATE_USE_CPU", "true")

import yaml  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent


def expect(condition, message):
    if not condition:
        raise AssertionError(message)


def check_deepspeed(path):
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig, get_zero_config

    text = json.loads(path.read_text())
    config = get_zero_config(text)
    for key, value in text["zero_optimization"].items():
        field = next((name for name, info in DeepSpeedZeroConfig.model_fields.items() if key in (name, info.alias)), None)
        expect(field, f"zero_optimization.{key} is not known to DeepSpeed")
        found = getattr(config, field)
        if isinstance(value, dict):
            for inner, inner_value in value.items():
                got = getattr(found, inner)
                expect(str(getattr(got, "value", got)) == str(inner_value), f"{key}.{inner}: {got} != {inner_value}")
        else:
            expect(int(found) == int(value), f"{key}: {found} != {value}")

    # The batch equation is checked by DeepSpeedConfig itself, which asks the process group how many ranks there are.
    from deepspeed.runtime import config as deepspeed_config

    ranks = text["train_batch_size"] // (text["train_micro_batch_size_per_gpu"] * text["gradient_accumulation_steps"])
    group = types.SimpleNamespace(get_data_parallel_world_size=lambda: ranks)
    deepspeed_config.dist = types.SimpleNamespace(get_rank=lambda: 0, get_world_size=lambda: ranks, is_initialized=lambda: True)
    whole = deepspeed_config.DeepSpeedConfig(text, mpu=group)
    expect(whole.gradient_accumulation_steps == text["gradient_accumulation_steps"], "gradient_accumulation_steps")
    expect(whole.zero_config.stage == text["zero_optimization"]["stage"], "stage")
    half = "bf16" if "bf16" in text else "fp16"
    enabled = getattr(whole, "bfloat16_config" if half == "bf16" else "float16_config").enabled
    expect(enabled, f"{half} is not enabled")


def check_accelerate(path):
    from accelerate.commands.config.config_args import load_config_from_file

    text = yaml.safe_load(path.read_text())
    config = load_config_from_file(str(path))  # refuses unknown keys
    for key, value in text.items():
        found = getattr(config, key)
        found = getattr(found, "value", found)
        expect(found == value or str(found).lower() == str(value).lower(), f"{key}: {found!r} != {value!r}")
    if text["distributed_type"] == "FSDP":
        from accelerate.utils import FullyShardedDataParallelPlugin

        known = {field.name for field in dataclasses.fields(FullyShardedDataParallelPlugin)}
        aliases = {"offload_params": "cpu_offload", "version": "fsdp_version", "transformer_layer_cls_to_wrap": "transformer_cls_names_to_wrap"}
        for key in text["fsdp_config"]:
            name = key.removeprefix("fsdp_")
            expect(aliases.get(name, name) in known, f"fsdp_config.{key} is not a field of FullyShardedDataParallelPlugin")


def call_keywords(tree, function):
    """Keyword arguments of each call of `function` in the script, evaluated where they are literals."""
    calls = []
    for node in ast.walk(tree):
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
        if name == function:
            calls.append({word.arg: word.value for word in node.keywords})
    return calls


def check_trainer(path):
    import torch
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig, TrainingArguments

    tree = ast.parse(path.read_text())

    def value(node):
        return eval(compile(ast.Expression(node), str(path), "eval"), {"torch": torch})  # noqa: S307

    for function, make in (("TrainingArguments", TrainingArguments), ("LoraConfig", LoraConfig), ("BitsAndBytesConfig", BitsAndBytesConfig)):
        for keywords in call_keywords(tree, function):
            arguments = {key: value(node) for key, node in keywords.items()}
            if function == "TrainingArguments":
                # What needs a GPU or another file is checked by name only.
                known = {field.name for field in dataclasses.fields(TrainingArguments)}
                expect(set(arguments) <= known, f"TrainingArguments does not know {set(arguments) - known}")
                arguments.pop("deepspeed", None)
                arguments.update(use_cpu=True, bf16=False, fp16=False)
            made = make(**arguments)
            for key, given in arguments.items():
                found = getattr(made, key, given)
                found = getattr(found, "value", found)
                if isinstance(given, (int, float)) and not isinstance(given, bool):
                    expect(found == given, f"{function}.{key}: {found} != {given}")
    compile(tree, str(path), "exec")


def check_axolotl(path):
    from axolotl.utils.schemas.config import AxolotlInputConfig

    text = yaml.safe_load(path.read_text())
    known = set(AxolotlInputConfig.model_fields) | {info.alias for info in AxolotlInputConfig.model_fields.values() if info.alias}
    expect(set(text) <= known, f"Axolotl does not know {set(text) - known}")
    config = AxolotlInputConfig(**text).model_dump(exclude_none=True)
    for key in ("sequence_len", "micro_batch_size", "gradient_accumulation_steps", "lora_r", "gradient_checkpointing", "load_in_4bit"):
        if key in text:
            expect(config.get(key) == text[key], f"{key}: {config.get(key)} != {text[key]}")


def check_llama_factory(path):
    from llamafactory.hparams import DataArguments, FinetuningArguments, GeneratingArguments, ModelArguments
    from transformers import HfArgumentParser, TrainingArguments

    text = yaml.safe_load(path.read_text())
    text.pop("deepspeed", None)  # a file, read when training starts; checked above
    for key in ("bf16", "fp16"):
        if text.pop(key, None) is not None:
            expect(key in {field.name for field in dataclasses.fields(TrainingArguments)}, key)
    text["use_cpu"] = True
    parsed = HfArgumentParser((ModelArguments, DataArguments, TrainingArguments, FinetuningArguments, GeneratingArguments)).parse_dict(text)
    for key, value in text.items():
        holder = next((part for part in parsed if hasattr(part, key)), None)
        expect(holder is not None, f"{key} is not known to LLaMA-Factory")
        found = getattr(holder, key)
        found = getattr(found, "value", found)
        if key == "cutoff_len":
            found += value - found if found == value - 1 else 0  # LLaMA-Factory takes one off for the label of the last token
        if isinstance(value, (int, bool)):
            expect(found == value, f"{key}: {found!r} != {value!r}")


def check_torchtune(path):
    import inspect
    import re

    import torchtune
    from omegaconf import OmegaConf
    from torchtune.config._utils import _get_component_from_path
    from torchtune.models.llama3 import lora_llama3_8b

    config = OmegaConf.load(path)
    for section in ("dataset", "optimizer", "loss"):
        component = _get_component_from_path(config[section]["_component_"])
        parameters = inspect.signature(component).parameters
        open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
        given = set(config[section]) - {"_component_"}
        expect(open_ended or given <= set(parameters), f"{section} does not take {given - set(parameters)}")
    if "model" in config:
        parameters = set(inspect.signature(lora_llama3_8b).parameters)
        expect(set(config["model"]) <= parameters, f"model does not take {set(config['model']) - parameters}")
    # The recipe is named in the file's comment; a key must be one that its source reads.
    recipe = re.search(r"(full|lora)_finetune_\w+", path.read_text()).group()
    source = (Path(torchtune.__file__).parent.parent / "recipes" / f"{recipe}.py").read_text()
    for key in config:
        expect(re.search(rf"cfg\.{key}\b|cfg\.get\(\s*[\"']{key}[\"']", source), f"{recipe} does not read {key}")


CHECKS = {
    "deepspeed.json": check_deepspeed,
    "accelerate.yaml": check_accelerate,
    "train.py": check_trainer,
    "axolotl.yaml": check_axolotl,
    "llama_factory.yaml": check_llama_factory,
    "torchtune.yaml": check_torchtune,
}


def main():
    golden = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests/runtimes/golden"
    failures, counts = [], dict.fromkeys(CHECKS, 0)
    for path in sorted(golden.glob("*/*")):
        try:
            CHECKS[path.name](path)
            counts[path.name] += 1
        except Exception as error:  # noqa: BLE001  (every library raises its own)
            failures.append(f"{path.relative_to(golden)}: {type(error).__name__}: {error}")
            if os.environ.get("VERBOSE"):
                traceback.print_exc()
    for name, count in counts.items():
        print(f"{name:20} {count} accepted")
    print("\n".join(failures))
    print(json.dumps({"accepted_count": sum(counts.values()), "failure_count": len(failures)}))
    return 1 if failures or not sum(counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
