// tritstack verify: every checksum and every structural rule of a .trit file.
#include <cinttypes>

#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/output.h"
#include "cmd/common/progress.h"
#include "model_format/verify.h"

namespace trit {

int verify_command(int argc, char** argv) {
  std::optional<std::string> path;
  bool json = false;
  const CommandLine command = {"verify",
                               "check every byte of a .trit file",
                               "  tritstack verify qwen.trit\n",
                               {{"M", "", "the .trit file", TextTarget{&path, {}}, kRequired},
                                {"-m, --model", "FILE", "the same", TextTarget{&path, {}}},
                                {"--json", "", "print one JSON object", SwitchTarget{&json}}}};
  if (const auto end = parse_args(command, argc, argv)) return *end;

  Result<VerifyReport> report = [&] {
    Progress progress;
    return verify_file(*path, [&](uint64_t done, uint64_t total) {
      progress.update("checking", "", done, total);
    });
  }();
  if (!report.ok()) return fail(report.status());
  if (json) {
    JsonWriter out;
    out.begin_object().member("file", *path).member("ok", true);
    out.member("blocks", report->blocks).member("bytes", report->bytes).end_object();
    print(out.text() + "\n");
  } else {
    print(format("%s: %" PRIu64 " blocks checked, %" PRIu64 " bytes, all good\n", path->c_str(),
                 report->blocks, report->bytes));
  }
  return TRIT_OK;
}

}  // namespace trit
