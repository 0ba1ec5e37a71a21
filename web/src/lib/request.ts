// A chat as the body of a request.
import { builtIn, declarations } from "./tools";
import { pathOf } from "./tree";
import { type Chat, type Message, samplingNames, type Settings, type TextFile } from "./types";

/** A file as the model reads it: its name, then its text between fences longer than any inside. */
export function fenced(file: TextFile): string {
  const longest = Math.max(2, ...Array.from(file.text.matchAll(/`+/g), (m) => m[0].length));
  const fence = "`".repeat(longest + 1);
  return `${file.name}:\n${fence}\n${file.text.replace(/\n$/, "")}\n${fence}`;
}

export function userText(message: Message): string {
  return [...(message.files ?? []).map(fenced), message.content].filter(Boolean).join("\n\n");
}

function messagesOf(chat: Chat, leaf: string): object[] {
  const out: object[] = [];
  if (chat.settings.system.trim()) out.push({ role: "system", content: chat.settings.system });
  for (const m of pathOf(chat, leaf)) {
    if (m.role === "user") {
      out.push({ role: "user", content: userText(m) });
      continue;
    }
    const calls = (m.calls ?? []).filter((c) => c.result !== undefined && isObject(c.arguments));
    if (!m.content && !calls.length) continue;
    out.push({
      role: "assistant",
      content: m.content,
      ...(m.thought && calls.length ? { reasoning_content: m.thought } : {}),
      ...(calls.length
        ? {
            tool_calls: calls.map((c) => ({
              id: c.id,
              type: "function",
              function: { name: c.name, arguments: c.arguments },
            })),
          }
        : {}),
    });
    for (const c of calls) out.push({ role: "tool", tool_call_id: c.id, name: c.name, content: c.result });
  }
  return out;
}

function isObject(text: string): boolean {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** What is wrong with a text that should be a schema, or "". */
export function schemaProblem(text: string): string {
  if (!text.trim()) return "The schema is empty.";
  try {
    const value = JSON.parse(text);
    if (typeof value === "boolean" || (typeof value === "object" && value !== null && !Array.isArray(value))) return "";
    return "A schema is an object, true or false.";
  } catch (error) {
    return `This is no JSON: ${(error as Error).message}`;
  }
}

/** What is wrong with a text that should be a list of tools, or "". */
export function toolsProblem(text: string): string {
  if (!text.trim()) return "";
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (error) {
    return `This is no JSON: ${(error as Error).message}`;
  }
  if (!Array.isArray(list)) return "Expected a JSON array of tools.";
  for (const tool of list) {
    const name = tool?.function?.name;
    if (typeof name !== "string" || !name) return 'Every tool needs "function": {"name": …}.';
    if (builtIn.has(name)) return `"${name}" is the name of one of the page's own tools.`;
  }
  return "";
}

/** A request for the answer that follows the message `leaf`. `again`: a tool has answered before. */
export function requestOf(chat: Chat, leaf: string, again: boolean): object {
  const s: Settings = chat.settings;
  const body: Record<string, unknown> = { model: chat.model, messages: messagesOf(chat, leaf) };
  for (const name of samplingNames)
    if (s[name] !== undefined) body[name] = s[name];
  const stop = s.stop.split("\n").filter((line) => line !== "");
  if (stop.length) body.stop = stop;
  body.chat_template_kwargs = { enable_thinking: s.think };
  if (s.think && s.thoughtBudget !== undefined) body.thinking_token_budget = s.thoughtBudget;
  const tools = [...declarations(s.tools), ...(toolsProblem(s.ownTools) || !s.ownTools.trim() ? [] : JSON.parse(s.ownTools))];
  if (tools.length) {
    body.tools = tools;
    body.tool_choice = again ? "auto" : s.toolChoice;
  }
  if (s.form === "json") body.response_format = { type: "json_object" };
  if (s.form === "schema" && !schemaProblem(s.schema))
    body.response_format = { type: "json_schema", json_schema: { name: "answer", schema: JSON.parse(s.schema) } };
  return body;
}
