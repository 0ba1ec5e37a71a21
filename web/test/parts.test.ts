import { expect, test } from "vitest";

import { deltaOf } from "../src/lib/api";
import { fenced, requestOf, schemaProblem, toolsProblem } from "../src/lib/request";
import { events } from "../src/lib/stream";
import { calculate, runTool } from "../src/lib/tools";
import { chatFrom, chatsFrom, fileName, markdownOf } from "../src/lib/transfer";
import { type Chat, plainSettings } from "../src/lib/types";
import { cutStream } from "./stream";

async function all(text: string, cut: number): Promise<string[]> {
  const out: string[] = [];
  for await (const e of events(cutStream(text, cut))) out.push(e);
  return out;
}

test("events are the same wherever the stream is cut", async () => {
  const text = 'data: {"a":"é€😀"}\n\n: note\n\ndata: x\ndata: y\n\ndata: [DONE]\n\n';
  for (let cut = 1; cut <= text.length + 6; ++cut)
    expect(await all(text, cut)).toEqual(['{"a":"é€😀"}', "x\ny", "[DONE]"]);
});

test("pieces of an answer are read, and an error is thrown", () => {
  const call = { index: 0, id: "c", function: { name: "f", arguments: "{" } };
  expect(deltaOf({ choices: [{ delta: { reasoning_content: "t", tool_calls: [call] }, finish_reason: null }] })).toEqual({
    thought: "t",
    calls: [{ index: 0, id: "c", name: "f", arguments: "{" }],
  });
  const usage = { prompt_tokens: 3, completion_tokens: 4, prompt_tokens_details: { cached_tokens: 2 } };
  expect(deltaOf({ choices: [], usage }).usage).toEqual({ prompt: 3, cached: 2, answer: 4 });
  expect(() => deltaOf({ error: { message: "no" } })).toThrow("no");
});

test.each([
  ["1 + 2 * 3", 7],
  ["(1 + 2) * 3", 9],
  ["-2 ^ 2", -4],
  ["2 ^ 3 ^ 2", 512],
  ["2 ** -1", 0.5],
  ["10 % 4 - 1.5e1", -13],
  ["sqrt(16) + max(1, 2, 3)", 7],
  ["0.1 + 0.2", 0.3],
  ["6 × 7 ÷ 2 − 1", 20],
  ["ln(e) + cos(pi)", 0],
])("%s is %d", (expression, value) => expect(calculate(expression)).toBe(value));

test.each(["", "1 +", "(1", "1 2", "1/0", "alert(1)", "constructor(1)", "__proto__", "sqrt 4", "(".repeat(500)])(
  "%s has no value",
  (expression) => expect(() => calculate(expression)).toThrow(),
);

test("a tool's mistake is an answer for the model", () => {
  expect(runTool("calculator", '{"expression":"1/0"}')).toMatch(/^Error: /);
  expect(runTool("calculator", "not json")).toMatch(/^Error: /);
  expect(runTool("calculator", '{"expression":"2+2"}')).toBe("4");
});

test("a tool's answer has no half of a character", () => {
  expect(runTool("calculator", '{"expression":"😀 + 1"}')).toBe('Error: "😀" is not known');
});

const chat: Chat = {
  bezel_chat: 1,
  id: "aaaaaaaa",
  title: "T: a/b",
  created: 1,
  updated: 2,
  model: "m",
  leaf: "a2",
  settings: { ...plainSettings, system: "S", tools: ["calculator"], toolChoice: "required", temperature: 0, stop: "x\n\ny" },
  messages: [
    { id: "u", parent: null, role: "user", content: "q", time: 1, files: [{ name: "f.md", text: "```\n" }] },
    { id: "a1", parent: "u", role: "assistant", content: "", thought: "th", time: 1, finish: "tool_calls", calls: [{ id: "c", name: "calculator", arguments: "{}", result: "4" }] },
    { id: "a2", parent: "a1", role: "assistant", content: "It is 4.", thought: "not sent", time: 1, finish: "stop" },
    { id: "b", parent: "u", role: "assistant", content: "other branch", time: 1, finish: "length" },
  ],
};

test("a request holds the path, with calls and their results, and no other branch", () => {
  const body = requestOf(chat, "a2", false) as Record<string, never>;
  expect(body.messages).toEqual([
    { role: "system", content: "S" },
    { role: "user", content: "f.md:\n````\n```\n````\n\nq" },
    {
      role: "assistant",
      content: "",
      reasoning_content: "th",
      tool_calls: [{ id: "c", type: "function", function: { name: "calculator", arguments: "{}" } }],
    },
    { role: "tool", tool_call_id: "c", name: "calculator", content: "4" },
    { role: "assistant", content: "It is 4." },
  ]);
  expect(body.temperature).toBe(0);
  expect(body.stop).toEqual(["x", "y"]);
  expect(body.tool_choice).toBe("required");
  expect((requestOf(chat, "u", true) as Record<string, never>).tool_choice).toBe("auto");
});

test("a fence is longer than every fence inside", () => {
  expect(fenced({ name: "a", text: "x ````` y" })).toContain("\n``````\nx");
});

test("schemas and tools are checked before they are sent", () => {
  expect(schemaProblem('{"type":"object"}')).toBe("");
  expect(schemaProblem("[]")).not.toBe("");
  expect(schemaProblem("{")).not.toBe("");
  expect(toolsProblem("")).toBe("");
  expect(toolsProblem('[{"type":"function","function":{"name":"f"}}]')).toBe("");
  expect(toolsProblem('[{"function":{}}]')).not.toBe("");
  expect(toolsProblem('[{"function":{"name":"calculator"}}]')).not.toBe("");
  expect(toolsProblem("{}")).not.toBe("");
});

test("a chat written to a file comes back the same", () => {
  expect(chatsFrom(JSON.stringify(chat))).toEqual([chat]);
  expect(chatsFrom(JSON.stringify({ bezel_chats: 1, chats: [chat, chat] })).length).toBe(2);
});

test("what is no chat is not taken, and what is half wrong is repaired", () => {
  for (const bad of ["", "{}", "[]", "null", "5", '{"bezel_chat":2,"messages":[]}']) expect(chatsFrom(bad)).toEqual([]);
  const twice = { ...chat, messages: [chat.messages[0], chat.messages[0]] };
  expect(chatFrom(twice)).toBeNull();
  const odd = chatFrom({
    bezel_chat: 1,
    id: "../../etc",
    title: 7,
    leaf: "gone",
    settings: { form: "evil", temperature: "hot", tools: [1, "calculator"] },
    messages: [{ id: "x", role: "user", content: 5, parent: 9 }, { id: "y", role: "system" }, null],
  });
  expect(odd?.id).toMatch(/^[A-Za-z0-9]{22}$/);
  expect(odd?.title).toBe("Imported chat");
  expect(odd?.leaf).toBe("x");
  expect(odd?.settings).toEqual({ ...plainSettings, tools: ["calculator"] });
  expect(odd?.messages).toEqual([{ id: "x", parent: null, role: "user", content: "", time: 0 }]);
});

test("Markdown of a chat has what is shown, and file names are plain", () => {
  expect(markdownOf(chat)).toContain("## You\n\nf.md:");
  expect(markdownOf(chat)).toContain("`calculator({})` → 4");
  expect(markdownOf(chat)).not.toContain("other branch");
  expect(fileName(chat.title, "md")).toBe("T ab.md");
  expect(fileName("///", "json")).toBe("chat.json");
});
