// Answers under way: streaming, tools, stopping.
import { signal } from "@preact/signals";

import { answer, type Delta } from "./api";
import { requestOf } from "./request";
import { chatOf, modelOf, readFactsOf, removeChat, saveSoon, say, update } from "./state";
import { builtIn, runTool } from "./tools";
import { newestLeaf, newId, pathOf, questionOf, siblings, titleOf, withChange, withMessage } from "./tree";
import type { Call, Message, TextFile } from "./types";

export interface Run {
  message: string;
  stop: AbortController;
  begun: number;
  /** Time of the first piece, and how many pieces have come: about one for a token. */
  first: number;
  pieces: number;
}

/** By chat. */
export const running = signal<ReadonlyMap<string, Run>>(new Map());
const mostRounds = 16;
const saveEvery = 3000; // milliseconds, while an answer streams

function setRun(chat: string, run: Run | null): void {
  const next = new Map(running.value);
  if (run) next.set(chat, run);
  else next.delete(chat);
  running.value = next;
}

export function stop(chat: string): void {
  running.value.get(chat)?.stop.abort();
}

/** Deletes a chat for good, and ends the answer that it may be getting. */
export function remove(chat: string): Promise<void> {
  stop(chat);
  return removeChat(chat);
}

/** Asks below the shown path, or in place of a message (`parent` given) as a branch of its own. */
export function ask(chatId: string, content: string, files: TextFile[], parent?: string | null): void {
  const chat = chatOf(chatId);
  if (!chat || running.value.has(chatId)) return;
  const message: Message = {
    id: newId(),
    parent: parent === undefined ? chat.leaf : parent,
    role: "user",
    content,
    time: Date.now(),
    ...(files.length ? { files } : {}),
  };
  update(chatId, (c) => ({
    ...withMessage(c, message),
    title: c.messages.length ? c.title : titleOf(content || files[0]?.name || ""),
  }));
  history.replaceState(null, "", `#/c/${chatId}`);
  void generate(chatId, message.id);
}

/** Another answer to the question that a message belongs to. */
export function regenerate(chatId: string, id: string): void {
  const chat = chatOf(chatId);
  const question = chat && questionOf(chat, id);
  if (question && !running.value.has(chatId)) void generate(chatId, question.id);
}

/** An answer as the person would have it, beside the model's own. */
export function rewrite(chatId: string, message: Message, content: string): void {
  const { id: _, stats: _s, error: _e, ...rest } = message;
  const next: Message = { ...rest, id: newId(), content, time: Date.now(), edited: true, finish: "stop" };
  update(chatId, (c) => withMessage(c, next));
  saveSoon(chatId);
}

/** Shows the branch that stands `step` places after a message's own. */
export function showBranch(chatId: string, message: Message, step: number): void {
  const chat = chatOf(chatId);
  if (!chat) return;
  const all = siblings(chat, message);
  const next = all[all.findIndex((m) => m.id === message.id) + step];
  if (!next) return;
  update(chatId, (c) => ({ ...c, leaf: newestLeaf(c, next.id) }));
  saveSoon(chatId);
}

/** A tool's result that was typed in; goes on when it was the last one missing. */
export function giveResult(chatId: string, message: Message, call: Call, result: string): void {
  const calls = (message.calls ?? []).map((c) => (c.id === call.id ? { ...c, result } : c));
  update(chatId, (c) => withChange(c, message.id, { calls }));
  if (calls.every((c) => c.result !== undefined)) void generate(chatId, message.id, true);
}

/** Answers what the message `parent` leaves open, and makes the calls that the answer wants. */
async function generate(chatId: string, parent: string, again = false): Promise<void> {
  let at: string | null = parent;
  for (let round = 0; at !== null && round < mostRounds; ++round) {
    const finished: Message | null = await one(chatId, at, again || round > 0);
    at = finished && callTools(chatId, finished) ? finished.id : null;
  }
  saveSoon(chatId);
}

/** Whether every call has its result, so that the model can go on. */
function callTools(chatId: string, message: Message): boolean {
  if (message.finish !== "tool_calls" || !message.calls?.length) return false;
  const calls = message.calls.map((c) => (builtIn.has(c.name) ? { ...c, result: runTool(c.name, c.arguments) } : c));
  update(chatId, (c) => withChange(c, message.id, { calls }));
  return calls.every((c) => c.result !== undefined);
}

