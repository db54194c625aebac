#!/usr/bin/env python3
"""Compares training with transformers and PEFT, family by family, on tiny random models in each family's own names.

For every family and each of full fine-tuning, LoRA, and QLoRA with and without double quantization: the logits before training, every gradient of the first step,
the losses of 20 AdamW steps, and what the trainer saved, loaded by the other side. All in float32 on the CPU. Errors are ||ours - theirs|| / ||theirs||; a gradient is
measured against at least a hundred-thousandth of all gradients together, for some are zero but for rounding (the bias of keys).

QLoRA's other side is transformers' 4-bit loading (bitsandbytes, NF4) below PEFT. Falcon's linear layers are a class of their own that transformers does not replace:
there the base is what bitsandbytes' functions make of the weights and back. Two kernels of bitsandbytes 0.50 for CPUs are kept out of the way: the one that dequantizes
4-bit codes errs on rows that are not whole blocks of 64, so these models are wider than the others; the one that quantizes magnitudes to 8 bits takes a number that is not the
nearest for some, so its generic code is called, which takes the nearest as CUDA's does.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import bitsandbytes
import peft
import torch
import transformers
from safetensors.torch import load_file

VOCAB, LAYERS, HIDDEN, INNER, HEADS, CONTEXT, ROWS, STEPS = 61, 4, 32, 48, 4, 24, 3, 20
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.01
BARS = {"worst_logit_error": 1e-5, "worst_gradient_error": 1e-4, "worst_loss_error": 1e-4}
SIZES = {"vocab_size": VOCAB, "num_hidden_layers": LAYERS, "hidden_size": HIDDEN, "num_attention_heads": HEADS, "max_position_embeddings": 64,
         "pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2}
LLAMA = {**SIZES, "intermediate_size": INNER, "num_key_value_heads": 2}
ALL_LLAMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
NEOX = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 16}


def rope(kind, **fields):
    return {"rope_type": kind, "rope_theta": 10000.0, **fields}


def long_rope(pairs, **fields):
    return rope("longrope", short_factor=[1.0 + 0.3 * i for i in range(pairs)], long_factor=[1.5 + 2.0 * i for i in range(pairs)], **fields)


# name: (configuration class, its arguments, adapter's modules)
FAMILIES = {
    "llama": ("LlamaConfig", LLAMA, ALL_LLAMA),
    "llama-biases": ("LlamaConfig", {**LLAMA, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}, ["q_proj", "down_proj"]),
    "llama3-rope": ("LlamaConfig", {**LLAMA, "rope_parameters": LLAMA3_ROPE, "head_dim": 16}, ALL_LLAMA),
    "llama-linear-rope": ("LlamaConfig", {**LLAMA, "rope_parameters": rope("linear", factor=4.0)}, ALL_LLAMA),
    "llama-dynamic-rope": ("LlamaConfig", {**LLAMA, "rope_parameters": rope("dynamic", factor=4.0)}, ALL_LLAMA),
    "llama-yarn": ("LlamaConfig", {**LLAMA, "rope_parameters": rope("yarn", factor=4.0, original_max_position_embeddings=16)}, ALL_LLAMA),
    "mistral": ("MistralConfig", {**LLAMA, "sliding_window": 7}, ALL_LLAMA),
    "qwen2": ("Qwen2Config", {**LLAMA, "tie_word_embeddings": True}, ALL_LLAMA),
    "qwen2-windows": ("Qwen2Config", {**LLAMA, "use_sliding_window": True, "sliding_window": 7, "max_window_layers": 2}, ALL_LLAMA),
    "qwen3": ("Qwen3Config", {**LLAMA, "head_dim": 16}, ALL_LLAMA),
    "smollm3": ("SmolLM3Config", {**LLAMA, "no_rope_layer_interval": 2}, ALL_LLAMA),
    "phi": ("PhiConfig", {**SIZES, "intermediate_size": INNER}, ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"]),
    "phi3": ("Phi3Config", {**LLAMA, "sliding_window": 9}, ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]),
    "phi3-partial": ("Phi3Config", {**LLAMA, "rope_parameters": rope("default", partial_rotary_factor=0.75), "original_max_position_embeddings": 64},
                     ["qkv_proj", "down_proj"]),
    "phi3-long-rope": ("Phi3Config", {**LLAMA, "rope_parameters": long_rope(pairs=3, partial_rotary_factor=0.75),
                                      "original_max_position_embeddings": 8}, ["qkv_proj", "down_proj"]),
    "phi3-short-rope": ("Phi3Config", {**LLAMA, "rope_parameters": long_rope(pairs=4), "original_max_position_embeddings": 48},
                        ["qkv_proj", "down_proj"]),
    "gemma": ("GemmaConfig", {**LLAMA, "head_dim": 16, "num_key_value_heads": 1}, ALL_LLAMA),
    "gemma2": ("Gemma2Config", {**LLAMA, "head_dim": 16, "sliding_window": 7, "query_pre_attn_scalar": 24, "attn_logit_softcapping": 2.0,
                                "final_logit_softcapping": 3.0}, ALL_LLAMA),
    "gemma3": ("Gemma3TextConfig", {**LLAMA, "head_dim": 16, "sliding_window": 7, "query_pre_attn_scalar": 16,
                                    "layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]}, ALL_LLAMA),
    "falcon-7b": ("FalconConfig", {**SIZES, "multi_query": True, "parallel_attn": True}, NEOX),
    "falcon-40b": ("FalconConfig", {**SIZES, "new_decoder_architecture": True, "num_kv_heads": 2}, NEOX),
    "falcon-11b": ("FalconConfig", {**SIZES, "new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1,
                                    "tie_word_embeddings": False}, NEOX),
    "falcon-rw": ("FalconConfig", {**SIZES, "multi_query": False, "parallel_attn": False, "bias": True, "alibi": True}, NEOX),
    "gpt_neox": ("GPTNeoXConfig", {**SIZES, "intermediate_size": INNER}, NEOX),
    "gpt_neox-serial": ("GPTNeoXConfig", {**SIZES, "intermediate_size": INNER, "use_parallel_residual": False, "attention_bias": False}, NEOX),
    "gpt2": ("GPT2Config", {"vocab_size": VOCAB, "n_layer": LAYERS, "n_embd": HIDDEN, "n_head": HEADS, "n_positions": 64, "resid_pdrop": 0.0,
                            "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 1, "eos_token_id": 2}, ["c_attn", "attn.c_proj", "c_fc"]),
    "mpt": ("MptConfig", {"vocab_size": VOCAB, "n_layers": LAYERS, "d_model": HIDDEN, "n_heads": HEADS, "max_seq_len": 64, "expansion_ratio": 4},
            ["Wqkv", "out_proj", "up_proj", "down_proj"]),
    "mpt-6-heads": ("MptConfig", {"vocab_size": VOCAB, "n_layers": LAYERS, "d_model": 48, "n_heads": 6, "max_seq_len": 64, "expansion_ratio": 4},
                    ["Wqkv", "down_proj"]),
}
# Sizes that are whole blocks of 4-bit codes, by field and size.
WHOLE_BLOCKS = {("hidden_size", 32): 64, ("n_embd", 32): 64, ("d_model", 32): 64, ("d_model", 48): 192, ("intermediate_size", 48): 128}
# transformers' eager Falcon adds ALiBi twice, to the scores and with the mask; its other kernel adds it once.
KERNELS = {"falcon-rw": "sdpa"}
GOLDEN_CONTEXT = 14
# Of a configuration, beside what FAMILIES gives it.
GOLDEN_FIELDS = ["model_type", "tie_word_embeddings", "rope_parameters", "layer_types", "head_dim", "hidden_act", "hidden_activation", "activation",
                 "activation_function", "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "num_key_value_heads", "ffn_hidden_size",
                 "no_rope_layers", "no_bias", "sliding_window", "attention_bias", "use_parallel_residual", "bias", "parallel_attn", "multi_query",
                 "new_decoder_architecture", "alibi", "max_position_embeddings",
                 "original_max_position_embeddings"]
# Letters of our targets by module name.
LETTERS = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "o", "gate_proj": "gate", "up_proj": "up", "down_proj": "down", "dense": "o",
           "fc1": "up", "fc2": "down", "qkv_proj": "q+k+v", "gate_up_proj": "gate+up", "query_key_value": "q+k+v", "dense_h_to_4h": "up",
           "dense_4h_to_h": "down", "c_attn": "q+k+v", "attn.c_proj": "o", "c_fc": "up", "Wqkv": "q+k+v", "out_proj": "o"}


def random_model(name, seed, whole_blocks=False):
    """Weights large enough that every part of the model tells in its output."""
    config_class, fields, _ = FAMILIES[name]
    if whole_blocks:
        fields = {key: WHOLE_BLOCKS.get((key, value), value) if isinstance(value, int) else value for key, value in fields.items()}
        if name == "phi3-long-rope":
            fields["rope_parameters"] = long_rope(pairs=6, partial_rotary_factor=0.75)
        if name == "phi3-short-rope":
            fields["rope_parameters"] = long_rope(pairs=8)
    torch.manual_seed(seed)
    config = getattr(transformers, config_class)(**fields)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=KERNELS.get(name, "eager"))
    for key, parameter in model.named_parameters():
        norm = "norm" in key or ".ln_" in key
        with torch.no_grad():
            if parameter.dim() == 1:
                one = 0.0 if "Gemma" in config_class or key.endswith("bias") else 1.0
                parameter.copy_((one if norm else 0.0) + 0.2 * torch.randn_like(parameter))
            else:
                parameter.copy_(torch.randn_like(parameter) * 1.2 / parameter.shape[-1] ** 0.5)
            if whole_blocks:
                # As in checkpoints; and the mean of magnitudes, from which their codes are counted, is then the same in any order of summation.
                parameter.copy_(parameter.bfloat16())
    return model.float().eval()


def batches(seed):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, VOCAB, (STEPS, ROWS, CONTEXT), generator=generator)
    labels = torch.full_like(tokens, -1)
    labels[:, :, :-1] = tokens[:, :, 1:]
    labels[:, :, 5:8] = -1
    return tokens, labels


def loss_of(logits, labels):
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=-1)


def train(model, tokens, labels):
    """Logits, gradients by parameter name, losses."""
    parameters = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    decaying = [p for _, p in parameters if p.dim() > 1]
    others = [p for _, p in parameters if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decaying, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}], lr=LEARNING_RATE)
    first_logits, gradients, losses = None, {}, []
    for step in range(STEPS):
        logits = model(input_ids=tokens[step], use_cache=False).logits
        loss = loss_of(logits, labels[step])
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            first_logits = logits.detach()
            gradients = {name: p.grad.detach().clone() for name, p in parameters}
        optimizer.step()
        losses.append(loss.item())
    return first_logits, gradients, losses


def relative(ours, theirs, floor=0.0):
    return (ours.double() - theirs.double()).norm().item() / max(theirs.double().norm().item(), floor, 1e-30)


def gradient_errors(ours, theirs):
    """By name; tensors that only one side has are errors without end."""
    floor = 1e-5 * torch.stack([g.double().norm() for g in theirs.values()]).norm().item()
    return {name: relative(ours[name], theirs[name], floor) if name in ours and name in theirs and ours[name].shape == theirs[name].shape else float("inf")
            for name in set(ours) | set(theirs)}


def run_ours(arguments, model_path, adapter_path, batch_path, mix, output):
    output.mkdir(parents=True)
    finished = subprocess.run([arguments.tools / "family", model_path, adapter_path or "-", batch_path, mix, output], capture_output=True, text=True)
    if finished.returncode != 0:
        sys.exit(f"families: {model_path.name}, {mix}\n{finished.stderr}")
    return (load_file(output / "logits.safetensors")["logits"], load_file(output / "gradients.safetensors"),
            json.loads((output / "losses.json").read_text()))


def compare(ours, theirs, label, worst):
    logits, gradients, losses = ours
    their_logits, their_gradients, their_losses = theirs
    errors = gradient_errors(gradients, their_gradients)
    bad = max(errors, key=errors.get)
    found = {"worst_logit_error": relative(logits, their_logits), "worst_gradient_error": errors[bad],
             "worst_loss_error": max(abs(a - b) / abs(b) for a, b in zip(losses, their_losses, strict=True))}
    print(f"{label:32}  logits {found['worst_logit_error']:.1e}  gradients {found['worst_gradient_error']:.1e} ({bad})"
          f"  losses {found['worst_loss_error']:.1e}", file=sys.stderr, flush=True)
    for key, value in found.items():
        worst[key] = max(worst.get(key, 0.0), value)


def check_saved(model, tokens, trained, label, worst):
    """What we saved, loaded by the other side, against what the other side trained."""
    with torch.no_grad():
        error = relative(model(input_ids=tokens[0], use_cache=False).logits, trained(input_ids=tokens[0], use_cache=False).logits)
    print(f"{label:32}  saved and loaded {error:.1e}", file=sys.stderr, flush=True)
    worst["worst_saved_error"] = max(worst.get("worst_saved_error", 0.0), error)


def full(arguments, directory, name, attention, worst):
    model = random_model(name, seed=1)
    path = directory / name
    model.save_pretrained(path)
    tokens, labels = batches(seed=2)
    batch_path = directory / "batches.json"
    batch_path.write_text(json.dumps({"tokens": tokens.tolist(), "labels": labels.tolist(), "learning_rate": LEARNING_RATE,
                                      "weight_decay": WEIGHT_DECAY}))
    output = directory / "full"
    ours = run_ours(arguments, path, None, batch_path, f"method=full attention={attention} batch={ROWS}x1", output)
    logits, gradients, losses = train(model, tokens, labels)
    # Checkpoints of GPT-NeoX call the head otherwise.
    neox = name.startswith("gpt_neox")
    renamed = {("embed_out.weight" if neox and key == "lm_head.weight" else key): g for key, g in gradients.items()}
    compare(ours, (logits, renamed, losses), f"{name} full {attention}", worst)
    saved = transformers.AutoModelForCausalLM.from_pretrained(output / "model", attn_implementation=KERNELS.get(name, "eager")).float().eval()
    check_saved(saved, tokens, model, f"{name} full", worst)


def generic_quantize_blockwise(magnitudes, blocksize):
    """In place of bitsandbytes.functional.quantize_blockwise: its kernels are for types of 16 and 32 bits, others take its generic code."""
    code = bitsandbytes.functional.create_dynamic_map()
    codes, scales = torch.ops.bitsandbytes.quantize_blockwise.default(magnitudes.double(), code, blocksize)
    return codes, bitsandbytes.functional.QuantState(absmax=scales, code=code, blocksize=blocksize, dtype=torch.float32)


def there_and_back(model, double):
    """Puts what bitsandbytes makes of them in the place of the weights of linear layers, the head's aside."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            codes, state = bitsandbytes.functional.quantize_4bit(module.weight.data, blocksize=64, compress_statistics=double, quant_type="nf4")
            module.weight.data = bitsandbytes.functional.dequantize_4bit(codes, state).reshape(module.weight.shape)


