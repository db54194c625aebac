// train.py: the model, PEFT's configuration and TrainingArguments, with the data set left to fill in.
#include "common/text.h"
#include "runtimes/export.h"
#include "runtimes/export_names.h"

namespace tunesmith::runtimes {
namespace {

std::string_view HalfType(const RunSetup& setup) {
  return setup.half_is_fp16 ? "torch.float16" : "torch.bfloat16";
}

// What is trained under autocast is loaded in fp32; DeepSpeed keeps masters of its own; a frozen base is loaded in 16 bits.
std::string_view LoadType(const RunSetup& setup) {
  const bool masters = IsFull(setup) && setup.arithmetic == Arithmetic::kMixed &&
                       setup.runtime != Runtime::kDeepSpeed;
  return masters ? "torch.float32" : HalfType(setup);
}

std::string QuantizationText(const RunSetup& setup) {
  if (!IsQlora(setup)) return "";
  const std::string_view dq = setup.quantization == Quantization::kNf4Double ? "True" : "False";
  const std::string storage = setup.runtime == Runtime::kFsdp
                                  ? StrCat("    bnb_4bit_quant_storage=", HalfType(setup), ",\n")
                                  : "";
  return StrCat(
      "quantization = BitsAndBytesConfig(\n    load_in_4bit=True,\n    "
      "bnb_4bit_quant_type=\"nf4\",\n"
      "    bnb_4bit_use_double_quant=",
      dq, ",\n    bnb_4bit_compute_dtype=", HalfType(setup), ",\n", storage, ")\n\n");
}

std::string LoraText(const RunSetup& setup) {
  if (IsFull(setup)) return "";
  const std::string targets = AdaptsAllLinears(setup)
                                  ? "\"all-linear\""
                                  : StrCat("[\"", StrJoin(TargetModules(setup), "\", \""), "\"]");
  return StrCat("lora = LoraConfig(\n    task_type=\"CAUSAL_LM\",\n    r=", setup.lora.rank,
                ",\n    lora_alpha=", Alpha(setup), ",\n    lora_dropout=", Dropout(setup), ",\n",
                setup.lora.rank_stabilized ? "    use_rslora=True,\n" : "",
                "    bias=\"none\",\n    target_modules=", targets, ",\n)\n\n");
}

std::string_view Bool(bool value) { return value ? "True" : "False"; }

// FSDP's hooks, and DistributedDataParallel where it looks for unused parameters, as it does for PEFT's models, need the other kind.
bool CheckpointsReentrantly(const RunSetup& setup) {
  const bool ddp = setup.runtime == Runtime::kHuggingFace && setup.gpu_count > 1;
  return setup.runtime != Runtime::kFsdp && !ddp;
}

std::string ArgumentsText(const RunSetup& setup) {
  const bool autocast = setup.arithmetic == Arithmetic::kMixed;
  const std::string deepspeed =
      setup.runtime == Runtime::kDeepSpeed ? "    deepspeed=\"deepspeed.json\",\n" : "";
  const std::string reentrant =
      setup.checkpointing ? StrCat("    gradient_checkpointing_kwargs={\"use_reentrant\": ",
                                   Bool(CheckpointsReentrantly(setup)), "},\n")
                          : "";
  return StrCat(
      "arguments = TrainingArguments(\n    output_dir=\"output\",\n    "
      "per_device_train_batch_size=",
      setup.micro_batch, ",\n    gradient_accumulation_steps=", setup.accumulation_count,
      ",\n    gradient_checkpointing=", Bool(setup.checkpointing), ",\n", reentrant,
      "    bf16=", Bool(autocast && !setup.half_is_fp16),
      ",\n    fp16=", Bool(autocast && setup.half_is_fp16), ",\n    optim=\"",
      setup.optimizer == OptimizerKind::kAdamW8Bit ? "paged_adamw_8bit" : "adamw_torch",
      "\",\n    learning_rate=", LearningRate(setup), ",\n    num_train_epochs=", Epochs(setup),
      ",\n    logging_steps=10,\n", deepspeed, ")\n\n");
}

std::string ModelText(const RunSetup& setup) {
  const std::string quantization = IsQlora(setup) ? "    quantization_config=quantization,\n" : "";
  return StrCat(
      "model = AutoModelForCausalLM.from_pretrained(\n    MODEL,\n    torch_dtype=",
      LoadType(setup), ",\n    attn_implementation=\"", AttentionImplementation(setup), "\",\n",
      quantization, ")\n",
      setup.prepared_for_kbit
          ? StrCat("model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=",
                   Bool(setup.checkpointing), ")\n")
          : "",
      !IsFull(setup) && setup.checkpointing && !setup.prepared_for_kbit
          ? "model.enable_input_require_grads()\n"
          : "",
      IsFull(setup) ? "" : "model = get_peft_model(model, lora)\n");
}

std::string Launch(const RunSetup& setup) {
  return setup.gpu_count > 1 || setup.runtime != Runtime::kHuggingFace
             ? "accelerate launch --config_file accelerate.yaml train.py"
             : "python train.py";
}

std::string Imports(const RunSetup& setup) {
  std::vector<std::string> peft;
  if (!IsFull(setup)) peft = {"LoraConfig", "get_peft_model"};
  if (setup.prepared_for_kbit) peft.emplace_back("prepare_model_for_kbit_training");
  const std::string quantization = IsQlora(setup) ? "BitsAndBytesConfig, " : "";
  return StrCat("import torch\n",
                peft.empty() ? "" : StrCat("from peft import ", StrJoin(peft, ", "), "\n"),
                "from transformers import AutoModelForCausalLM, ", quantization,
                "Trainer, TrainingArguments\n\n");
}

std::string Indented(std::string_view text) {
  std::string indented;
  for (const std::string_view line : StrSplitSkipEmpty(text, "\n"))
    indented += StrCat("    ", line, "\n");
  return indented;
}

}  // namespace

std::string TrainerScript(const RunSetup& setup) {
  return StrCat("# ", FormatSetup(setup), "\n# ", Launch(setup), "\n", Imports(setup), "MODEL = \"",
                setup.shape.name, "\"\nCONTEXT = ", setup.context, "\n\n", QuantizationText(setup),
                LoraText(setup), ArgumentsText(setup),
                "\ndef main(dataset):\n"
                "    \"\"\"Trains on a data set whose rows hold input_ids and labels of CONTEXT "
                "tokens.\"\"\"\n",
                Indented(ModelText(setup)),
                "    Trainer(model=model, args=arguments, train_dataset=dataset).train()\n");
}

}  // namespace tunesmith::runtimes
