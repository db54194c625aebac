# runtime=deepspeed method=lora:r16 zero_stage=2 offload=none checkpointing=off attention=flash batch=2x4x8
# accelerate launch --config_file accelerate.yaml train.py
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

MODEL = "Llama-2-7b-hf"
CONTEXT = 2048

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
    gradient_checkpointing=False,
    bf16=True,
    fp16=False,
    optim="adamw_torch",
    learning_rate=0.00020,
    num_train_epochs=1,
    logging_steps=10,
    deepspeed="deepspeed.json",
)


def main(dataset):
    """Trains on a data set whose rows hold input_ids and labels of CONTEXT tokens."""
    model = AutoModelForCausalLM.from_pretrained(
        MODEL,
        torch_dtype=torch.bfloat16,
        attn_implementation="flash_attention_2",
    )
    model = get_peft_model(model, lora)
    Trainer(model=model, args=arguments, train_dataset=dataset).train()
