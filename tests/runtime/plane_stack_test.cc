// What planes are in use: after every change the same bits as a fresh load of those planes, from a
// whole file, a cut one and one that grows. Threads: plane_stack_threads_test.cc; memory:
// resident_memory_test.cc.
#include "runtime/plane_stack.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "runtime/session.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace trit {

namespace {

const std::vector<int32_t> kIds = {1, 5, 42, 99, 0, 7};

TinyModel residual_model() {
  TinyModel model;
  model.config = tiny_config();
  model.config.vocab = 400;
  return model;
}

// Three planes of 14 matrices, of which two are the base, and four of the embedding.
constexpr size_t kBase = 14 * 2 + 3, kAll = 14 * 3 + 4;

std::shared_ptr<const Model> open_model(const std::string& path, const ModelOptions& options = {}) {
  auto model = Model::open(path, options);
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  return model.value();
}

std::unique_ptr<Session> open_session(std::shared_ptr<const Model> model) {
  SessionOptions options;
  options.threads = 1;
  options.context = 64;
  auto session = Session::open(std::move(model), options);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  return std::move(session.value());
}

std::vector<float> logits_of(Session* session) {
  REQUIRE(session->rewind(0).ok());
  const Status status = session->prefill(kIds, nullptr);
  REQUIRE_MESSAGE(status.ok(), status.message());
  return {session->logits(), session->logits() + session->model().config().vocab};
}

std::vector<float> logits_of(std::shared_ptr<const Model> model) {
  return logits_of(open_session(std::move(model)).get());
}

// Of a file that holds only the first `blocks` blocks.
std::vector<float> logits_of_cut(const std::string& path, size_t blocks, const PlaneCaps& caps) {
  const auto reader = ModelReader::open(path);
  const BlockInfo& last = reader->blocks()[blocks - 1];
  const TempDir dir;
  write_file(dir.path("cut"),
             std::string_view(read_file(path)).substr(0, last.offset + last.bytes));
  ModelOptions options;
  options.planes.caps = caps;
  return logits_of(open_model(dir.path("cut"), options));
}

}  // namespace

TEST_CASE(
    "after any sequence of changes the logits are those of a file cut there, both ways to read") {
  const TempDir dir;
  const std::string path = dir.path("m.trit");
  REQUIRE(write_tiny_model(path, residual_model()).ok());
  for (const IoMode io : {IoMode::kMap, IoMode::kRead}) {
    ModelOptions options;
    options.io = io;
    const auto model = open_model(path, options);
    PlaneStack& planes = model->planes();
    const auto session = open_session(model);
    Random random(3);
    for (int change = 0; change < 60; ++change) {
      const size_t blocks = kBase + random.below(kAll - kBase + 1);
      const PlaneCaps caps = {random.below(2) ? 2u : 0u, random.below(3) ? 0u : 3u};
      REQUIRE(planes.set_caps(caps).ok());
      REQUIRE(planes.set_prefix(blocks).ok());
      REQUIRE(planes.settle().ok());
      CHECK(planes.current()->selection == PlaneSelection{blocks, caps});
      CHECK(logits_of(session.get()) == logits_of_cut(path, blocks, caps));
      CHECK(session->last_planes() == PlaneSelection{blocks, caps});
    }
  }
}

TEST_CASE("a smaller set is in use at once, and passes keep the one they began with") {
  const TempDir dir;
  REQUIRE(write_tiny_model(dir.path("m.trit"), residual_model()).ok());
  const auto model = open_model(dir.path("m.trit"));
  const auto session = open_session(model);
  PlaneStack& planes = model->planes();
  const auto pass = planes.current();  // as a long pass holds it
  const std::vector<float> all = logits_of(session.get());
  REQUIRE(planes.set_prefix(kBase).ok());
  CHECK(planes.current()->selection.blocks == kBase);
  CHECK(pass->selection.blocks == kAll);
  CHECK(logits_of(session.get()) != all);
  // The planes that the pass may still read are there: the last one of the last matrix.
  const TritView& embedding = pass->weights.embedding.planes;
  REQUIRE(embedding.planes == 4);
  volatile uint8_t digit = embedding.digits[3][0];
  CHECK(digit < kByteCodes);
  // More again before the pass ended: the dropping is not needed any more.
  REQUIRE(planes.set_prefix(kAll).ok());
  while (planes.current()->selection.blocks != kAll) usleep(100);
  CHECK(logits_of(session.get()) == all);
}

