# runtime=hf method=lora:r16 zero_stage=0 offload=none checkpointing=on attention=efficient batch=2x4x1
# python train.py
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
    target_modules=["q_proj", "v_proj"],
)

arguments = TrainingArguments(
    output_dir="output",
    per_device_train_batch_size=2,
    gradient_accumulation_steps=4,
    gradient_checkpointing=True,
    gradient_checkpointing_kwargs={"use_reentrant": True},
    bf16=False,
    fp16=True,
    optim="adamw_torch",
    learning_rate=0.00020,
    num_train_epochs=1,
    logging_steps=10,
)


def main(dataset):
    """Trains on a data set whose rows hold input_ids and labels of CONTEXT tokens."""
    model = AutoModelForCausalLM.from_pretrained(
        MODEL,
        torch_dtype=torch.float16,
        attn_implementation="sdpa",
    )
    model.enable_input_require_grads()
    model = get_peft_model(model, lora)
    Trainer(model=model, args=arguments, train_dataset=dataset).train()
