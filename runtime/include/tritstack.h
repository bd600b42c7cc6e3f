/* tritstack: run a language model from one .trit file on the CPU. The public C99 API.
 *
 * Conventions
 *  1. Functions that can fail return a trit_status: TRIT_OK is 0; trit_last_error() then holds one
 *     sentence, per thread, until this thread's next failing call.
 *  2. Option structs begin with struct_size: fill them with the matching *_init() function, then
 *     change what you want. NULL options mean the defaults.
 *  3. A model may be shared by sessions of many threads; its functions may be called from any. A
 *     session is used by one thread at a time; trit_session_cancel() may come from any thread. A
 *     model may be closed while sessions of it live: they keep it. Closing NULL does nothing.
 *  4. Text is UTF-8, a const char* without a length beside it NUL-terminated; token ids are int32_t
 * in [0, vocab).
 *  5. Buffers belong to the caller unless said; functions that fill one take its capacity and
 * report the size needed, so a first call with capacity 0 asks for it.
 *  6. After trit_session_open() returned, nothing allocates per token.
 *  7. The same file, planes, tokens and seed give the same bits on every CPU and thread count.
 */
#ifndef TRITSTACK_H_
#define TRITSTACK_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TRIT_API __attribute__((visibility("default")))
#else
#define TRIT_API
#endif

#define TRIT_VERSION_MAJOR 0
#define TRIT_VERSION_MINOR 1
#define TRIT_VERSION_PATCH 0

/* The numbers are frozen; they are also the exit codes of the command line. */
typedef enum trit_status {
  TRIT_OK = 0,
  TRIT_INTERNAL = 1,    /* a bug of ours */
  TRIT_USAGE = 2,       /* an argument is wrong; nothing changed */
  TRIT_MALFORMED = 3,   /* the file is damaged */
  TRIT_UNSUPPORTED = 4, /* the file is valid, but not for this build */
  TRIT_IO = 5,          /* the operating system refused */
  TRIT_MEMORY = 6,      /* out of memory or budget */
  TRIT_LIMIT = 7,       /* the context is full; the session is still usable */
  TRIT_CANCELLED = 130  /* trit_session_cancel(); the cache holds whole tokens only */
} trit_status;

typedef struct trit_model trit_model;
typedef struct trit_session trit_session;

/* "0.1.0", and the kernel level in use ("avx512vbmi"; chosen at the first call, TRIT_ISA forces
 * one; NULL with trit_last_error() set when TRIT_ISA names a level that is not available). Static.
 */
TRIT_API const char* trit_version(void);
TRIT_API const char* trit_kernel_level(void);
/* Why this thread's last failing call failed; "" before any. Valid until the next failing call. */
TRIT_API const char* trit_last_error(void);

/* ---- model ------------------------------------------------------------------------------------
 */

typedef struct trit_model_options {
  uint32_t struct_size;
  uint32_t planes;      /* planes of each layer matrix; 0: all stored. Below the base: TRIT_USAGE */
  uint32_t head_planes; /* planes of embedding and head; 0: all stored */
  uint32_t io_read; /* 0: map the file (on network file systems read it); 1: read it into memory */
  uint32_t verify;  /* 0: head and structure; 1: every block hash too */
  uint32_t force;   /* 1: run below the smallest budget too, slowly, from reclaimable pages */
  uint64_t memory_bytes; /* budget, see trit_model_set_memory(); 0: none */
  uint32_t all_planes;   /* 1: a budget that does not hold the planes asked for is TRIT_MEMORY,
                            rather than fewer planes */
} trit_model_options;
TRIT_API void trit_model_options_init(trit_model_options* options);

/* Opens `path`. On TRIT_OK *model is to be closed with trit_model_close(); else it is NULL. A
 * budget that is too small is refused by trit_session_open(), which knows what is needed in all. */
TRIT_API trit_status trit_model_open(const char* path, const trit_model_options* options,
                                     trit_model** model);
TRIT_API void trit_model_close(trit_model* model);

