#!/usr/bin/env python3
"""Trains the small tokenizers in tests/trainer/model_io/testdata and writes what Hugging Face tokenizers make of a few strings.

    make_tokenizer_golden.py OUTPUT_DIRECTORY

Each output directory NAME holds tokenizer.json; NAME.golden.json lists {"text", "ids", "ids_with_special", "decoded"}. Run again only to
change the cases; needs the package tokenizers.
"""

import json
import pathlib
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from parity_text import prose
from tokenizer_parity import pre_tokenizer_named
from vocabularies import LLAMA3, QWEN2, falcon, gemma, llama2, mixed_case, neox, prefix_space, special, split, unknown_words

TEXTS = [
    "", " ", "\n", "  two  spaces ", "The class provides methods for objects.", "don't DON'T we'll WE'LL they've 's",
    "12345 3.14 1,000,000 \u00bd \u0663\u0664 \u2168", "tab\tand\r\nlines\n\n\nend", "caf\u00e9 cafe\u0301 na\u00efve \u00c5ngstr\u00f6m",
    "\u4f60\u597d\uff0c\u4e16\u754c \u3053\u3093\u306b\u3061\u306f", "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440", "\u0645\u0631\u062d\u0628\u0627", "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 ok",
    "a\u00a0b\u3000c\u2028d\u180ee", "int main() { return 0; }  // done", "x = [i**2 for i in range(10)]\n\tprint(x)",
    "http://example.org/?q=1&r=%20#top", "<s>hello</s> world<s>", "<s><s>", "aaaaaaaaaaaaaaaa", "----====____", "'\u017f 'S",
    "\u1e9b\u0323 \ufb01 \u212b", "\uac00\u1100\u1161", "x\u0eba\u0e38 a\u0345\u0eba\u0334 \U0001f16c \u32ff", "\u2581 \u2581\u2581a",
    "the library, athe library <bos>x\n\n\n<mask> the  Import Imports 1234 don't", "Han\u6f22\u5b57\u3006 $__$ camelCaseWord12345",
]


def train(texts, pre_tokenizer, normalizer=None, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[special("<s>"), special("</s>", lstrip=True)], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def main():
    texts = prose()
    output = pathlib.Path(sys.argv[1])
    smollm = train(texts, pre_tokenizer_named("smollm"))
    qwen = train(texts, split(QWEN2), normalizers.NFC())
    qwen.add_tokens([AddedToken("class provides", normalized=True, rstrip=True)])
    qwen.post_processor = processors.ByteLevel(trim_offsets=False)
    llama = train(texts, split(LLAMA3), ignore_merges=True)
    llama.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", llama.token_to_id("<s>"))])])
    made = {make.__name__: make(texts, 600) for make in (falcon, gemma, llama2, mixed_case, neox, prefix_space, unknown_words)}
    for name, tokenizer in {"smollm": smollm, "qwen2": qwen, "llama3": llama, **made}.items():
        (output / name).mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(output / name / "tokenizer.json"), pretty=False)
        cases = []
        for text in TEXTS:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            cases.append({"text": text, "ids": ids, "ids_with_special": tokenizer.encode(text).ids,
                          "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
        (output / f"{name}.golden.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
