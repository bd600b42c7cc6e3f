// tritstack verify: every checksum and every structural rule of a .trit file.
#include <cinttypes>

#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/model_flags.h"
#include "cmd/common/output.h"
#include "cmd/common/progress.h"
#include "model_format/verify.h"

namespace trit {

int verify_command(int argc, char** argv) {
  ModelFlags flags;
  bool json = false;
  const CommandLine command = {
      "verify", "check every byte of a .trit file", "  tritstack verify qwen.trit\n",
      join_flags(file_flags(&flags),
                 {io_flag(&flags), {"--json", "", "print one JSON object", SwitchTarget{&json}}})};
  if (const auto end = parse_args(command, argc, argv)) return *end;
  announce_file(flags);
  const IoMode io = *flags.io == "read" ? IoMode::kRead : IoMode::kMap;
  Result<VerifyReport> report = [&] {
    Progress progress;
    return verify_file(
        *flags.model,
        [&](uint64_t done, uint64_t total) { progress.update("checking", "", done, total); }, io);
  }();
  if (!report.ok()) return fail(report.status());
  if (json) {
    JsonWriter out;
    out.begin_object().member("file", *flags.model).member("ok", true);
    out.member("blocks", report->blocks).member("bytes", report->bytes).end_object();
    print(out.text() + "\n");
  } else {
    print(format("%s: %" PRIu64 " blocks checked, %" PRIu64 " bytes, all good\n",
                 flags.model->c_str(), report->blocks, report->bytes));
  }
  return TRIT_OK;
}

}  // namespace trit