typedef struct trit_model_info {
  uint32_t struct_size;
  const char* name; /* strings live as long as the model */
  const char* architecture;
  uint32_t n_layers, hidden, n_heads, n_kv_heads, head_dim, ffn, vocab;
  uint32_t max_context; /* positions the model was made for */
  uint32_t planes;      /* the most planes in use of any layer matrix; 0: dense */
  uint32_t head_planes;
  uint32_t dense;     /* 1: made with quantize --dense */
  uint32_t dense_f32; /* 1: --dense f32, the reference: its default cache is f32 */
  uint32_t has_tokenizer;
  uint32_t blocks_stored;  /* blocks in the file as it was written, and those that are here: */
  uint32_t blocks_present; /*   fewer in a file cut short (an interrupted download) */
  uint32_t blocks_in_use;
  uint64_t file_bytes;
  uint64_t weight_bytes;   /* of the planes in use: what one token reads */
  uint64_t parameters;     /* weights of all matrices */
  const char* chat_family; /* "qwen3", ... "plain" */
  uint64_t memory_bytes;   /* the budget; 0: none */
  uint64_t resident_bytes; /* of the whole process with these planes and all open sessions */
  uint64_t smallest_bytes; /* the least budget that the open sessions leave possible */
  uint32_t prefix_blocks;  /* the planes in use are among the first so many of blocks_stored */
  uint32_t fewest_planes;  /* as planes and head_planes, but the fewest in use of any matrix */
  uint32_t fewest_head_planes;
  uint64_t whole_bytes; /* resident_bytes with all planes that set_planes lets in and are here */
} trit_model_info;
/* Fills *info; set info->struct_size = sizeof *info first. */
TRIT_API trit_status trit_model_get_info(const trit_model* model, trit_model_info* info);

/* What the model may use may change at any time, while sessions of it run: each forward pass (one
 * token, or one chunk of a prompt) uses one set of planes, and what the cache holds stays. Planes
 * leave memory as soon as no pass uses them; more planes come in on a thread of the model and are
 * used when they are whole. Each call also looks whether the file has grown (a download going on).
 *
 * A budget is the peak resident memory of the whole process: the planes in use (the longest prefix
 * of the stored order that fits), the cache and buffers of all open sessions, tables, tokenizer,
 * code. Opening a session may take planes away. TRIT_MEMORY, with the smallest budget that works
 * in the message, when not even the base fits; nothing changes then. 0: no limit. */
TRIT_API trit_status trit_model_set_memory(trit_model* model, uint64_t bytes);
/* What the program itself needs of the budget, beside code and a heap of some hundred KiB: it
 * counts as if a session took it. Errors as above, but before the first session it is only noted.
 */
TRIT_API trit_status trit_model_set_aside(trit_model* model, uint64_t bytes);
/* The most planes of each matrix, as in trit_model_options; a budget still holds. */
TRIT_API trit_status trit_model_set_planes(trit_model* model, uint32_t planes,
                                           uint32_t head_planes);
/* Waits until the last change is complete; passes that run may delay that. TRIT_IO or TRIT_MEMORY:
 * more planes could not come in, those from before are in use. */
TRIT_API trit_status trit_model_settle(trit_model* model);

/* What this process may hold in all, in bytes, what it holds already included: the least of what
 * the system calls available, of the limits of its control groups and of its address space. Clean
 * page cache counts as free. `budget`: seven eighths of that, a budget that leaves something to
 * others, and at least 1. why[capacity] (no terminating NUL, cut at capacity): one sentence, the
 * limit that binds and its numbers; *needed is its length. Each pointer may be NULL. */
TRIT_API trit_status trit_available_memory(uint64_t* available, uint64_t* budget, char* why,
                                           size_t capacity, size_t* needed);

/* Why a watched model uses other planes than before. */
typedef enum trit_planes_reason {
  TRIT_PLANES_SCARCE,   /* fewer: memory became scarce */
  TRIT_PLANES_STALLED,  /* fewer: the kernel reports that processes wait for memory */
  TRIT_PLANES_EASED,    /* more: there is memory again */
  TRIT_PLANES_FILE_GREW /* more: a download has brought them */
} trit_planes_reason;
typedef void (*trit_on_planes)(trit_planes_reason reason, void* user);

/* From now on the model's budget (without one: that of trit_available_memory(), but for a limit of
 * the address space) follows the memory there is. Less comes within about a second, before the
 * system starts to end processes, but never below the base; more comes slowly. A change of the
 * planes in use changes what the model says; each that the watch makes, or a growing file brings,
 * is told to on_planes (may be NULL): on a thread of the watch, that waits for it; it may call
 * anything but the functions that end a watch, this one among them: a second watch ends the first
 * before it begins. A budget that is set by hand meanwhile holds until the next change; to keep
 * one, end the watch. TRIT_IO, TRIT_MEMORY: the system gives no pipe or thread; there is no watch
 * then. */
TRIT_API trit_status trit_model_watch_memory(trit_model* model, trit_on_planes on_planes,
                                             void* user);
/* Ends it, as trit_model_close() does, and waits for a callback that runs. The budget stays. */
TRIT_API void trit_model_unwatch_memory(trit_model* model);