def quantized_model(name, path, double):
    config = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=double,
                                             bnb_4bit_compute_dtype=torch.float32)
    model = transformers.AutoModelForCausalLM.from_pretrained(path, quantization_config=config, dtype=torch.float32, device_map="cpu",
                                                              attn_implementation=KERNELS.get(name, "eager")).eval()
    quantized = [module for module in model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    if not quantized:
        model = random_model(name, seed=1, whole_blocks=True)
        there_and_back(model, double)
    for module in quantized:
        # Its kernel for inference wants rows of whole blocks, and computes in bf16.
        module.support_avx512bf16_for_cpu = False
    return model


def check_stored(from_wide, from_stored, label, worst):
    """Training on the codes that bitsandbytes wrote into a checkpoint, against training on codes made at load."""
    same = torch.equal(from_wide[0], from_stored[0]) and from_wide[2] == from_stored[2]
    error = relative(from_stored[0], from_wide[0])
    print(f"{label:32}  from stored codes {'bit for bit the same' if same else f'logits {error:.1e}'}", file=sys.stderr, flush=True)
    worst["stored_code_run_count"] = worst.get("stored_code_run_count", 0) + 1
    worst["stored_code_bit_mismatch_count"] = worst.get("stored_code_bit_mismatch_count", 0) + (not same)
    worst["worst_stored_code_error"] = max(worst.get("worst_stored_code_error", 0.0), error)


def adapter_on(base, name, modules):
    """PEFT's adapter on a base, with a B that is not zero."""
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=modules, fan_in_fan_out=name == "gpt2", use_rslora=len(modules) % 2 == 0,
                             task_type="CAUSAL_LM")
    torch.manual_seed(3)
    model = peft.get_peft_model(base, config)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            with torch.no_grad():
                parameter.copy_(0.1 * torch.randn_like(parameter))
    return model.eval()


