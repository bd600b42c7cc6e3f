// The converter at real size (`make test-large`, minutes and about 5 GB of disk): a checkpoint of
// random weights in the shape of Llama-3.2-1B must convert in bounded memory, and to the same bytes
// on one thread and two.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "model_format/checksum.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace {

constexpr uint64_t kHidden = 2048, kFfn = 8192, kKv = 512, kVocab = 128256, kLayers = 16;

struct Tensor {
  std::string name;
  uint64_t rows, cols;  // rows 0: a vector
  uint64_t bytes() const { return (rows ? rows : 1) * cols * 2; }
};

std::vector<Tensor> tensors_of_llama_1b() {
  std::vector<Tensor> tensors = {{"model.embed_tokens.weight", kVocab, kHidden},
                                 {"model.norm.weight", 0, kHidden}};
  for (uint64_t layer = 0; layer < kLayers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const std::vector<Tensor> of_layer = {
        {"input_layernorm", 0, kHidden},        {"post_attention_layernorm", 0, kHidden},
        {"self_attn.q_proj", kHidden, kHidden}, {"self_attn.k_proj", kKv, kHidden},
        {"self_attn.v_proj", kKv, kHidden},     {"self_attn.o_proj", kHidden, kHidden},
        {"mlp.gate_proj", kFfn, kHidden},       {"mlp.up_proj", kFfn, kHidden},
        {"mlp.down_proj", kHidden, kFfn}};
    for (const Tensor& t : of_layer)
      tensors.push_back({prefix + t.name + ".weight", t.rows, t.cols});
  }
  return tensors;
}

// BF16 weights of magnitude 2^-8 .. 2^-5, either sign.
void write_random_weights(const std::string& folder) {
  const std::vector<Tensor> tensors = tensors_of_llama_1b();
  std::string header = "{";
  uint64_t at = 0;
  for (const Tensor& t : tensors) {
    header += (at ? ",\"" : "\"") + t.name + "\":{\"dtype\":\"BF16\",\"shape\":[" +
              (t.rows ? std::to_string(t.rows) + "," : "") + std::to_string(t.cols) +
              "],\"data_offsets\":[" + std::to_string(at) + "," + std::to_string(at + t.bytes()) +
              "]}";
    at += t.bytes();
  }
  header += "}";
  const uint64_t header_bytes = header.size();
  std::ofstream out(folder + "/model.safetensors", std::ios::binary);
  out.write(reinterpret_cast<const char*>(&header_bytes), 8);
  out << header;
  uint64_t state = 1;
  std::vector<uint16_t> piece(1 << 20);
  for (uint64_t left = at / 2; left > 0;) {
    for (uint16_t& weight : piece) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      const uint16_t bits = static_cast<uint16_t>(state >> 48);
      weight = static_cast<uint16_t>((bits & 0x807f) | (119 + (bits >> 7 & 3)) << 7);
    }
    const uint64_t n = left < piece.size() ? left : piece.size();
    out.write(reinterpret_cast<const char*>(piece.data()), static_cast<std::streamsize>(n * 2));
    left -= n;
  }
  trit::write_file(folder + "/config.json", R"({"architectures":["LlamaForCausalLM"],
    "hidden_size":2048,"intermediate_size":8192,"num_hidden_layers":16,"num_attention_heads":32,
    "num_key_value_heads":8,"head_dim":64,"vocab_size":128256,"rms_norm_eps":1e-5,
    "rope_theta":500000.0,"max_position_embeddings":131072,"tie_word_embeddings":true})");
}

// Read, not mapped: a child's peak begins with what its parent had resident.
uint64_t hash_of_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  trit::Hasher hasher(0);
  std::vector<char> piece(1 << 20);
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())), in.gcount() > 0)
    hasher.update(piece.data(), static_cast<size_t>(in.gcount()));
  return hasher.digest();
}

TEST_CASE(
    "a checkpoint of 1.2 billion weights converts below 1.5 GiB, the same on 1 and 2 threads") {
  trit::TempDir folder;
  write_random_weights(folder.folder());
  uint64_t hashes[2] = {};
  for (int threads = 1; threads <= 2; ++threads) {
    const std::string output = folder.path("out" + std::to_string(threads) + ".trit");
    const auto start = std::chrono::steady_clock::now();
    const trit::ProcessResult result =
        trit::tritstack({"quantize", folder.folder(), "-o", output, "-t", std::to_string(threads)});
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    CAPTURE(result.err);
    REQUIRE(result.exit_code == 0);
    std::printf("quantize -t %d: %.0f s\n%s", threads, seconds.count(), result.out.c_str());
    hashes[threads - 1] = hash_of_file(output);
    std::remove(output.c_str());
  }
  CHECK(hashes[0] == hashes[1]);
  struct rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  std::printf("peak resident memory: %.0f MiB\n", usage.ru_maxrss / 1024.0);
  CHECK(usage.ru_maxrss < 1536 * 1024);
}

}  // namespace
