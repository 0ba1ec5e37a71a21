// A model that can talk: the E2B fixture with a tokenizer of bytes, letters and Gemma 4's markers.
import fs from "node:fs";
import path from "node:path";

function tokenizer() {
  const vocab = {};
  const added = [];
  let next = 0;
  const piece = (text) => (vocab[text] = next++);
  const marker = (text) => {
    added.push({ id: next, content: text, special: true });
    piece(text);
  };
  for (const text of ["<pad>", "<eos>", "<bos>", "<unk>"]) marker(text);
  for (let b = 0; b < 256; ++b) piece(`<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`);
  for (let n = 0; n < 20; ++n) piece(`w${n}`);
  for (const text of ["<|channel>", "<channel|>", "<|think|>", "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>', "<|turn>", "<turn|>"])
    marker(text);
  for (let c = 97; c < 123; ++c) piece(String.fromCharCode(c));
  piece("qz");
  piece("w59");
  return {
    added_tokens: added,
    normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" },
    model: { type: "BPE", unk_token: "<unk>", byte_fallback: true, vocab, merges: ["q z"] },
  };
}

/** Makes the model's folder and gives its path. */
export function makeModel(root, folder) {
  const from = path.join(root, "tests/fixtures/text/e2b");
  fs.mkdirSync(folder, { recursive: true });
  for (const name of fs.readdirSync(from))
    if (/^(config\.json|model.*\.safetensors)$/.test(name)) fs.copyFileSync(path.join(from, name), path.join(folder, name));
  const config = JSON.parse(fs.readFileSync(path.join(folder, "config.json"), "utf8"));
  config.text_config.max_position_embeddings = 32768;
  fs.writeFileSync(path.join(folder, "config.json"), JSON.stringify(config));
  fs.writeFileSync(path.join(folder, "generation_config.json"), '{"eos_token_id": [1]}');
  fs.writeFileSync(path.join(folder, "tokenizer.json"), JSON.stringify(tokenizer()));
  return folder;
}