# By method: what makes the base of a checkpoint, and the mix's words before and after rank and targets.
ADAPTED = {"lora": (lambda name, path: random_model(name, seed=1), "lora", ""),
           "qlora": (lambda name, path: quantized_model(name, path, True), "qlora", ""),
           "qlora-single": (lambda name, path: quantized_model(name, path, False), "qlora", ":single")}


def check_merged(arguments, path, output, model, tokens, name, label, worst):
    """The model that convert --merge writes, in float32, against the base with the adapter beside it."""
    merged = output / "merged"
    finished = subprocess.run([arguments.tools.parent / "bin" / "tunesmith-trainer", "convert", "--model", path, "--merge", output / "adapter",
                               "--output", merged, "--dtype", "f32"], capture_output=True, text=True)
    if finished.returncode != 0:
        sys.exit(f"families: {label}: convert --merge\n{finished.stderr}")
    whole = transformers.AutoModelForCausalLM.from_pretrained(merged, attn_implementation=KERNELS.get(name, "eager")).float().eval()
    with torch.no_grad():
        error = relative(whole(input_ids=tokens[0], use_cache=False).logits, model(input_ids=tokens[0], use_cache=False).logits)
    print(f"{label:32}  merged {error:.1e}", file=sys.stderr, flush=True)
    worst["worst_merged_error"] = max(worst.get("worst_merged_error", 0.0), error)


