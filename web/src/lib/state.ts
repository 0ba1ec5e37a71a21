// What the page shows, and what keeps it saved.
import { computed, signal } from "@preact/signals";

import { ApiError, deleteChat, getChat, getFacts, getModels, listChats, needsKey, putChat } from "./api";
import { chatFrom, shortTitle } from "./transfer";
import { merged, newId } from "./tree";
import { type Chat, type ChatHead, type Facts, plainSettings, type Settings } from "./types";

export const facts = signal<Facts | null>(null);
export const models = signal<string[]>([]);
/** Chats that were opened or made, by id. */
const open = signal<Map<string, Chat>>(new Map());
const currentId = signal<string>("");
export const current = computed<Chat | null>(() => open.value.get(currentId.value) ?? null);
/** No model is here that could answer, but one can be pulled. */
export const noModel = computed(() => facts.value?.store === true && !models.value.length);
/** What is known of the model that answers in the shown chat: nothing before it is loaded. */
export const modelFacts = computed<Partial<Facts>>(() => {
  const known = facts.value;
  if (!known) return {};
  return !known.store || (known.loaded && known.model === modelOf(current.value)) ? known : {};
});
export const heads = signal<ChatHead[]>([]);
export const total = signal(0);
export const search = signal("");
/** A sentence across the top of the page, until it is closed or no longer true. */
export const problem = signal<{ text: string; kind: "save" | "other" } | null>(null);
/** Said to screen readers, one after the other. */
export const spoken = signal<{ id: number; text: string }[]>([]);

const settingsName = "bezel-settings";
const listed = 200;

export function say(text: string): void {
  const id = (spoken.value.at(-1)?.id ?? 0) + 1;
  spoken.value = [...spoken.value.slice(-30), { id, text }];
}

export function report(error: unknown, kind: "save" | "other" = "other"): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (error instanceof ApiError && error.status === 401) return; // the key is asked for
  problem.value = { text: error instanceof Error ? error.message : String(error), kind };
}

// ---- chats

/** The settings that new chats begin with: those used last. */
function lastSettings(): Settings {
  try {
    return { ...plainSettings, ...JSON.parse(localStorage.getItem(settingsName) ?? "{}") };
  } catch {
    return { ...plainSettings };
  }
}

export function setSettings(change: Partial<Settings>): void {
  const chat = current.value;
  if (!chat) return;
  const settings = { ...chat.settings, ...change };
  localStorage.setItem(settingsName, JSON.stringify(settings));
  update(chat.id, (c) => ({ ...c, settings }));
  if (chat.messages.length) saveAfter(chat.id, settingsWait);
}

export function update(id: string, change: (chat: Chat) => Chat): void {
  const chat = open.value.get(id);
  if (chat) open.value = new Map(open.value).set(id, change(chat));
}

export const chatOf = (id: string) => open.value.get(id);

export function startChat(): void {
  const now = Date.now();
  const chat: Chat = {
    bezel_chat: 1,
    id: newId(),
    title: "New chat",
    created: now,
    updated: now,
    model: modelOf(current.value),
    leaf: null,
    settings: lastSettings(),
    messages: [],
  };
  open.value = new Map(open.value).set(chat.id, chat);
  show(chat.id);
}

function show(id: string): void {
  currentId.value = id;
  const wanted = chatOf(id)?.messages.length ? `#/c/${id}` : "#/";
  if (location.hash !== wanted) history.pushState(null, "", wanted);
}

export function adopt(chat: Chat, revision: number): void {
  revisions.set(chat.id, revision);
  open.value = new Map(open.value).set(chat.id, chat);
}

async function loadChat(id: string): Promise<void> {
  if (chatOf(id)) return;
  const { chat, revision } = await getChat(id);
  const read = chatFrom(chat);
  if (!read) throw new Error("This saved chat is of a kind that the page does not know.");
  adopt({ ...read, id }, revision);
}

export async function openChat(id: string): Promise<void> {
  await loadChat(id);
  show(id);
}