/* A model's file that is cut, or whose disk fails, while it is mapped: without this call that is
 * the signal SIGBUS. With it, once per process and before other threads run, it ends the pass that
 * runs, and every later one of that model, with TRIT_IO; other faults go to the handler that was
 * there before. */
TRIT_API trit_status trit_guard_file_access(void);

/* ---- text -------------------------------------------------------------------------------------
 */

enum {
  TRIT_ADD_BOS = 1,      /* put the BOS token first, if the model has one */
  TRIT_PARSE_SPECIAL = 2 /* "<|im_end|>" in the text becomes its token instead of plain text */
};

/* text[bytes] to ids[capacity]; *needed is the number of ids, also when capacity is too small.
 * Invalid UTF-8 becomes U+FFFD. TRIT_USAGE when capacity is too small, TRIT_UNSUPPORTED without a
 * tokenizer. */
TRIT_API trit_status trit_tokenize(const trit_model* model, const char* text, size_t bytes,
                                   unsigned flags, int32_t* ids, size_t capacity, size_t* needed);

/* ids[count] to text[capacity] (no terminating NUL); *needed in bytes. With TRIT_PARSE_SPECIAL in
 * flags special tokens are written as their text, else left out. A character of which only some
 * bytes are among the ids becomes U+FFFD: whoever wants text token by token gets it whole from
 * trit_on_text. */
TRIT_API trit_status trit_detokenize(const trit_model* model, const int32_t* ids, size_t count,
                                     unsigned flags, char* text, size_t capacity, size_t* needed);

/* 1 when this token ends an answer, 0 when not or out of range. */
TRIT_API int trit_is_end_token(const trit_model* model, int32_t id);

typedef struct trit_message {
  const char* role;    /* "system", "user" or "assistant" */
  const char* content; /* UTF-8, NUL-terminated */
} trit_message;

typedef enum trit_reasoning {
  TRIT_REASONING_AUTO,
  TRIT_REASONING_ON,
  TRIT_REASONING_OFF
} trit_reasoning;

typedef struct trit_chat_options {
  uint32_t struct_size;
  trit_reasoning reasoning; /* Qwen3: OFF prefills the empty think block */
  const char* date;         /* Llama 3: "26 Jul 2024" (NULL: that one) */
} trit_chat_options;
TRIT_API void trit_chat_options_init(trit_chat_options* options);

/* The conversation in the model's own chat format, ready for the assistant's answer, as text and as
 * ids. Only the template's own text can become special tokens: "<|im_end|>" in a message stays
 * plain text in the ids. TRIT_USAGE when the roles do not fit the template. */
TRIT_API trit_status trit_format_chat(const trit_model* model, const trit_message* messages,
                                      size_t count, const trit_chat_options* options, char* text,
                                      size_t capacity, size_t* needed);
TRIT_API trit_status trit_tokenize_chat(const trit_model* model, const trit_message* messages,
                                        size_t count, const trit_chat_options* options,
                                        int32_t* ids, size_t capacity, size_t* needed);

/* ---- session ----------------------------------------------------------------------------------
 */

typedef enum trit_cache_type {
  TRIT_CACHE_DEFAULT,
  TRIT_CACHE_F16,
  TRIT_CACHE_F32,
  TRIT_CACHE_Q8 /* q8_0: 32 values share a scale, 8.5 bits each */
} trit_cache_type;

typedef struct trit_session_options {
  uint32_t struct_size;
  uint32_t context; /* positions of the cache; 0: min(model, 4096) */
  uint32_t threads; /* 0: the fast cores this process may use */
  uint32_t chunk;   /* most tokens per forward pass in prefill; 0: 128. Never changes bits */
  trit_cache_type cache_k, cache_v; /* default f16; f32 for a --dense f32 file */
} trit_session_options;
TRIT_API void trit_session_options_init(trit_session_options* options);

TRIT_API trit_status trit_session_open(trit_model* model, const trit_session_options* options,
                                       trit_session** session);
TRIT_API void trit_session_close(trit_session* session);
TRIT_API uint32_t trit_session_context(const trit_session* session);  /* positions of the cache */
TRIT_API uint32_t trit_session_position(const trit_session* session); /* tokens in the cache */
TRIT_API uint32_t trit_session_threads(const trit_session* session);

/* Appends ids[count] to the cache. all_logits: NULL, or [count][vocab] to receive the logits after
 * each token. Afterwards trit_session_logits() are those after the last. TRIT_LIMIT when they do
 * not fit (nothing appended), TRIT_USAGE for an id out of range, TRIT_CANCELLED: the tokens of
 * finished chunks are in the cache. No ids: nothing happens. */