def adapted(arguments, directory, name, method, attention, worst):
    modules = FAMILIES[name][2]
    make_base, word, suffix = ADAPTED[method]
    path = directory / name
    if word == "qlora":
        path = directory / "whole-blocks"
        random_model(name, seed=1, whole_blocks=True).save_pretrained(path)
    tokens, labels = batches(seed=2)
    base = make_base(name, path)
    stored = directory / f"{method}-stored"
    if any(isinstance(module, bitsandbytes.nn.Linear4bit) for module in base.modules()):
        base.save_pretrained(stored)
    model = adapter_on(base, name, modules)
    start = directory / f"{method}-start"
    model.save_pretrained(start)
    letters = "+".join(LETTERS[module] for module in modules)
    stabilized = "rs:" if model.peft_config["default"].use_rslora else ""
    mix = f"method={word}:r4:a6:{stabilized}{letters}{suffix} attention={attention} batch={ROWS}x1"
    output = directory / method
    ours = run_ours(arguments, path, start, directory / "batches.json", mix, output)
    logits, gradients, losses = train(model, tokens, labels)
    renamed = {key.removeprefix("base_model.model.").replace(".default", ""): g for key, g in gradients.items()}
    compare(ours, (logits, renamed, losses), f"{name} {method} {attention}", worst)
    if stored.exists():
        again = run_ours(arguments, stored, start, directory / "batches.json", mix, directory / f"{method}-from-stored")
        check_stored(ours, again, f"{name} {method}", worst)
    loaded = peft.PeftModel.from_pretrained(make_base(name, path), output / "adapter").eval()
    check_saved(loaded, tokens, model, f"{name} {method}", worst)
    check_merged(arguments, path, output, loaded, tokens, name, f"{name} {method}", worst)


