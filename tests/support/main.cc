// The entry of every test program: runs doctest and closes with
// "<room>: N passed, N failed, N skipped", the line that tests/tools/run_tests.sh adds up.
// A test case that calls skip() counts as skipped.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <string>

#include "tests/support/skip.h"

namespace {

struct Tally : doctest::IReporter {
  static int passed, failed, skipped;
  const char* name = "";
  explicit Tally(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData& test) override {
    trit::skip_reason().clear();
    name = test.m_name;
  }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats& stats) override {
    if (!stats.testCaseSuccess) {
      ++failed;
    } else if (!trit::skip_reason().empty()) {
      ++skipped;
      std::printf("SKIPPED %s: %s\n", name, trit::skip_reason().c_str());
    } else {
      ++passed;
    }
  }
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
int Tally::passed = 0, Tally::failed = 0, Tally::skipped = 0;
DOCTEST_REGISTER_LISTENER("tally", 1, Tally);

}  // namespace

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  const int result = context.run();
  std::string room = argv[0];
  room = room.substr(room.find_last_of('/') + 1);
  if (room.rfind("test_", 0) == 0) room = room.substr(5);
  std::printf("%s: %d passed, %d failed, %d skipped\n", room.c_str(), Tally::passed, Tally::failed,
              Tally::skipped);
  return result;
}
