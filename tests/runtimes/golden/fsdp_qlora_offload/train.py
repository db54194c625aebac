# runtime=fsdp method=lora:r16:nf4-double zero_stage=3 offload=optimizer+parameters checkpointing=on attention=flash batch=2x4x2
# accelerate launch --config_file accelerate.yaml train.py
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Trainer, TrainingArguments

MODEL = "Llama-2-70b-hf"
CONTEXT = 2048

quantization = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.bfloat16,
    bnb_4bit_quant_storage=torch.bfloat16,
)

lora = LoraConfig(
    task_type="CAUSAL_LM",
    r=16,
    lora_alpha=32,
    lora_dropout=0,
    bias="none",
    target_modules="all-linear",
)

arguments = TrainingArguments(
    output_dir="output",
    per_device_train_batch_size=2,
    gradient_accumulation_steps=4,
    gradient_checkpointing=True,
    gradient_checkpointing_kwargs={"use_reentrant": False},
    bf16=True,
    fp16=False,
    optim="adamw_torch",
    learning_rate=0.00020,
    num_train_epochs=1,
    logging_steps=10,
)


def main(dataset):
    """Trains on a data set whose rows hold input_ids and labels of CONTEXT tokens."""
    model = AutoModelForCausalLM.from_pretrained(
        MODEL,
        torch_dtype=torch.bfloat16,
        attn_implementation="flash_attention_2",
        quantization_config=quantization,
    )
    model.enable_input_require_grads()
    model = get_peft_model(model, lora)
    Trainer(model=model, args=arguments, train_dataset=dataset).train()