TEST_CASE("a budget gives the longest prefix that fits beside the sessions") {
  const TempDir dir;
  const std::string path = dir.path("m.trit");
  REQUIRE(write_tiny_model(path, residual_model()).ok());
  const auto model = open_model(path);
  PlaneStack& planes = model->planes();
  const auto session = open_session(model);
  const PlaneStack::Figures all = planes.figures();
  CHECK(all.budget_bytes == 0);
  CHECK(all.blocks == kAll);
  CHECK(all.resident_bytes > all.smallest_bytes);
  uint64_t last = kAll;
  for (uint64_t budget = all.resident_bytes; budget >= all.smallest_bytes; budget -= 1024) {
    REQUIRE(planes.set_budget(budget).ok());
    REQUIRE(planes.settle().ok());
    const PlaneStack::Figures now = planes.figures();
    CHECK(now.budget_bytes == budget);
    CHECK(now.resident_bytes <= budget);
    CHECK(now.blocks <= last);
    last = now.blocks;
  }
  CHECK(last < kAll);
  // Refused, and nothing changed.
  const Status refused = planes.set_budget(all.smallest_bytes - 1);
  CHECK(refused.code() == Code::kMemory);
  CHECK(refused.message().find(std::to_string(all.smallest_bytes)) != std::string::npos);
  CHECK(planes.figures().blocks == last);
  REQUIRE(planes.set_budget(all.smallest_bytes).ok());
  CHECK(planes.current()->selection.blocks == kBase);
  REQUIRE(planes.set_budget(0).ok());
  REQUIRE(planes.settle().ok());
  CHECK(planes.current()->selection.blocks == kAll);
}

TEST_CASE("a session takes planes away when it comes and leaves them when it goes") {
  const TempDir dir;
  const std::string path = dir.path("m.trit");
  REQUIRE(write_tiny_model(path, residual_model()).ok());
  const auto model = open_model(path);
  PlaneStack& planes = model->planes();
  const auto resident_with_session = [&] {
    const auto session = open_session(model);
    return planes.figures().resident_bytes;
  };
  const uint64_t enough = resident_with_session();
  for (int i = 0; i < 3; ++i) {
    REQUIRE(planes.set_budget(enough - 1).ok());
    REQUIRE(planes.settle().ok());
    CHECK(planes.figures().blocks == kAll);
    const auto session = open_session(model);
    const PlaneStack::Figures now = planes.figures();
    CHECK(now.blocks < kAll);
    CHECK(now.resident_bytes < enough);
    CHECK(logits_of(session.get()) == logits_of_cut(path, now.blocks, {}));
    REQUIRE(planes.set_budget(enough).ok());
    REQUIRE(planes.settle().ok());
    CHECK(planes.figures().blocks == kAll);
  }
}

TEST_CASE("where not even the base fits: refused with the smallest budget, which then works") {
  const TempDir dir;
  const std::string path = dir.path("m.trit");
  REQUIRE(write_tiny_model(path, residual_model()).ok());
  for (const IoMode io : {IoMode::kMap, IoMode::kRead}) {
    ModelOptions options;
    options.io = io;
    options.planes.budget_bytes = 1;
    SessionOptions session_options;
    session_options.threads = 1;
    const auto model = open_model(path, options);
    const auto refused = Session::open(model, session_options);
    REQUIRE(!refused.ok());
    CHECK(refused.status().code() == Code::kMemory);
    const std::string& message = refused.status().message();
    const std::string before = "expected at least ";
    REQUIRE(message.find(before) != std::string::npos);
    const uint64_t smallest = std::stoull(message.substr(message.find(before) + before.size()));
    REQUIRE(model->planes().set_budget(smallest - 1).ok());
    CHECK(Session::open(model, session_options).status().code() == Code::kMemory);
    REQUIRE(model->planes().set_budget(smallest).ok());
    const auto works = Session::open(model, session_options);
    REQUIRE_MESSAGE(works.ok(), works.status().message());
    CHECK(model->planes().current()->selection.blocks == kBase);
    // By force it runs below that, from mapped pages only.
    options.planes.force = true;
    const auto forced = Session::open(open_model(path, options), session_options);
    CHECK(forced.ok() == (io == IoMode::kMap));
    if (forced.ok()) CHECK(logits_of(forced.value().get()) == logits_of_cut(path, kBase, {}));
  }
}

