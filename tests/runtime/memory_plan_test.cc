// The plan's arithmetic against a second way to count, for every prefix, and that it needs nothing
// but the head of a file. That it is what a process takes: resident_memory_test.cc.
#include "runtime/memory_plan.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace trit {

namespace {

TinyModel residual_model() {
  TinyModel model;
  model.config = tiny_config();
  model.config.vocab = 1000;  // some blocks are longer than a page
  return model;
}

ModelReader written(const TempDir& dir, const TinyModel& model) {
  REQUIRE(write_tiny_model(dir.path("m.trit"), model).ok());
  auto reader = ModelReader::open(dir.path("m.trit"));
  REQUIRE(reader.ok());
  return std::move(reader.value());
}

SessionShape shape_of(const ModelReader& reader, uint32_t context, uint32_t threads) {
  SessionOptions options;
  options.context = context;
  options.threads = threads;
  const auto shape = session_shape(reader, options);
  REQUIRE(shape.ok());
  return shape.value();
}

}  // namespace

TEST_CASE("weights of a prefix are the pages of its blocks, each counted once") {
  const TempDir dir;
  const ModelReader reader = written(dir, residual_model());
  for (const PlaneCaps& caps : {PlaneCaps{}, PlaneCaps{2, 0}, PlaneCaps{0, 3}, PlaneCaps{2, 3}}) {
    MemoryPlan plan(reader, caps);
    std::set<uint64_t> pages;
    for (size_t i = 0; i < reader.blocks().size(); ++i) {
      const BlockInfo& b = reader.blocks()[i];
      const bool layer = is_layer_role(reader.matrices()[b.matrix].role);
      const uint32_t cap = layer ? caps.planes : caps.head_planes;
      if (cap == 0 || b.plane < cap)
        for (uint64_t p = b.offset / page_bytes(); p <= (b.offset + b.bytes - 1) / page_bytes();
             ++p)
          pages.insert(p);
      if (i + 1 < reader.base_blocks()) continue;
      CHECK(plan.use(i + 1).weights == pages.size() * page_bytes());
    }
  }
}

TEST_CASE("the longest prefix fits its budget, and the next block would not") {
  const TempDir dir;
  const ModelReader reader = written(dir, residual_model());
  const size_t base = reader.base_blocks(), all = reader.blocks().size();
  MemoryPlan plan(reader, {});
  plan.add(session_use(reader, shape_of(reader, 64, 2)));
  CHECK(plan.smallest() == plan.bytes(base));
  CHECK(!plan.longest_prefix(plan.smallest() - 1, all));
  CHECK(!plan.longest_prefix(0, all));
  for (size_t blocks = base; blocks <= all; ++blocks) {
    for (const uint64_t budget : {plan.bytes(blocks), plan.bytes(blocks) + 1}) {
      const size_t fits = plan.longest_prefix(budget, all).value();
      CHECK(fits >= blocks);
      CHECK(plan.bytes(fits) <= budget);
      CHECK((fits == all || plan.bytes(fits + 1) > budget));
      CHECK(plan.longest_prefix(budget, blocks) == blocks);
    }
    if (blocks > base) CHECK(plan.longest_prefix(plan.bytes(blocks) - 1, all).value() < blocks);
  }
  CHECK(plan.longest_prefix(UINT64_MAX, all) == all);
}

TEST_CASE("kinds add up, and sessions count in full") {
  const TempDir dir;
  TinyModel model = residual_model();
  model.tokenizer = tiny_tokenizer();
  const ModelReader reader = written(dir, model);
  const MemoryUse one = session_use(reader, shape_of(reader, 64, 3));
  // Two layers, two kv heads of 12: keys and values of 64 positions as f16.
  CHECK(one.cache == 2 * 2 * 12 * 64 * 2 * 2);
  CHECK((one.cache + one.activations) % page_bytes() == 0);
  CHECK(one.threads > 0);
  CHECK(session_use(reader, shape_of(reader, 64, 1)).threads == 0);
  CHECK(one.total() == one.cache + one.activations + one.threads);
  MemoryPlan plan(reader, {});
  const uint64_t alone = plan.smallest();
  plan.add(one);
  plan.add(one);
  CHECK(plan.smallest() == alone + 2 * one.total());
  const MemoryUse use = plan.use(reader.base_blocks());
  CHECK(use.tokenizer == model.tokenizer.size());
  CHECK(use.head + use.tokenizer == pages_of(0, reader.head_bytes()).end);
  CHECK(use.total() == plan.smallest());
  plan.remove(one);
  plan.remove(one);
  CHECK(plan.smallest() == alone);
}

