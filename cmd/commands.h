// Every command: one file, one function of this form, one row of the table in main.cc. It receives
// its own name as argv[0] and returns the exit code; stdout is flushed by main.
#ifndef TRITSTACK_CMD_COMMANDS_H_
#define TRITSTACK_CMD_COMMANDS_H_

namespace trit {

int quantize_command(int argc, char** argv);
int chat_command(int argc, char** argv);
int run_command(int argc, char** argv);
int plan_command(int argc, char** argv);
int inspect_command(int argc, char** argv);
int verify_command(int argc, char** argv);
int perplexity_command(int argc, char** argv);
int logits_command(int argc, char** argv);
int tokenize_command(int argc, char** argv);
int bench_command(int argc, char** argv);
int doctor_command(int argc, char** argv);

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMANDS_H_
