// A tiny .trit file with a tokenizer: one token per byte (ids 0..255), "<s>" (256, put first),
// "<end>" (257, ends an answer), and a vocabulary that goes on to 270 without pieces.
#ifndef TRITSTACK_TESTS_RUNTIME_BYTE_MODEL_H_
#define TRITSTACK_TESTS_RUNTIME_BYTE_MODEL_H_

#include <string>

#include "tests/support/tiny_model.h"

namespace trit {

constexpr int32_t kByteBos = 256, kByteEnd = 257;
constexpr uint32_t kBytePieces = 258, kByteVocab = 270;

TinyModel byte_model();
// Writes it; fails the test when it cannot.
void write_byte_model(const std::string& path);

}  // namespace trit

#endif  // TRITSTACK_TESTS_RUNTIME_BYTE_MODEL_H_