TRIT_API trit_status trit_session_prefill(trit_session* session, const int32_t* ids, size_t count,
                                          float* all_logits);
/* Appends one token. */
TRIT_API trit_status trit_session_decode(trit_session* session, int32_t id);
/* Makes the cache hold exactly ids[count], keeping what it already shares with them from the front,
 * and computes the logits after the last. count >= 1. Errors as prefill. */
TRIT_API trit_status trit_session_prompt(trit_session* session, const int32_t* ids, size_t count);
/* Forgets all but the first `count` tokens. If that forgets any, there are no logits until the next
 * append. */
TRIT_API trit_status trit_session_rewind(trit_session* session, size_t count);
/* [vocab] after the last appended token; owned by the session, valid until its next call. NULL when
 * there are none: nothing appended yet, rewound, or cancelled. */
TRIT_API const float* trit_session_logits(const trit_session* session);
/* Stops the running prefill, decode, prompt or generate of this session soon, with TRIT_CANCELLED;
 * without one running, nothing. Any thread, also a signal handler. */
TRIT_API void trit_session_cancel(trit_session* session);

/* ---- sampling ---------------------------------------------------------------------------------
 */

typedef struct trit_sampling {
  uint32_t struct_size;
  float temperature;       /* 0: greedy, ties to the lowest id */
  int32_t top_k;           /* 0: off */
  float top_p;             /* 1: off; 0: the best token only */
  float min_p;             /* 0: off */
  float repeat_penalty;    /* 1: off; over the last repeat_last_n tokens */
  int32_t repeat_last_n;   /* 0: off, -1: the whole context */
  float presence_penalty;  /* 0: off */
  float frequency_penalty; /* 0: off */
  uint64_t seed;
} trit_sampling;
/* Defaults, overlaid with the model's own generation_config where it has one. seed is 0. */
TRIT_API void trit_sampling_init(const trit_model* model, trit_sampling* sampling);

/* Sets how trit_session_sample() chooses and restarts its generator from the seed. Order:
 * penalties, top-k, top-p, min-p, temperature. NULL, and a new session: the model's own defaults.
 * TRIT_USAGE for NaN or values out of range. */
TRIT_API trit_status trit_session_set_sampling(trit_session* session,
                                               const trit_sampling* sampling);
/* Chooses a token from the current logits; ids past the tokenizer's are never chosen. */
TRIT_API trit_status trit_session_sample(trit_session* session, int32_t* id);

typedef enum trit_stop {
  TRIT_STOP_END,      /* the model ended its answer */
  TRIT_STOP_TEXT,     /* a stop text came (it is not part of the output) */
  TRIT_STOP_COUNT,    /* max_tokens */
  TRIT_STOP_CONTEXT,  /* the cache is full */
  TRIT_STOP_CALLBACK, /* the callback returned non-zero */
  TRIT_STOP_CANCELLED /* trit_session_cancel() */
} trit_stop;

/* text[bytes] is the next piece of the answer, always whole UTF-8 characters; empty for a token
 * that completes none or may begin a stop text. A last call with id -1 brings text that was held
 * back. Return non-zero to stop. It calls nothing that changes the session it is called from. */
typedef int (*trit_on_text)(const char* text, size_t bytes, int32_t id, void* user);

typedef struct trit_generate_options {
  uint32_t struct_size;
  int32_t max_tokens;       /* -1: until the end or the context is full */
  const char* const* stops; /* stop texts, none empty */
  size_t stop_count;
  uint32_t ignore_end; /* 1: go on past end tokens */
  uint32_t special;    /* 1: special tokens appear in the text */
} trit_generate_options;
TRIT_API void trit_generate_options_init(trit_generate_options* options);

typedef struct trit_generate_result {
  uint32_t struct_size;
  trit_stop stop;
  uint64_t tokens; /* sampled, the end token not counted */
} trit_generate_result;

/* Set result->struct_size = sizeof *result first. Samples and decodes from the current logits until
 * something stops it. The text of the answer is in the cache afterwards, the end token is not.
 * TRIT_OK for every trit_stop but cancelled, which is TRIT_CANCELLED: then the last token may be
 * missing in the cache. `result` may be NULL. Without a tokenizer the text is always empty. */
TRIT_API trit_status trit_session_generate(trit_session* session,
                                           const trit_generate_options* options,
                                           trit_on_text on_text, void* user,
                                           trit_generate_result* result);

#ifdef __cplusplus
}
#endif

#endif /* TRITSTACK_H_ */
