// What ModelWriter promises: the output appears whole or not at all, the same calls give the same
// bytes, and nothing is overwritten that should not be.
#include "model_format/writer.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "model_format/file_layout.h"
#include "model_format/output_file.h"
#include "model_format/reader.h"
#include "model_format/verify.h"
#include "tests/model_format/second_reader.h"
#include "tests/support/blocks.h"
#include "tests/support/temp_dir.h"

namespace trit {
namespace {

size_t entries(const TempDir& folder) {
  const std::filesystem::directory_iterator begin(folder.folder()), end;
  return static_cast<size_t>(std::distance(begin, end));
}

// A description whose blocks the test writes itself: one layer, `ffn` wide.
FileDescription description(uint32_t ffn, Encoding encoding = Encoding::kTied) {
  const TinyModel model = mini_model();
  FileDescription d;
  d.config = model.config;
  d.config.ffn = ffn;
  d.config.rope_frequencies = {1, 0.5};
  for (const MatrixRole role :
       {MatrixRole::kEmbedding, MatrixRole::kQ, MatrixRole::kK, MatrixRole::kV, MatrixRole::kO,
        MatrixRole::kGate, MatrixRole::kUp, MatrixRole::kDown}) {
    const Shape shape = matrix_shape(d.config, role);
    MatrixInfo m;
    m.role = role;
    m.rows = shape.rows;
    m.cols = shape.cols;
    m.encoding = encoding;
    m.group = is_dense(encoding) ? 0 : kDefaultGroup;
    m.planes = is_dense(encoding) ? 1 : 3;
    m.base_planes = is_dense(encoding) ? 1 : 2;
    d.matrices.push_back(m);
  }
  for (const VectorRole role :
       {VectorRole::kFfnNorm, VectorRole::kFinalNorm, VectorRole::kAttentionNorm})
    d.vectors.push_back({role, 0, std::vector<float>(d.config.hidden, 1)});
  return d;
}

std::vector<ModelWriter::Residual> third_planes(const std::vector<MatrixInfo>& matrices) {
  std::vector<ModelWriter::Residual> order;
  for (uint32_t i = 0; i < matrices.size(); ++i)
    order.push_back({static_cast<uint32_t>(matrices.size()) - 1 - i, 2, 1});
  return order;
}

std::vector<uint8_t> zero_block(const MatrixInfo& m, uint32_t plane) {
  std::vector<uint8_t> block(block_bytes(m, plane), kPaddingByte);
  std::fill_n(block.begin(), block_scale_bytes(m, plane), uint8_t{0});
  return block;
}

std::unique_ptr<ModelWriter> create(const std::string& path, FileDescription d, bool force) {
  auto writer = ModelWriter::create(path, std::move(d), force);
  REQUIRE_MESSAGE(writer.ok(), writer.status().message());
  return std::move(writer.value());
}

// Every block of zeros, as one piece each.
void write_zeros(ModelWriter* writer, const std::vector<MatrixInfo>& matrices) {
  for (uint32_t i = 0; i < matrices.size(); ++i) {
    for (uint32_t p = 0; p < matrices[i].planes; ++p) {
      const Status status = writer->write(i, p, 0, zero_block(matrices[i], p));
      REQUIRE_MESSAGE(status.ok(), status.message());
    }
  }
}

Status write_whole(const std::string& path, bool force, uint32_t ffn = 24) {
  FileDescription d = description(ffn);
  const std::vector<MatrixInfo> matrices = d.matrices;
  auto writer = ModelWriter::create(path, std::move(d), force);
  if (!writer.ok()) return writer.status();
  write_zeros(writer.value().get(), matrices);
  return writer.value()->finish(third_planes(matrices));
}

}  // namespace

TEST_CASE("all encodings and features come back as they were written, and verify") {
  for (const Encoding encoding : {Encoding::kTied, Encoding::kFree, Encoding::kNative,
                                  Encoding::kDenseF32, Encoding::kDenseBf16}) {
    for (const bool all : {false, true}) {
      TinyModel model;
      model.config = tiny_config();
      model.config.tied_head = !all;
      model.config.qkv_bias = model.config.o_bias = model.config.ffn_bias = all;
      model.config.qk_norm = model.config.sub_norm = all;
      model.config.activation = all ? Activation::kRelu2 : Activation::kSilu;
      model.config.end_tokens = {1, 5, 99};
      model.encoding = encoding;
      model.tokenizer = tiny_tokenizer();
      const TempDir folder;
      REQUIRE(write_tiny_model(folder.path("m.trit"), model).ok());
      const auto report = verify_file(folder.path("m.trit"), {});
      CHECK_MESSAGE(report.ok(), report.status().message());
      for (const IoMode io : {IoMode::kMap, IoMode::kRead}) {
        const auto read = ModelReader::open(folder.path("m.trit"), io);
        REQUIRE_MESSAGE(read.ok(), read.status().message());
        CHECK(read->config().name == "tiny");
        CHECK(read->config().architecture == "TinyForCausalLM");
        CHECK(read->config().activation == model.config.activation);
        CHECK(read->config().end_tokens == model.config.end_tokens);
        CHECK(read->config().rope_frequencies.size() == 6);
        CHECK(read->matrices().size() == (all ? 16 : 15));
        CHECK(read->matrices()[read->matrix_index(MatrixRole::kUp, 1)].encoding == encoding);
        CHECK(read->tokenizer().size() == model.tokenizer.size());
        CHECK(read->quantizer_options() == "tiny seed 1");
        CHECK(read->whole_blocks() == read->blocks().size());
        for (uint32_t role = 0; role < kVectorRoles; ++role) {
          const VectorRole r = static_cast<VectorRole>(role);
          const size_t expected =
              has_vector(read->config(), r) ? vector_size(read->config(), r) : 0;
          CHECK(read->vector(r, 0).size() == expected);
        }
        const Blocks blocks(read.value());
        for (size_t i = 0; i < read->blocks().size(); ++i)
          CHECK(reinterpret_cast<uintptr_t>(blocks.data(i)) % 64 == 0);
      }
    }
  }
}

TEST_CASE("generation defaults come back, what is not given as -1") {
  const TempDir folder;
  FileDescription d = description(24, Encoding::kDenseF32);
  d.generation.do_sample = false;
  d.generation.top_p = 0.9f;
  d.generation.temperature = -7;
  d.generation.top_k = 20;
  d.chat_template = "{{ messages }}";
  CHECK(create(folder.path("m.trit"), d, false)->finish({}).ok());
  const auto read = ModelReader::open(folder.path("m.trit"));
  REQUIRE_MESSAGE(read.ok(), read.status().message());
  CHECK_FALSE(read->generation().do_sample);
  CHECK(read->generation().top_p == 0.9f);
  CHECK(read->generation().temperature == -1);
  CHECK(read->generation().min_p == -1);
  CHECK(read->generation().top_k == 20);
  CHECK(read->chat_template() == "{{ messages }}");
}

TEST_CASE("the same calls give the same bytes, whatever the order, pieces and threads of writes") {
  const TempDir folder;
  REQUIRE(write_whole(folder.path("whole.trit"), false, 700).ok());
  const FileDescription d = description(700);
  const auto writer = create(folder.path("pieces.trit"), d, false);
  const auto write_pieces = [&](size_t first) {
    for (size_t i = first; i < d.matrices.size(); i += 2) {
      for (uint32_t p = d.matrices[i].planes; p-- > 0;) {
        const std::vector<uint8_t> block = zero_block(d.matrices[i], p);
        for (size_t end = block.size(); end > 0;) {
          const size_t begin = end > 1000 ? end - 1000 : 0;
          const Span<const uint8_t> piece(block.data() + begin, end - begin);
          if (!writer->write(static_cast<uint32_t>(i), p, begin, piece).ok()) return;
          end = begin;
        }
      }
    }
  };
  std::thread other(write_pieces, 1);
  write_pieces(0);
  other.join();
  REQUIRE(writer->finish(third_planes(d.matrices)).ok());
  const std::string bytes = read_file(folder.path("whole.trit"));
  CHECK(bytes == read_file(folder.path("pieces.trit")));
  CHECK(bytes.size() == writer->file_bytes());
}

TEST_CASE("the planes of one large matrix are skewed against each other modulo 4096") {
  const TempDir folder;
  REQUIRE(write_whole(folder.path("m.trit"), false, 20000).ok());
  const auto model = ModelReader::open(folder.path("m.trit"));
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  size_t large = 0;
  for (const BlockInfo& b : model->blocks()) {
    const MatrixInfo& m = model->matrices()[b.matrix];
    const uint64_t scales = block_scale_bytes(m, b.plane);
    if (b.bytes - scales < kSkewMinDigitBytes) continue;
    ++large;
    CHECK((b.offset + scales) % kSkewModulus == b.plane * kSkewStep);
  }
  CHECK(large == 9);
  CHECK(verify_file(folder.path("m.trit"), {}).ok());
}

TEST_CASE("verify reports progress up to the size of the file") {
  const TempDir folder;
  REQUIRE(write_whole(folder.path("m.trit"), false).ok());
  uint64_t last = 0, total = 0;
  bool rising = true;
  const auto report = verify_file(folder.path("m.trit"), [&](uint64_t done, uint64_t all) {
    rising = rising && done >= last;
    last = done;
    total = all;
  });
  REQUIRE(report.ok());
  CHECK(rising);
  CHECK(last == total);
  CHECK(report->bytes == total);
  CHECK(report->blocks == 24);
}

TEST_CASE("errors set on the way are in the file") {
  const TempDir folder;
  const FileDescription d = description(24);
  const auto writer = create(folder.path("m.trit"), d, false);
  write_zeros(writer.get(), d.matrices);
  const float errors[] = {0.5f, 0.25f, 0.125f};
  REQUIRE(writer->finish_matrix(3, errors).ok());
  REQUIRE(writer->finish(third_planes(d.matrices)).ok());
  const auto read = ModelReader::open(folder.path("m.trit"));
  REQUIRE(read.ok());
  CHECK(read->matrices()[3].errors[2] == 0.125f);
  CHECK(read->matrices()[3].errors[3] == 0);
}

TEST_CASE("nothing exists before finish, and nothing after a writer that did not finish") {
  const TempDir folder;
  const std::string path = folder.path("m.trit");
  {
    const FileDescription d = description(24);
    const auto writer = create(path, d, false);
    write_zeros(writer.get(), d.matrices);
    CHECK(access(path.c_str(), F_OK) != 0);
  }
  CHECK(entries(folder) == 0);
}

TEST_CASE("without force an existing file stays, early and at the last moment") {
  const TempDir folder;
  const std::string path = folder.path("m.trit");
  const FileDescription d = description(24);
  const auto writer = create(path, d, false);
  write_zeros(writer.get(), d.matrices);
  write_file(path, "precious");
  const Status late = writer->finish(third_planes(d.matrices));
  CHECK(late.code() == Code::kUsage);
  CHECK(late.message().find("--force") != std::string::npos);
  const auto early = ModelWriter::create(path, d, false);
  REQUIRE_FALSE(early.ok());
  CHECK(early.status().code() == Code::kUsage);
  CHECK(early.status().message().find("--force") != std::string::npos);
  CHECK(read_file(path) == "precious");
}

TEST_CASE("with force a file is replaced in one step, and a link instead of what it points to") {
  const TempDir folder;
  const std::string path = folder.path("m.trit"), other = folder.path("other");
  write_file(path, "old");
  const int old = open(path.c_str(), O_RDONLY);
  REQUIRE(write_whole(path, true).ok());
  char text[4] = {};
  CHECK(read(old, text, 4) == 3);  // who had it open keeps the old one
  CHECK(std::string(text) == "old");
  close(old);
  CHECK(verify_file(path, {}).ok());
  write_file(other, "pointed to");
  unlink(path.c_str());
  REQUIRE(symlink(other.c_str(), path.c_str()) == 0);
  CHECK(write_whole(path, false).code() == Code::kUsage);
  REQUIRE(write_whole(path, true).ok());
  CHECK(read_file(other) == "pointed to");
  CHECK(verify_file(path, {}).ok());
  CHECK(entries(folder) == 2);
}

TEST_CASE("with force a name may be as long as the system allows") {
  const TempDir folder;
  const std::string path = folder.path(std::string(255, 'n'));
  REQUIRE(write_whole(path, true).ok());
  REQUIRE(write_whole(path, true).ok());
  CHECK(entries(folder) == 1);
}

TEST_CASE("folders, devices and paths that cannot be are refused") {
  const TempDir folder;
  CHECK(write_whole(folder.folder(), true).code() == Code::kUsage);
  CHECK(write_whole(folder.folder() + "/", true).code() == Code::kUsage);
  CHECK(write_whole("", true).code() == Code::kUsage);
  CHECK(write_whole("/dev/null", true).code() == Code::kUsage);
  CHECK(write_whole(folder.path("none/m.trit"), true).code() == Code::kIo);
  CHECK(entries(folder) == 0);
}

TEST_CASE("a description the reader would refuse is refused before anything is written") {
  const TempDir folder;
  const auto refused = [&](FileDescription d, const std::string& named) {
    const auto writer = ModelWriter::create(folder.path("m.trit"), std::move(d), false);
    REQUIRE_FALSE(writer.ok());
    CHECK(writer.status().code() == Code::kMalformed);
    CHECK(writer.status().message().find(named) != std::string::npos);
  };
  FileDescription d = description(24);
  d.config.n_kv_heads = 3;
  refused(d, "config.n_kv_heads");
  d = description(24);
  std::swap(d.matrices[2], d.matrices[3]);
  refused(d, "layers.0.k.role");
  d = description(24);
  d.matrices.pop_back();
  refused(d, "matrices.bytes");
  d = description(24);
  d.matrices[1].planes = 5;
  refused(d, "layers.0.q.planes");
  d = description(24);
  d.vectors.pop_back();
  refused(d, "vectors");
  CHECK(entries(folder) == 0);
}

TEST_CASE("an order of residual blocks that is not one is refused") {
  const TempDir folder;
  const FileDescription d = description(24);
  const auto order = third_planes(d.matrices);
  const auto refused = [&](const std::vector<ModelWriter::Residual>& wrong) {
    CHECK(create(folder.path("m.trit"), d, false)->finish(wrong).code() == Code::kInternal);
  };
  refused({});
  refused({order.begin(), order.end() - 1});
  auto twice = order;
  twice[1] = twice[0];
  refused(twice);
  auto unknown = order;
  unknown[0].matrix = 99;
  refused(unknown);
  CHECK(entries(folder) == 0);
}

TEST_CASE("a full disk is one line of kIo and leaves nothing") {
  const TempDir folder;
  rlimit before;
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t limit : {1000, 6000, 40000}) {
    const rlimit small = {limit, before.rlim_max};
    const FileDescription d = description(600);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    Status status;
    if (auto writer = ModelWriter::create(folder.path("m.trit"), d, false); !writer.ok()) {
      status = writer.status();
    } else {
      status = writer.value()->finish(third_planes(d.matrices));
    }
    REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(status.code() == Code::kIo);
    CHECK(status.message().find('\n') == std::string::npos);
    CHECK(entries(folder) == 0);
  }
  signal(SIGXFSZ, SIG_DFL);
}