MASK = (1 << 64) - 1


def mix_bits(x):
    """As common/random.h, whose numbers the golden file's weights are."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def random_bits(key, counter):
    return mix_bits((key + (counter + 1) * 0x9E3779B97F4A7C15) & MASK)


def noise(name, count):
    """In [-1, 1), by the name and the index."""
    digest = 0xCBF29CE484222325
    for byte in name.encode():
        digest = ((digest ^ byte) * 0x100000001B3) & MASK
    key = random_bits(mix_bits(0), digest)
    return torch.tensor([(random_bits(key, i) >> 11) * 2.0**-52 - 1.0 for i in range(count)], dtype=torch.float64)


def golden_of(name):
    """What transformers computes on weights that are a function of names and indices: see tests/trainer/family_golden_test.cc."""
    model = random_model(name, seed=1)
    for parameter_name, parameter in model.named_parameters():
        key = "embed_out.weight" if name.startswith("gpt_neox") and parameter_name == "lm_head.weight" else parameter_name
        values = noise(key, parameter.numel()).reshape(parameter.shape)
        norm = parameter.dim() == 1 and not key.endswith("bias") and not FAMILIES[name][0].startswith("Gemma")
        scale = 0.3 if parameter.dim() == 1 else 1.5 / parameter.shape[-1] ** 0.5
        with torch.no_grad():
            parameter.copy_(values * scale + (1.0 if norm else 0.0))
    tokens = torch.tensor([[(7 * i + 3) % VOCAB for i in range(GOLDEN_CONTEXT)]])
    logits = model(input_ids=tokens, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], tokens[0, 1:])
    loss.backward()
    gradients = {}
    for parameter_name, parameter in model.named_parameters():
        key = "embed_out.weight" if name.startswith("gpt_neox") and parameter_name == "lm_head.weight" else parameter_name
        gradient = parameter.grad.double().flatten()
        # The probe tells the order of the elements, which the norm does not.
        gradients[key] = [gradient.norm().item(), (gradient * noise("probe " + key, gradient.numel())).sum().item()]
    config = model.config.to_dict()
    kept = {key: config[key] for key in list(FAMILIES[name][1]) + GOLDEN_FIELDS if key in config and config[key] is not None}
    return {"name": name, "config": kept, "loss": loss.item(), "logits": [round(x, 7) for x in logits[0, -1].tolist()], "gradients": gradients}


def write_golden(path):
    rows = [golden_of(name) for name in FAMILIES]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    path.write_text(f'{{"context": {GOLDEN_CONTEXT}, "families": [\n{lines}\n]}}\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", type=pathlib.Path, help="directory of the test program family")
    parser.add_argument("--golden", type=pathlib.Path, help="write what transformers computes to this file, for tests without it, and end")
    parser.add_argument("--family", action="append", help="only this one; may be given again")
    parser.add_argument("--keep", type=pathlib.Path, help="keep the models there")
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)  # the models are tiny: threads would wait for each other
    bitsandbytes.functional.quantize_blockwise = generic_quantize_blockwise
    if arguments.golden:
        return write_golden(arguments.golden)

    worst, names = {}, arguments.family or list(FAMILIES)
    for index, name in enumerate(names):
        with tempfile.TemporaryDirectory() as temporary:
            directory = arguments.keep / name if arguments.keep else pathlib.Path(temporary)
            kernels = ["flash", "eager"] if index % 2 == 0 else ["eager", "flash"]
            full(arguments, directory, name, kernels[0], worst)
            for at, method in enumerate(ADAPTED):
                adapted(arguments, directory, name, method, kernels[(at + 1) % 2], worst)
    result = {"family_count": len(names), **worst, "steps": STEPS, "transformers": transformers.__version__, "peft": peft.__version__,
              "bitsandbytes": bitsandbytes.__version__, "torch": torch.__version__}
    print(json.dumps(result))
    failed = [f"{key} {worst[key]:.1e} > {bar:.0e}" for key, bar in BARS.items() if not worst[key] <= bar]
    failed += [f"{key} {worst[key]:.1e} > 1e-4" for key in ("worst_saved_error", "worst_merged_error") if not worst[key] <= 1e-4]
    if worst["stored_code_bit_mismatch_count"] > 0:
        failed.append(f"{worst['stored_code_bit_mismatch_count']} runs on stored codes differ")
    if failed:
        sys.exit("families: outside the bars: " + ", ".join(failed))


if __name__ == "__main__":
    main()
