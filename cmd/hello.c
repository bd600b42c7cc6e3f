/* The smallest program around tritstack: opens a model, asks one question in the model's own chat
 * format, prints the answer as it comes. Usage: hello MODEL.trit [QUESTION]
 * After `make install`: cc hello.c -ltritstack -lstdc++ -lm -pthread (macOS: -lc++), or
 * cc hello.c $(pkg-config --cflags --libs tritstack) */
#include <stdio.h>

#include "tritstack.h"

static int print(const char* text, size_t bytes, int32_t id, void* user) {
  (void)id;
  (void)user;
  fwrite(text, 1, bytes, stdout);
  return fflush(stdout); /* non-zero, a closed pipe, stops the answer */
}

static int failed(trit_status status) {
  fprintf(stderr, "hello: error: %s\n", trit_last_error());
  return (int)status;
}

int main(int argc, char** argv) {
  trit_model* model = NULL;
  trit_session* session = NULL;
  trit_message question = {"user", "Tell me a story about a dog."};
  int32_t ids[1024];
  size_t count = 0;
  trit_status status;

  if (argc > 2) question.content = argv[2];
  status = trit_model_open(argc > 1 ? argv[1] : "model.trit", NULL, &model);
  if (!status) status = trit_session_open(model, NULL, &session);
  if (!status) status = trit_tokenize_chat(model, &question, 1, NULL, ids, 1024, &count);
  if (!status) status = trit_session_prompt(session, ids, count);
  if (!status) status = trit_session_generate(session, NULL, print, NULL, NULL);
  if (status) return failed(status);
  printf("\n");

  trit_session_close(session);
  trit_model_close(model);
  return 0;
}
