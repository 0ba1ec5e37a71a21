// Chats to files and back. What comes from a file or from the server is checked before it is used.
import { userText } from "./request";
import { beginning } from "./text";
import { newId, pathOf } from "./tree";
import { type Call, type Chat, type Message, numberNames, plainSettings, type Settings, type TextFile } from "./types";

type Fields = Record<string, unknown>;
const isObject = (x: unknown): x is Fields => typeof x === "object" && x !== null && !Array.isArray(x);
const textOr = (x: unknown, otherwise: string) => (typeof x === "string" ? x : otherwise);
const numberOr = <T>(x: unknown, otherwise: T) => (typeof x === "number" && Number.isFinite(x) ? x : otherwise);
const list = (x: unknown): Fields[] => (Array.isArray(x) ? x.filter(isObject) : []);

function settingsFrom(x: unknown): Settings {
  if (!isObject(x)) return { ...plainSettings };
  const s: Settings = {
    system: textOr(x.system, ""),
    think: x.think === true,
    stop: textOr(x.stop, ""),
    form: x.form === "json" || x.form === "schema" ? x.form : "text",
    schema: textOr(x.schema, ""),
    tools: Array.isArray(x.tools) ? x.tools.filter((t): t is string => typeof t === "string") : [],
    ownTools: textOr(x.ownTools, ""),
    toolChoice: x.toolChoice === "required" ? "required" : "auto",
  };
  for (const name of numberNames) {
    const value = numberOr(x[name], undefined);
    if (value !== undefined) s[name] = value;
  }
  return s;
}

function messageFrom(x: Fields): Message | null {
  if (typeof x.id !== "string" || !x.id || x.id.length > 64) return null;
  if (x.role !== "user" && x.role !== "assistant") return null;
  const m: Message = {
    id: x.id,
    parent: typeof x.parent === "string" ? x.parent : null,
    role: x.role,
    content: textOr(x.content, ""),
    time: numberOr(x.time, 0),
  };
  if (typeof x.thought === "string") m.thought = x.thought;
  if (typeof x.error === "string") m.error = x.error;
  if (x.edited === true) m.edited = true;
  if (x.json === true) m.json = true;
  if (["stop", "length", "tool_calls", "stopped", "error"].includes(x.finish as string)) m.finish = x.finish as Message["finish"];
  else if (m.role === "assistant") m.finish = "stopped"; // the page was left while it streamed
  const files: TextFile[] = list(x.files).map((f) => ({ name: textOr(f.name, "file"), text: textOr(f.text, "") }));
  if (files.length) m.files = files;
  const calls: Call[] = list(x.calls).map((c) => ({
    id: textOr(c.id, newId()),
    name: textOr(c.name, "?"),
    arguments: textOr(c.arguments, "{}"),
    ...(typeof c.result === "string" ? { result: c.result } : {}),
  }));
  if (calls.length) m.calls = calls;
  if (isObject(x.stats))
    m.stats = {
      prompt: numberOr(x.stats.prompt, 0),
      cached: numberOr(x.stats.cached, 0),
      answer: numberOr(x.stats.answer, 0),
      wait: numberOr(x.stats.wait, 0),
      seconds: numberOr(x.stats.seconds, 0),
    };
  return m;
}

/** A chat out of parsed JSON, or null when it is none. Repairs what can be repaired. */
export function chatFrom(x: unknown): Chat | null {
  if (!isObject(x) || x.bezel_chat !== 1 || !Array.isArray(x.messages)) return null;
  const messages = list(x.messages).flatMap((m) => messageFrom(m) ?? []);
  const ids = new Set(messages.map((m) => m.id));
  if (ids.size < messages.length) return null;
  const now = Date.now();
  const id = textOr(x.id, "");
  const leaf = typeof x.leaf === "string" && ids.has(x.leaf) ? x.leaf : (messages.at(-1)?.id ?? null);
  return {
    bezel_chat: 1,
    id: /^[A-Za-z0-9_-]{8,64}$/.test(id) ? id : newId(),
    title: shortTitle(textOr(x.title, "")) || "Imported chat",
    created: Math.max(0, Math.trunc(numberOr(x.created, now))),
    updated: Math.max(0, Math.trunc(numberOr(x.updated, now))),
    model: textOr(x.model, ""),
    leaf,
    settings: settingsFrom(x.settings),
    messages,
  };
}

/** At most 100 characters, so that the server's 400 bytes are kept. */
export function shortTitle(title: string): string {
  return beginning(title.trim(), 100);
}

/** Chats of a file: one, or an export of many. Empty when there are none. */
export function chatsFrom(text: string): Chat[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  const all = isObject(value) && value.bezel_chats === 1 ? list(value.chats) : [value];
  return all.flatMap((c) => chatFrom(c) ?? []);
}

/** The path that is shown, as Markdown. */
export function markdownOf(chat: Chat): string {
  const parts = [`# ${chat.title}`];
  for (const m of pathOf(chat)) {
    parts.push(m.role === "user" ? "## You" : `## ${chat.model || "Model"}`);
    if (m.thought) parts.push(`<details><summary>Thought</summary>\n\n${m.thought}\n\n</details>`);
    if (m.role === "user" ? userText(m) : m.content) parts.push(m.role === "user" ? userText(m) : m.content);
    for (const c of m.calls ?? []) parts.push(`\`${c.name}(${c.arguments})\` → ${c.result ?? "no result"}`);
  }
  return `${parts.join("\n\n")}\n`;
}

export function download(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function fileName(title: string, ending: string): string {
  return `${beginning(title.replace(/[^\p{L}\p{N} _-]+/gu, "").trim(), 60) || "chat"}.${ending}`;
}

const mostFileBytes = 1 << 20;

/** The text of a dropped file; throws a sentence when it is none. */
export async function readText(file: File): Promise<string> {
  if (file.size > mostFileBytes) throw new Error(`${file.name} has ${(file.size / (1 << 20)).toFixed(1)} MB; text files may have 1 MB.`);
  const bytes = await file.arrayBuffer();
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`${file.name} is no text file (UTF-8 was expected).`);
  }
  if (text.includes("\0")) throw new Error(`${file.name} is no text file.`);
  return text;
}
