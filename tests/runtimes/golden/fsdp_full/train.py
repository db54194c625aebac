# runtime=fsdp method=full zero_stage=3 offload=none checkpointing=on attention=flash batch=2x4x4
# accelerate launch --config_file accelerate.yaml train.py
import torch
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

MODEL = "Llama-3.1-8B"
CONTEXT = 2048

arguments = TrainingArguments(
    output_dir="output",
    per_device_train_batch_size=2,
    gradient_accumulation_steps=4,
    gradient_checkpointing=True,
    gradient_checkpointing_kwargs={"use_reentrant": False},
    bf16=True,
    fp16=False,
    optim="adamw_torch",
    learning_rate=0.00001,
    num_train_epochs=1,
    logging_steps=10,
)


def main(dataset):
    """Trains on a data set whose rows hold input_ids and labels of CONTEXT tokens."""
    model = AutoModelForCausalLM.from_pretrained(
        MODEL,
        torch_dtype=torch.float32,
        attn_implementation="flash_attention_2",
    )
    Trainer(model=model, args=arguments, train_dataset=dataset).train()
