// The tree of a chat: paths, branches, and changes that make a new chat and leave the old as it was.
import { beginning } from "./text";
import type { Chat, Message } from "./types";

/** 22 letters and digits. Not crypto.randomUUID: it is missing where a page came over plain HTTP. */
export function newId(): string {
  const letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
  const bytes = crypto.getRandomValues(new Uint8Array(22));
  return Array.from(bytes, (b) => letters[b % letters.length]).join("");
}

function byId(chat: Chat): Map<string, Message> {
  return new Map(chat.messages.map((m) => [m.id, m]));
}

/** From the first message to the leaf. Ends where a parent is missing or the tree goes in circles. */
export function pathOf(chat: Chat, leaf: string | null = chat.leaf): Message[] {
  const all = byId(chat);
  const path: Message[] = [];
  for (let at = leaf; at !== null && path.length <= chat.messages.length; ) {
    const message = all.get(at);
    if (!message) break;
    path.unshift(message);
    at = message.parent;
  }
  return path;
}

/** Messages that stand in the same place, oldest first. */
export function siblings(chat: Chat, message: Message): Message[] {
  return chat.messages.filter((m) => m.parent === message.parent && m.role === message.role);
}

/** Where the path ends that goes through a message and from there to the newest. */
export function newestLeaf(chat: Chat, id: string): string {
  let at = id;
  for (let steps = 0; steps <= chat.messages.length; ++steps) {
    const child = chat.messages.findLast((m) => m.parent === at);
    if (!child) break;
    at = child.id;
  }
  return at;
}

/** The message that a chain of answers and tool calls replies to. */
export function questionOf(chat: Chat, id: string): Message | undefined {
  const path = pathOf(chat, id);
  return path.findLast((m) => m.role === "user");
}

export function withMessage(chat: Chat, message: Message): Chat {
  return { ...chat, messages: [...chat.messages, message], leaf: message.id, updated: message.time };
}

export function withChange(chat: Chat, id: string, change: Partial<Message>): Chat {
  return { ...chat, messages: chat.messages.map((m) => (m.id === id ? { ...m, ...change } : m)) };
}

/** Both trees in one: messages only added or changed in `ours` win, those of `theirs` stay. */
export function merged(ours: Chat, theirs: Chat): Chat {
  const mine = byId(ours);
  const kept = theirs.messages.filter((m) => !mine.has(m.id));
  return { ...ours, messages: [...kept, ...ours.messages], created: Math.min(ours.created, theirs.created) };
}

export function titleOf(text: string): string {
  const line = text.trim().replace(/\s+/g, " ");
  const cut = beginning(line, 60);
  if (cut === line) return line || "New chat";
  const space = cut.lastIndexOf(" ");
  return `${space > 30 ? cut.slice(0, space) : beginning(line, 30)}…`;
}
