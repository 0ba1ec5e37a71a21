// The porch: a loaded model that turns prompts into answers. Std includes only; callers never see
// tensors. What was computed for the last prompt is kept, and reused for what the next one shares.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "bezel/result.h"

namespace bezel {

using TokenId = std::int32_t;

enum class ActKind { Int8, F32 };      // how activations meet quantised weights
enum class KvKind { F32, F16, BF16 };  // what keys and values are kept as
// Auto: weights are packed in memory for writing when the first answer begins, if they fit; File:
// always read as they lie in the file, the same answer. Q8_0: float matrices are rounded to 8 bits
// while loading, faster and a little different.
enum class WeightKind { Auto, File, Q8_0 };

struct EngineOptions {
  std::string model_path;  // .gguf file or Hugging Face folder
  int threads = 0;         // 0 = one per physical core that this process may use
  std::string isa;         // kernel table by name; empty = the best that runs here
  ActKind act = ActKind::Int8;
  KvKind kv = KvKind::F16;
  WeightKind weights = WeightKind::Auto;
  int context = 0;     // positions; 0 = what fits in half of the free memory
  int chunk = 0;       // most prompt rows in one forward pass; 0 = a good number
  bool lookup = true;  // try what stood in the text before as the next ids; same answer, sooner
  int sequences = 1;   // most answers at the same time, each with a context of its own; see Service
  // Bytes of keys and values, of running answers and of prefixes kept for later together; 0 = every
  // answer's whole context, and some prefixes beside them. With less than that, answers that find
  // no more room wait for a while.
  std::uint64_t cache_memory = 0;
  std::string cache_folder;  // where prefixes are stored at the end; empty: nowhere
  std::uint64_t memory = 0;  // most bytes to take beside mapped weights; 0 = what is free
};

// Bytes, stated before they are taken.
struct MemoryPlan {
  std::uint64_t mapped = 0;     // the model's files, read as they lie (shared, reclaimable)
  std::uint64_t kv = 0;         // keys and values of running answers and kept prefixes
  std::uint64_t scratch = 0;    // intermediate results of one forward pass
  std::uint64_t tokenizer = 0;  // estimate; 0 when none is loaded
  std::uint64_t base = 0;       // program, threads' panels, tables, logits of drafts: estimate
  std::uint64_t packed = 0;     // weights packed in memory; their part of `mapped` is let go then
  // Parts of `kv`: of one answer with a full context, and of one checkpoint of sliding layers, if
  // it shares nothing. Prefixes may take what running answers leave.
  std::uint64_t sequence = 0, window = 0;

  std::uint64_t anonymous() const { return kv + scratch + tokenizer + base + packed; }
};

// The rules of choosing a token, applied in this order to the model's row of logits: bias,
// penalties, mask (suppressed ids), temperature, top_k, top_p, min_p, draw. Candidates are ordered
// by value descending, then id ascending.
struct Sampling {
  float temperature = 1;         // 0 = the best id always (ties: the lowest id); else 0.001 to 100
  int top_k = 0;                 // keep the k best; 0 = all
  float top_p = 1;               // keep the shortest prefix with at least this probability; 1 = all
  float min_p = 0;               // keep what has at least this share of the best's probability
  float repetition_penalty = 1;  // x > 0: x / r, else x * r, for ids in prompt or answer
  float presence_penalty = 0;    // subtracted once for ids in the answer
  float frequency_penalty = 0;   // subtracted for every occurrence in the answer
  std::vector<std::pair<TokenId, float>> bias;  // added; -infinity bans an id
  std::uint64_t seed = 0;                       // the draw at position n depends on (seed, n) alone
};

// What an answer must look like. It may be cut short by max_tokens, a stop text or the end of the
// context; otherwise it ends only where it is whole.
struct Constraint {
  enum class Kind {
    None,
    JsonSchema,  // `text` is a schema, JSON Schema draft 2020-12; at most 4 MB
    JsonObject,  // any JSON object
    Regex,       // `text` matches the whole answer: ECMAScript syntax, what is regular of it
    Choice,      // one of `choices`, each at least one character
    Grammar,     // `text` is a grammar in GBNF, whose rule "root" is the answer; at most 1 MB
  };
  Kind kind = Kind::None;
  std::string text;
  std::vector<std::string> choices;
  bool operator==(const Constraint&) const = default;
};

struct Request {
  std::vector<TokenId> prompt;  // whole: bos, markers, everything
  Sampling sampling;
  int max_tokens = 0;             // 0 = up to the end of the context
  std::vector<std::string> stop;  // texts that end the answer; not part of it
  Constraint constraint;          // an Error when it is wrong or cannot be enforced
  int logprobs = -1;              // -1: none; n >= 0: of the chosen id and the n best
  bool prompt_logprobs = false;   // also of the prompt's ids, as PromptToken; reuses nothing
  bool embedding = false;         // Done::embedding instead of an answer; reuses nothing
  bool show_markers = false;      // control tokens in the answer appear as their text
  const std::atomic<bool>* cancel = nullptr;  // checked between forward passes
  // Of thoughts: the prompt ends inside one; the most tokens of one, -1: no limit.
  bool in_thought = false;
  int thought_budget = -1;
};

struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;  // natural log of the model's own probability, before every rule of Sampling
};