/** One answer; null when it failed or was stopped. */
async function one(chatId: string, parent: string, again: boolean): Promise<Message | null> {
  const chat = chatOf(chatId);
  if (!chat || running.value.has(chatId)) return null;
  const message: Message = { id: newId(), parent, role: "assistant", content: "", time: Date.now() };
  if (chat.settings.form !== "text") message.json = true;
  const model = modelOf(chat);
  const body = requestOf({ ...chat, model }, parent, again);
  update(chatId, (c) => ({ ...withMessage(c, message), model }));
  saveSoon(chatId);
  const run: Run = { message: message.id, stop: new AbortController(), begun: performance.now(), first: 0, pieces: 0 };
  setRun(chatId, run);
  say("The model is answering.");
  const draft = new Draft(chatId, message, run);
  try {
    for await (const delta of answer(body, run.stop.signal)) {
      draft.add(delta);
      if (run.pieces === 1) void readFactsOf(model);
    }
    draft.end();
  } catch (error) {
    if (run.stop.signal.aborted) draft.end("stopped");
    else draft.end("error", error instanceof Error ? error.message : String(error));
  }
  setRun(chatId, null);
  void readFactsOf(model);
  return draft.message.finish === "tool_calls" ? draft.message : null;
}

/** An answer that grows; the page sees it once a frame. */
class Draft {
  private frame = 0;
  private saved = performance.now();
  private said = 0;

  constructor(
    private chat: string,
    public message: Message,
    private run: Run,
  ) {}

  add(delta: Delta): void {
    const m = { ...this.message };
    if (delta.content) m.content += delta.content;
    if (delta.thought) m.thought = (m.thought ?? "") + delta.thought;
    for (const piece of delta.calls ?? []) {
      const calls = [...(m.calls ?? [])];
      const old = calls[piece.index] ?? { id: piece.id ?? newId(), name: "", arguments: "" };
      calls[piece.index] = {
        ...old,
        name: old.name + (piece.name ?? ""),
        arguments: old.arguments + (piece.arguments ?? ""),
      };
      m.calls = calls;
    }
    if (delta.finish) m.finish = delta.finish as Message["finish"];
    if (delta.content || delta.thought || delta.calls) this.count();
    if (delta.usage) {
      const first = this.run.first || performance.now();
      m.stats = {
        ...delta.usage,
        wait: (first - this.run.begun) / 1000,
        seconds: (performance.now() - first) / 1000,
      };
    }
    this.message = m;
    this.frame ||= requestAnimationFrame(() => this.show());
  }

  end(finish?: Message["finish"], error?: string): void {
    const m = { ...this.message, finish: finish ?? this.message.finish ?? "stop" };
    if (error) m.error = error;
    if (!m.stats && this.run.pieces)
      m.stats = { prompt: 0, cached: 0, answer: this.run.pieces, ...this.times() };
    this.message = m;
    cancelAnimationFrame(this.frame);
    this.show();
    this.speak(true);
    if (finish === "stopped") say("Stopped.");
    if (error) say(`The answer failed: ${error}`);
  }

  private times() {
    return { wait: (this.run.first - this.run.begun) / 1000, seconds: (performance.now() - this.run.first) / 1000 };
  }

  private count(): void {
    if (!this.run.pieces++) this.run.first = performance.now();
  }

  private show(): void {
    this.frame = 0;
    update(this.chat, (c) => withChange(c, this.message.id, this.message));
    this.speak(false);
    if (performance.now() - this.saved > saveEvery) {
      this.saved = performance.now();
      saveSoon(this.chat);
    }
  }

  /** Whole paragraphs, as they are done. */
  private speak(all: boolean): void {
    const text = this.message.content;
    const end = all ? text.length : text.lastIndexOf("\n\n");
    if (end <= this.said) return;
    say(text.slice(this.said, end).trim());
    this.said = end;
  }
}

/** Tokens that the shown path takes of the context, as far as the server has counted. */
export function tokensOf(chatId: string): number {
  const chat = chatOf(chatId);
  const counted = chat && pathOf(chat).findLast((m) => m.stats?.prompt);
  return counted?.stats ? counted.stats.prompt + counted.stats.answer : 0;
}