TEST_CASE("a session of any context can be asked for: sizes beyond any do not wrap") {
  const TempDir dir;
  TinyModel model = residual_model();
  model.config.n_layers = 4;
  const ModelReader reader = written(dir, model);
  SessionOptions options;
  options.context = kMaxContext;
  options.threads = 512;
  options.cache_k = options.cache_v = CacheType::kF32;
  const MemoryUse use = session_use(reader, session_shape(reader, options).value());
  CHECK(use.total() > uint64_t{kMaxContext} * 2 * 4 * 2 * 12 * 4);
  options.context = kMaxContext + 1;
  CHECK(session_shape(reader, options).status().code() == Code::kUsage);
  options.context = 0;
  options.threads = 513;
  CHECK(session_shape(reader, options).status().code() == Code::kUsage);
}

TEST_CASE(
    "the head alone plans the whole file: cut at any place after it, the numbers are the same") {
  const TempDir dir;
  const ModelReader whole = written(dir, residual_model());
  const std::string bytes = read_file(dir.path("m.trit"));
  const SessionShape shape = shape_of(whole, 64, 2);
  MemoryPlan plan(whole, {});
  for (const uint64_t size : {whole.head_bytes(), whole.head_bytes() + 1, whole.base_end() - 1,
                              whole.base_end(), whole.file_bytes() - 1}) {
    write_file(dir.path("cut"), std::string_view(bytes).substr(0, size));
    const auto cut = ModelReader::open(dir.path("cut"));
    REQUIRE_MESSAGE(cut.ok(), cut.status().message());
    CHECK(cut->check_base().ok() == (size >= whole.base_end()));
    const MemoryPlan same(cut.value(), {});
    for (size_t blocks = whole.base_blocks(); blocks <= whole.blocks().size(); ++blocks)
      CHECK(same.use(blocks).weights == plan.use(blocks).weights);
    CHECK(session_use(cut.value(), shape).total() == session_use(whole, shape).total());
  }
}

TEST_CASE("caps below the base are refused by name") {
  const TempDir dir;
  const ModelReader reader = written(dir, residual_model());
  CHECK(check_caps(reader, {}).ok());
  CHECK(check_caps(reader, {2, 3}).ok());
  CHECK(check_caps(reader, {100, 100}).ok());
  for (const PlaneCaps& caps : {PlaneCaps{1, 0}, PlaneCaps{0, 2}}) {
    const Status refused = check_caps(reader, caps);
    CHECK(refused.code() == Code::kUsage);
    CHECK(refused.message().find("the base of this model") != std::string::npos);
  }
}

TEST_CASE("what two selections share is what both hold") {
  const TempDir dir;
  const ModelReader reader = written(dir, residual_model());
  const size_t base = reader.base_blocks();
  const std::vector<PlaneSelection> some = {{base, {}},          {base + 3, {}},
                                            {base + 9, {2, 0}},  {base + 9, {0, 3}},
                                            {base + 14, {2, 3}}, {reader.blocks().size(), {3, 0}}};
  for (const PlaneSelection& a : some) {
    for (const PlaneSelection& b : some) {
      const PlaneSelection both = common_planes(a, b);
      CHECK(both == common_planes(b, a));
      for (size_t i = 0; i < reader.blocks().size(); ++i)
        CHECK(both.holds(reader, i) == (a.holds(reader, i) && b.holds(reader, i)));
    }
  }
}

}  // namespace trit