TEST_CASE("a file that grows gains planes at the next change that is asked for") {
  const TempDir dir;
  REQUIRE(write_tiny_model(dir.path("m.trit"), residual_model()).ok());
  const std::string bytes = read_file(dir.path("m.trit"));
  const auto whole = ModelReader::open(dir.path("m.trit"));
  const std::string path = dir.path("part");
  for (const IoMode io : {IoMode::kMap, IoMode::kRead}) {
    write_file(path, std::string_view(bytes).substr(0, whole->base_end() + 1));
    ModelOptions options;
    options.io = io;
    const auto model = open_model(path, options);
    PlaneStack& planes = model->planes();
    const auto session = open_session(model);
    for (size_t i = kBase; i < kAll; ++i) {
      const BlockInfo& b = whole->blocks()[i];
      for (const uint64_t end : {b.offset + b.bytes - 1, b.offset + b.bytes}) {
        const uint64_t here = model->reader().file()->size();
        std::ofstream(path, std::ios::app | std::ios::binary)
            .write(bytes.data() + here, static_cast<std::streamsize>(end - here));
        REQUIRE(planes.set_budget(0).ok());
        REQUIRE(planes.settle().ok());
        const size_t expected = end == b.offset + b.bytes ? i + 1 : i;
        CHECK(planes.current()->selection.blocks == expected);
        CHECK(planes.figures().whole_blocks == expected);
        CHECK(logits_of(session.get()) == logits_of_cut(dir.path("m.trit"), expected, {}));
      }
    }
  }
}

TEST_CASE(
    "the demo, cut around every block, runs with exactly the whole ones or says what it needs") {
  const TempDir dir;
  const std::string path = dir.path("demo.trit");
  write_file(path, read_file("cmd/demo/stories.trit"));
  const auto whole = ModelReader::open(path);
  REQUIRE(whole.ok());
  for (size_t i = whole->blocks().size(); i-- > 0;) {
    const uint64_t end = whole->blocks()[i].offset + whole->blocks()[i].bytes;
    for (const uint64_t size : {end + 1, end, end - 1}) {
      if (size > whole->file_bytes()) continue;
      REQUIRE(truncate(path.c_str(), static_cast<off_t>(size)) == 0);
      const size_t blocks = size < end ? i : i + 1;
      const auto model = Model::open(path, {});
      CHECK(model.ok() == (size >= whole->base_end()));
      if (!model.ok()) {
        CHECK(model.status().code() == Code::kMalformed);
        CHECK(model.status().message().find(std::to_string(whole->base_end())) !=
              std::string::npos);
        continue;
      }
      const auto session = open_session(model.value());
      REQUIRE(session->prefill(kIds, nullptr).ok());
      CHECK(session->last_planes().blocks == blocks);
    }
  }
}

// A new file whose fourth plane of the embedding has many pages, with its base in use.
struct LargeAtBase {
  LargeAtBase(const std::string& path, IoMode io) {
    TinyModel large = residual_model();
    large.config.vocab = 20000;
    REQUIRE(write_tiny_model(path, large).ok());
    ModelOptions options;
    options.io = io;
    model = open_model(path, options);
    session = open_session(model);
    REQUIRE(planes().set_prefix(kBase).ok());
    REQUIRE(planes().settle().ok());
    logits = logits_of(session.get());
  }
  PlaneStack& planes() const { return model->planes(); }
  void check_unchanged() const {
    CHECK(planes().current()->selection.blocks == kBase);
    CHECK(logits_of(session.get()) == logits);
  }

