// A model whose file is cut while it is in use: the pass that runs and all later ones end with one
// error that names the file, text can still be read and written, and nothing ends by a signal.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "model_format/convert/converter.h"
#include "model_format/file_guard.h"
#include "model_format/verify.h"
#include "runtime/generate.h"
#include "runtime/model.h"
#include "runtime/session.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_checkpoint.h"

namespace trit {
namespace {

// A copy of the demo model, and a session that has read a few tokens.
class Demo {
 public:
  explicit Demo(IoMode io) {
    write_file(path, read_file("cmd/demo/stories.trit"));
    REQUIRE(guard_file_access().ok());
    ModelOptions options;
    options.io = io;
    auto opened = Model::open(path, options);
    REQUIRE(opened.ok());
    model = std::move(opened.value());
    SessionOptions session_options;
    session_options.context = 64;
    session_options.threads = 2;
    auto session_opened = Session::open(model, session_options);
    REQUIRE(session_opened.ok());
    session = std::move(session_opened.value());
    model->tokenizer()->encode("Once upon a time", true, false, &ids);
    REQUIRE(prefill().ok());
  }
  Status prefill() { return session->prefill(Span<const int32_t>(ids), nullptr); }
  uint64_t bytes() const { return model->reader().file_bytes(); }
  void cut(uint64_t size) const { REQUIRE(truncate(path.c_str(), static_cast<off_t>(size)) == 0); }
  void check_failed(const Status& status) const {
    CHECK(status.code() == Code::kIo);
    CHECK(status.message() == path + ": cut short or unreadable while it was in use");
  }

  TempDir folder;
  const std::string path = folder.path("demo.trit");
  std::shared_ptr<const Model> model;
  std::unique_ptr<Session> session;
  std::vector<int32_t> ids;
};

TEST_CASE("a file cut anywhere ends this pass and all later ones with an error that names it") {
  const Demo whole(IoMode::kMap);
  const uint64_t page = page_bytes(), end = whole.bytes(), last_page = (end - 1) / page * page;
  std::vector<uint64_t> sizes = {end - 1,
                                 last_page + 1,
                                 last_page,
                                 last_page - 1,
                                 end / 2,
                                 whole.model->reader().base_end() - 1,
                                 whole.model->reader().head_bytes(),
                                 page,
                                 1,
                                 0};
  for (const uint64_t size : sizes) {
    CAPTURE(size);
    Demo demo(IoMode::kMap);
    demo.cut(size);
    demo.check_failed(demo.prefill());
    CHECK(demo.session->logits() == nullptr);
    demo.check_failed(demo.prefill());
    // Also when the bytes come back, and in a new session.
    write_file(demo.path, read_file("cmd/demo/stories.trit"));
    demo.check_failed(demo.prefill());
    SessionOptions options;
    options.context = 64;
    auto another = Session::open(demo.model, options);
    if (another.ok())
      demo.check_failed(another.value()->prefill(Span<const int32_t>(demo.ids), nullptr));
  }
}

TEST_CASE("text is read and written as before when the file is gone") {
  Demo demo(IoMode::kMap);
  demo.cut(0);
  std::vector<int32_t> ids;
  demo.model->tokenizer()->encode("Once upon a time", true, false, &ids);
  CHECK(ids == demo.ids);
  CHECK(demo.model->tokenizer()->decode(Span<const int32_t>(ids), false) == "Once upon a time");
}

TEST_CASE("an answer that runs ends with the error when the file is cut below it") {
  Demo demo(IoMode::kMap);
  struct Cutter {
    Demo* demo;
    int pieces;
  } cutter = {&demo, 0};
  GenerateOptions options;
  options.max_tokens = 40;
  options.ignore_end = true;
  options.user = &cutter;
  options.on_text = [](const char*, size_t, int32_t, void* user) {
    auto* c = static_cast<Cutter*>(user);
    if (++c->pieces == 5) c->demo->cut(c->demo->bytes() / 3);
    return 0;
  };
  const auto result = generate(demo.session.get(), options);
  REQUIRE(!result.ok());
  demo.check_failed(result.status());
  CHECK(cutter.pieces == 5);
}

TEST_CASE("an answer that stops at the token whose pass failed is an error all the same") {
  Demo demo(IoMode::kMap);
  GenerateOptions options;
  options.ignore_end = true;
  options.user = &demo;
  options.on_text = [](const char*, size_t, int32_t, void* user) {
    auto* d = static_cast<Demo*>(user);
    d->cut(d->bytes() / 3);
    return 1;
  };
  const auto result = generate(demo.session.get(), options);
  REQUIRE(!result.ok());
  demo.check_failed(result.status());
}

TEST_CASE("planes that are not in use may go, and what was read stays") {
  Demo base(IoMode::kMap);
  const ModelReader& reader = base.model->reader();
  REQUIRE(base.model->planes().set_prefix(reader.base_blocks()).ok());
  REQUIRE(base.model->planes().settle().ok());
  base.cut(reader.base_end());
  CHECK(base.prefill().ok());
  base.cut(reader.base_end() - 1);
  base.check_failed(base.prefill());
  Demo read(IoMode::kRead);
  read.cut(0);
  CHECK(read.prefill().ok());
}

TEST_CASE("a file cut while it is checked is an input error, not damage") {
  const TempDir folder;
  const std::string path = folder.path("demo.trit"), bytes = read_file("cmd/demo/stories.trit");
  for (const uint64_t size : {bytes.size() - 1, bytes.size() / 2, size_t{0}}) {
    CAPTURE(size);
    write_file(path, bytes);
    const auto cut = [&](uint64_t, uint64_t) { static_cast<void>(truncate(path.c_str(), size)); };
    const auto report = verify_file(path, cut);
    CHECK(report.status().code() == Code::kIo);
    CHECK(report.status().message().find(path + ": size at end of file: expected") == 0);
  }
}

TEST_CASE("weights cut while they are converted leave no file behind") {
  const TempDir folder;
  REQUIRE(guard_file_access().ok());
  QuantizeOptions options;
  options.source = folder.path("hf");
  options.output = folder.path("out.trit");
  options.group = 20;
  const std::string weights = folder.path("hf/model.safetensors");
  for (const off_t kept : {off_t{1000}, off_t{0}}) {
    tiny_checkpoint("LlamaForCausalLM", 1).write(options.source);
    const auto cut = [&](const std::string&, uint64_t done, uint64_t) {
      if (done > 0) static_cast<void>(truncate(weights.c_str(), kept));
    };
    const auto report = quantize(options, cut, std::atomic<bool>(false));
    CHECK(report.status().code() == Code::kIo);
    CHECK(report.status().message().find("model.safetensors: cut short") != std::string::npos);
    CHECK(read_file(options.output).empty());
  }
}

}  // namespace
}  // namespace trit
