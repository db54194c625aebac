#pragma once

// The one legend of dimension letters. Every tensor in trainer/ is declared with its shape in these
// letters, row-major, and its dtype: `Tensor logits;  // (N, V) T`.
//
//   B   rows of a micro-batch            T   tokens of a row (the context)
//   BT  B * T, the flattened tokens      C   hidden size
//   F   intermediate size of the MLP     V   vocabulary size
//   H   query heads                      K   key/value heads; query head h reads key/value head h /
//   (H / K) D   head size                        I   input features of a linear layer O   output
//   features                  N   rows of logits (BT, or those of one loss chunk)
//
// Dtypes: `T` is the dtype of the call's activations: f32, f64 (on the CPU only) or bf16; bf16 is
// computed with in f32. `S` is the dtype of statistics: f64 when T is f64, else f32. `A` is the
// dtype in which gradients accumulate: T, or f32 or bf16 when T is either of these.