/** The chat that the address names, or a new one. */
export async function openFromAddress(): Promise<void> {
  const id = location.hash.match(/^#\/c\/([\w-]+)$/)?.[1];
  if (!id) return startChat();
  try {
    await openChat(id);
  } catch (error) {
    report(error);
    startChat();
  }
}

export async function removeChat(id: string): Promise<void> {
  if (id === currentId.value) startChat();
  const left = new Map(open.value);
  left.delete(id);
  open.value = left; // first, so that nothing saves it again
  await saving.get(id);
  if (facts.value?.chats)
    await deleteChat(id).catch((e) => {
      if (!(e instanceof ApiError) || e.status !== 404) throw e; // 404: it was never saved
    });
  revisions.delete(id);
  await refreshList();
}

export async function rename(id: string, title: string): Promise<void> {
  await loadChat(id);
  update(id, (c) => ({ ...c, title: shortTitle(title) || c.title }));
  saveSoon(id);
}

export function setModel(model: string): void {
  const chat = current.value;
  if (!chat) return;
  update(chat.id, (c) => ({ ...c, model }));
  if (chat.messages.length) saveSoon(chat.id);
}

// ---- models

/** The name of the model that answers in a chat: its own where that is here, else the server's choice. */
export function modelOf(chat: Chat | null): string {
  const list = models.value;
  const usual = facts.value?.model ?? "";
  if (chat && list.includes(chat.model)) return chat.model;
  return list.includes(usual) ? usual : (list[0] ?? usual);
}

export async function readModels(): Promise<void> {
  const now = await getFacts();
  models.value = await getModels();
  facts.value = now;
}

/** Asks for the facts again when a model answers that they are not about. */
export async function readFactsOf(model: string): Promise<void> {
  const known = facts.value;
  if (!known?.store || (known.loaded && known.model === model)) return;
  facts.value = await getFacts().catch(() => facts.value); // the next answer asks again
}

// ---- the list

let listing: AbortController | null = null;

export async function refreshList(): Promise<void> {
  if (!facts.value?.chats) {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const inMemory = [...open.value.values()].filter((c) => c.messages.length);
    const fits = (c: Chat) => words.every((w) => `${c.title}\n${c.messages.map((m) => m.content).join("\n")}`.toLowerCase().includes(w));
    heads.value = inMemory
      .filter(fits)
      .sort((a, b) => b.updated - a.updated)
      .map(({ id, title, created, updated }) => ({ id, title, created, updated, revision: 0, bytes: 0 }));
    total.value = heads.value.length;
    return;
  }
  listing?.abort();
  listing = new AbortController();
  try {
    const list = await listChats(search.value, listed, listing.signal);
    heads.value = list.chats;
    total.value = list.total;
  } catch (error) {
    report(error);
  }
}

// ---- saving: one request at a time for each chat, the newest state last

const revisions = new Map<string, number>();
const saving = new Map<string, Promise<void>>();
const dirty = new Set<string>();
const timers = new Map<string, number>();
const tryAgain = 20_000; // milliseconds
const settingsWait = 500;

export function saveSoon(id: string): void {
  if (!facts.value?.chats) {
    void refreshList();
    return;
  }
  dirty.add(id);
  if (!saving.has(id)) saving.set(id, saveAll(id));
}

/** Saves after a while, or with the next change that does not wait. */
function saveAfter(id: string, milliseconds: number): void {
  if (!facts.value?.chats) return;
  dirty.add(id);
  clearTimeout(timers.get(id));
  timers.set(id, setTimeout(() => dirty.has(id) && saveSoon(id), milliseconds));
}

async function saveAll(id: string): Promise<void> {
  try {
    while (dirty.delete(id)) await save(id);
    if (problem.value?.kind === "save") problem.value = null;
  } catch (error) {
    saveAfter(id, tryAgain);
    report(saveProblem(error), "save");
    return;
  } finally {
    saving.delete(id); // at once: what changes from here on is saved anew
  }
  await refreshList();
}

function saveProblem(error: unknown): Error {
  const why = error instanceof Error ? error.message : String(error);
  if (error instanceof ApiError && error.status === 507)
    return new Error(`This chat is not saved: ${why}. You can go on; export what you want to keep.`);
  return new Error(`This chat is not saved: ${why}`);
}

async function save(id: string): Promise<void> {
  const chat = chatOf(id);
  if (!chat) return;
  try {
    revisions.set(id, await putChat(chat, revisions.get(id) ?? 0));
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 412) throw error;
    // Another tab saved it meanwhile: both together.
    const stored = await getChat(id).catch((e) => {
      if (e instanceof ApiError && e.status === 404) return { chat: null, revision: 0 };
      throw e;
    });
    const theirs = chatFrom(stored.chat);
    if (theirs) update(id, (ours) => merged(ours, theirs));
    const both = chatOf(id);
    if (both) revisions.set(id, await putChat(both, stored.revision));
  }
}

/** The last words before the page goes: as much as the browser lets through. */
export function saveNow(): void {
  for (const id of dirty) {
    const chat = chatOf(id);
    if (chat) putChat(chat, revisions.get(id) ?? 0, true).catch(() => {});
  }
}

// ---- the beginning

export async function start(): Promise<void> {
  try {
    await readModels();
    await openFromAddress();
    await refreshList();
  } catch (error) {
    if (!needsKey.value) report(error);
  }
}