  std::shared_ptr<const Model> model;
  std::unique_ptr<Session> session;
  std::vector<float> logits;
};

TEST_CASE("planes that a file has no more are not asked for, and those in use stay") {
  const TempDir dir;
  const std::string path = dir.path("m.trit");
  for (const IoMode io : {IoMode::kMap, IoMode::kRead}) {
    const LargeAtBase large(path, io);
    REQUIRE(truncate(path.c_str(), static_cast<off_t>(large.model->reader().base_end())) == 0);
    // Asked for what is not there any more: as good as it gets.
    REQUIRE(large.planes().set_prefix(kAll).ok());
    CHECK(large.planes().settle().ok());
    large.check_unchanged();
  }
}

TEST_CASE("a file cut while planes come in keeps those in use and says why") {
  const TempDir dir;
  const std::string path = dir.path("m.trit");
  bool seen = false;  // the thread that reads may be quicker than the cut
  for (int i = 0; i < 100 && !seen; ++i) {
    // A mapping would be a signal: file_guard_test.cc.
    const LargeAtBase large(path, IoMode::kRead);
    REQUIRE(large.planes().set_prefix(kAll).ok());
    REQUIRE(truncate(path.c_str(), static_cast<off_t>(large.model->reader().base_end())) == 0);
    const Status status = large.planes().settle();
    if (status.ok()) continue;
    seen = true;
    CHECK(status.code() == Code::kIo);
    CHECK(status.message().find(path) == 0);
    large.check_unchanged();
  }
  CHECK(seen);
}

#ifdef __linux__
// Reads of the open file `path` fail while this lives.
struct Unreadable {
  explicit Unreadable(const std::string& path) {
    for (int fd = 3; fd < 256 && fd_ < 0; ++fd) {
      char name[4096];
      const std::string link = "/proc/self/fd/" + std::to_string(fd);
      const ssize_t n = readlink(link.c_str(), name, sizeof name);
      if (n > 0 && std::string_view(name, static_cast<size_t>(n)) == path) fd_ = fd;
    }
    REQUIRE(fd_ >= 0);
    saved_ = dup(fd_);
    const int write_only = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    REQUIRE(dup2(write_only, fd_) == fd_);
    close(write_only);
  }
  ~Unreadable() {
    dup2(saved_, fd_);
    close(saved_);
  }
  int fd_ = -1, saved_ = -1;
};

TEST_CASE("what could not be read is read again when it is asked for again, not taken as read") {
  const TempDir dir;
  const std::string path = dir.path("m.trit");
  const LargeAtBase large(path, IoMode::kRead);
  REQUIRE(large.planes().set_prefix(kAll - 1).ok());
  REQUIRE(large.planes().settle().ok());
  auto pass = large.planes().current();  // as a long pass holds it: nothing leaves
  REQUIRE(large.planes().set_prefix(kBase).ok());
  {
    const Unreadable unreadable(path);
    REQUIRE(large.planes().set_prefix(kAll).ok());
    usleep(100000);  // the read fails by then; settle() would wait for the pass
  }
  REQUIRE(large.planes().set_prefix(kAll).ok());
  pass.reset();
  static_cast<void>(large.planes().settle());  // tells the error once
  REQUIRE(large.planes().set_prefix(kAll).ok());
  REQUIRE(large.planes().settle().ok());
  CHECK(logits_of(large.session.get()) == logits_of_cut(path, kAll, {}));
}
#endif

TEST_CASE("prefixes that no file has are refused") {
  const TempDir dir;
  REQUIRE(write_tiny_model(dir.path("m.trit"), residual_model()).ok());
  const auto model = open_model(dir.path("m.trit"));
  for (const size_t blocks : {size_t{0}, kBase - 1, kAll + 1, SIZE_MAX}) {
    CHECK(model->planes().set_prefix(blocks).code() == Code::kUsage);
    CHECK(model->planes().current()->selection.blocks == kAll);
  }
  CHECK(model->planes().set_caps({1, 0}).code() == Code::kUsage);
}

}  // namespace trit
