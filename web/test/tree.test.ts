import { expect, test } from "vitest";

import { merged, newestLeaf, newId, pathOf, siblings, titleOf, withMessage } from "../src/lib/tree";
import { type Chat, type Message, plainSettings } from "../src/lib/types";

const message = (id: string, parent: string | null, role: Message["role"] = "user"): Message => ({ id, parent, role, content: id, time: 1 });
const chat = (...messages: Message[]): Chat => ({
  bezel_chat: 1,
  id: "aaaaaaaa",
  title: "T",
  created: 1,
  updated: 1,
  model: "m",
  leaf: messages.at(-1)?.id ?? null,
  settings: plainSettings,
  messages,
});

test("a path goes from the first message to the leaf", () => {
  const c = chat(message("q", null), message("a1", "q", "assistant"), message("a2", "q", "assistant"));
  expect(pathOf(c).map((m) => m.id)).toEqual(["q", "a2"]);
  expect(pathOf(c, "a1").map((m) => m.id)).toEqual(["q", "a1"]);
  expect(pathOf(c, null)).toEqual([]);
});

test("a tree in circles or with a missing parent ends", () => {
  const c = chat(message("a", "b"), message("b", "a"));
  expect(pathOf(c).length).toBeLessThanOrEqual(3);
  expect(pathOf(chat(message("x", "gone"))).map((m) => m.id)).toEqual(["x"]);
  expect(["a", "b"]).toContain(newestLeaf(c, "a"));
});

test("siblings stand in the same place; the newest leaf is the end of the last branch", () => {
  const c = chat(message("q", null), message("a1", "q", "assistant"), message("a2", "q", "assistant"), message("r", "a2"));
  expect(siblings(c, c.messages[1]).map((m) => m.id)).toEqual(["a1", "a2"]);
  expect(newestLeaf(c, "q")).toBe("r");
  expect(newestLeaf(c, "a1")).toBe("a1");
});

test("a new message makes a new chat and leaves the old one", () => {
  const c = chat(message("q", null));
  const d = withMessage(c, message("a", "q", "assistant"));
  expect(c.messages.length).toBe(1);
  expect(d.leaf).toBe("a");
});

test("two versions of a chat become one with the messages of both", () => {
  const ours = chat(message("q", null), { ...message("a", "q", "assistant"), content: "longer" });
  const theirs = chat(message("q", null), message("a", "q", "assistant"), message("b", "q", "assistant"));
  const both = merged(ours, theirs);
  expect(both.messages.map((m) => m.id).sort()).toEqual(["a", "b", "q"]);
  expect(both.messages.find((m) => m.id === "a")?.content).toBe("longer");
  expect(both.leaf).toBe("a");
});

test("titles are short and ids fit the server", () => {
  expect(titleOf("  hello\n world ")).toBe("hello world");
  expect(titleOf("word ".repeat(40)).length).toBeLessThan(62);
  expect(titleOf("")).toBe("New chat");
  for (let before = 0; before < 60; ++before) expect(titleOf("a".repeat(before) + "😀".repeat(61))).toMatch(/^a*😀+…$|^a{30}…$/u);
  expect(newId()).toMatch(/^[A-Za-z0-9_-]{8,64}$/);
  expect(newId()).not.toBe(newId());
});