// Part of the prompt is read.
struct PromptProgress {
  int done = 0, total = 0;  // tokens; `done` counts what was reused
};
// An id of the prompt, in order from the second on. Only with Request::prompt_logprobs.
struct PromptToken {
  TokenId id = 0;
  float logprob = 0;
  std::vector<TokenLogprob> best;  // best first
};
// A token was chosen. `text` is whole UTF-8; it may be empty (text is held back while it could
// become a stop text or is part of a character) or end earlier tokens. A last one with id -1
// carries what was held.
struct TextPiece {
  std::string text;
  TokenId id = -1;
  float logprob = 0;               // only when asked for
  std::vector<TokenLogprob> best;  // best first; only when asked for
};
// Part of what the model thinks before it answers. Only from reply().
struct ThoughtPiece {
  std::string text;
};
// Part of a tool call. Only from reply(). A call's pieces come one after another: the first has its
// name; the `arguments` of all joined are one JSON object; the last is `complete`.
struct CallPiece {
  int index = 0;  // of the call in this answer
  std::string name, arguments;
  bool complete = false;
};
using Event = std::variant<PromptProgress, TextPiece, ThoughtPiece, CallPiece, PromptToken>;

enum class DoneReason {
  EndToken,     // the model ended its answer
  StopText,     // a stop text appeared
  MaxTokens,    // as long as asked for
  ContextFull,  // no position is left
  Cancelled,    // by the caller
};

struct Done {
  DoneReason reason = DoneReason::EndToken;
  std::string stop_text;     // which stop text, for StopText
  std::vector<TokenId> ids;  // the answer, with its end token if there was one
  int prompt_tokens = 0;
  int reused_tokens = 0;          // prompt tokens whose keys and values were still there
  int preemptions = 0;            // times that it had to wait again for want of memory
  int drafted = 0, accepted = 0;  // ids tried from the text before, and those that were right
  int thought_tokens = 0;         // of `ids`, with the marker that ends a thought
  double prompt_seconds = 0, answer_seconds = 0;
  // Mean over the prompt of the states behind the last norm, EngineInfo::width values; only when
  // asked for.
  std::vector<float> embedding;
};

struct ToolCall {
  std::string id, name;
  std::string arguments;  // a JSON object
  bool operator==(const ToolCall&) const = default;
};

// Part of a conversation.
struct Turn {
  std::string role;  // "system", "user", "assistant", or "tool": a call's result
  std::string text;
  std::string thought = {};          // of an assistant
  std::vector<ToolCall> calls = {};  // of an assistant, after its text
  std::string call_id = {};          // of a tool: the call it answers
  bool operator==(const Turn&) const = default;
};

// What a conversation allows the model beside speaking. Calls fit the declared parameters: no other
// token can be chosen (see reply() for parameters that cannot be enforced).
struct Talk {
  std::string tools;  // a JSON array of tools as OpenAI's chat API has them; empty: none
  enum class Calls { Auto, None, Required } calls = Calls::Auto;
  std::vector<std::string> allowed = {};  // names of tools that may be called; empty: all
  bool parallel = true;                   // several calls in one answer
  bool think = false;
  int thought_budget = -1;  // most tokens of a thought; -1: no limit
  bool operator==(const Talk&) const = default;
};

// An answer in a conversation.
struct Reply {
  Turn turn;  // role "assistant"
  Done done;
};

struct EngineInfo {
  std::string family, variant;  // "gemma4", "E2B"
  std::string isa;              // kernel table in use
  std::string tokenizer;        // kind, for display
  int threads = 0;
  int sequences = 1;      // most answers at the same time
  int context = 0;        // positions available here, for each of them
  int model_context = 0;  // positions the model was trained for
  int vocab = 0;
  int width = 0;                // values of an embedding
  bool has_template = false;    // the file holds a chat template
  std::string template_note;    // why the family's built-in template is used instead; may be empty
  std::string cache_note = {};  // what was found in the cache folder; empty without one
  MemoryPlan memory;
};

// One thread at a time; only the atomic of Request::cancel may be touched by others. Many requests
// at once: bezel/service.h.
class Engine {
 public:
  // std::bad_alloc while loading becomes an Error.
  static Result<std::unique_ptr<Engine>> load(const EngineOptions& options);
  virtual ~Engine() = default;

  virtual const EngineInfo& info() const = 0;
  // Stores kept prefixes in EngineOptions::cache_folder, for the next engine with the same model;
  // Ok without one.
  virtual Status store_prefixes() { return Ok{}; }
  // Temperature, top_k and top_p as the model's own files state them.
  virtual Sampling default_sampling() const = 0;

  // Ids of a text that is no conversation: bos, then the text. `markers`: marker strings in it
  // become control tokens; otherwise they stay text.
  virtual std::vector<TokenId> raw_prompt(std::string_view text, bool markers) const = 0;
  // The text of ids, markers as their text. Ids outside the vocabulary give nothing.
  virtual std::string text_of(const std::vector<TokenId>& ids) const = 0;
  // Ids of a conversation, up to where the model's answer begins.
  virtual Result<std::vector<TokenId>> chat_prompt(const std::vector<Turn>& turns,
                                                   const Talk& talk) const = 0;
  Result<std::vector<TokenId>> chat_prompt(const std::vector<Turn>& turns) const {
    return chat_prompt(turns, Talk());
  }

  // Reads the prompt and answers. `on_event` runs on this thread; returning false cancels. An
  // Error: the prompt does not fit (with numbers), a rule is out of range, no memory, or a numeric
  // error.
  virtual Result<Done> generate(const Request& request,
                                const std::function<bool(const Event&)>& on_event) = 0;
  // Answers a conversation: `rules` gives everything but the prompt. What the model writes comes
  // apart as thought, text and calls; stop texts count in the text alone, and a constraint holds
  // for the text of an answer that calls nothing. An Error also for tools whose parameters cannot
  // be enforced, when a call is required or there is a constraint; otherwise such tools are called
  // as the model pleases.
  virtual Result<Reply> reply(const std::vector<Turn>& turns, const Talk& talk,
                              const Request& rules,
                              const std::function<bool(const Event&)>& on_event) = 0;
};

}  // namespace bezel