TEST_CASE("a writer that is killed leaves no output, and no file at all where the system can") {
  const TempDir folder;
  const std::string path = folder.path("m.trit");
  const int unnamed = open(folder.folder().c_str(), O_TMPFILE | O_RDWR, 0600);
  const bool leaves_nothing = unnamed >= 0;
  if (leaves_nothing) close(unnamed);
  const FileDescription d = description(24);
  const pid_t child = fork();
  if (child == 0) {
    const auto writer = ModelWriter::create(path, d, false);
    if (writer.ok() && writer.value()->write(0, 0, 0, zero_block(d.matrices[0], 0)).ok())
      kill(getpid(), SIGKILL);
    _exit(1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(access(path.c_str(), F_OK) != 0);
  CHECK(entries(folder) <= (leaves_nothing ? 0 : 1));
}

TEST_CASE("where files need names, a temporary one is used and goes") {
  const TempDir folder;
  const std::string path = folder.path("out");
  {
    const auto output = OutputFile::create(path, false, false);
    REQUIRE(output.ok());
    CHECK(entries(folder) == 1);
    CHECK(access(path.c_str(), F_OK) != 0);
  }
  CHECK(entries(folder) == 0);
  for (const bool force : {false, true}) {
    auto output = OutputFile::create(path, force, false);
    REQUIRE(output.ok());
    REQUIRE(output->file().write(0, force ? "new" : "old", 3).ok());
    REQUIRE(output->publish().ok());
    CHECK(read_file(path) == (force ? "new" : "old"));
    CHECK(entries(folder) == 1);
  }
  // A temporary of a killed process with our number stays, and is in nobody's way.
  const std::string left = folder.path(".out." + std::to_string(getpid()) + ".0.tmp");
  write_file(left, "left");
  for (const bool unnamed : {false, true}) {
    auto output = OutputFile::create(path, true, unnamed);
    REQUIRE(output.ok());
    CHECK(output->publish().ok());
  }
  CHECK(read_file(left) == "left");
  CHECK(entries(folder) == 2);
  auto late = OutputFile::create(folder.path("late"), false, false);
  REQUIRE(late.ok());
  write_file(folder.path("late"), "precious");
  CHECK(late->publish().code() == Code::kUsage);
  CHECK(read_file(folder.path("late")) == "precious");
}

}  // namespace trit
