// The server, as the page sees it.
import { signal } from "@preact/signals";

import { events, values } from "./stream";
import { toJson } from "./text";
import type { Chat, ChatHead, Facts, PullStep, StoredModel } from "./types";

/** What the server said no with. Status 0: it could not be reached. */
export class ApiError extends Error {
  constructor(
    public status: number,
    message: string,
  ) {
    super(message);
  }
}

const keyName = "bezel-key";
export const needsKey = signal(false);
/** A key was given, and it is not the right one. */
export const wrongKey = signal(false);

function key(): string {
  return sessionStorage.getItem(keyName) ?? localStorage.getItem(keyName) ?? "";
}

/** Keeps the key for this tab, or on this device. */
export function setKey(value: string, remember: boolean): void {
  sessionStorage.removeItem(keyName);
  localStorage.removeItem(keyName);
  (remember ? localStorage : sessionStorage).setItem(keyName, value);
  needsKey.value = false;
}

async function call(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (key()) headers.set("Authorization", `Bearer ${key()}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached. Is bezel serve still running?");
  }
  if (response.status === 401) {
    wrongKey.value = key() !== "";
    needsKey.value = true;
  }
  if (!response.ok) throw new ApiError(response.status, messageOf(await response.text()));
  return response;
}

/** The sentence of an answer that is an error: OpenAI's form has it in an object, Ollama's as it is. */
export function messageOf(body: string): string {
  try {
    const error = JSON.parse(body)?.error;
    const message = error?.message ?? error;
    if (typeof message === "string") return message;
  } catch {
    // no JSON: the text itself
  }
  return body.slice(0, 300) || "The server gave no reason.";
}

async function json<T>(path: string, init?: RequestInit): Promise<T> {
  return (await (await call(path, init)).json()) as T;
}

export const getFacts = () => json<Facts>("/page.json");

export async function getModels(): Promise<string[]> {
  const list = await json<{ data: { id: string }[] }>("/v1/models");
  return list.data.map((m) => m.id);
}

const withModel = (method: string, model: string, signal?: AbortSignal): RequestInit => ({
  method,
  headers: { "Content-Type": "application/json" },
  body: toJson({ model }),
  signal,
});

export const getStored = async () => (await json<{ models: StoredModel[] }>("/api/tags")).models;
export const deleteModel = (name: string) => call("/api/delete", withModel("DELETE", name));

/** Pulls a model and tells how far it is; aborting the signal stops the server too. */
export async function* pullSteps(name: string, signal: AbortSignal): AsyncGenerator<PullStep> {
  const response = await call("/api/pull", withModel("POST", name, signal));
  let whole = false;
  try {
    for await (const step of values<PullStep>(response.body!)) {
      if (step.error) throw new ApiError(500, step.error);
      whole = step.status === "success";
      yield step;
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // a TypeError: the network
  }
  if (!whole) throw new ApiError(0, "The connection ended before the model was here. Pulling again goes on where it stopped.");
}

export const listChats = (search: string, limit: number, signal?: AbortSignal) =>
  json<{ chats: ChatHead[]; total: number }>(
    `/chats?limit=${limit}${search ? `&search=${encodeURIComponent(search)}` : ""}`,
    { signal },
  );

export async function getChat(id: string): Promise<{ chat: unknown; revision: number }> {
  const response = await call(`/chats/${id}`);
  const revision = Number((response.headers.get("ETag") ?? "").replaceAll('"', ""));
  return { chat: await response.json(), revision };
}

/** The new revision. A status of 412 says that the stored chat has another than `revision`. */
export async function putChat(chat: Chat, revision: number, keepalive = false): Promise<number> {
  const body = toJson(chat);
  const headers = { "Content-Type": "application/json", "If-Match": `"${revision}"` };
  const saved = await json<{ revision: number }>(`/chats/${chat.id}`, { method: "PUT", headers, body, keepalive });
  return saved.revision;
}

export const deleteChat = (id: string) => call(`/chats/${id}`, { method: "DELETE" });
export const exportChats = async () => (await call("/chats/export")).blob();

export interface Delta {
  content?: string;
  thought?: string;
  calls?: { index: number; id?: string; name?: string; arguments?: string }[];
  finish?: string;
  usage?: { prompt: number; cached: number; answer: number };
}

/** Streams an answer; aborting the signal stops the server too. */
export async function* answer(body: object, signal: AbortSignal): AsyncGenerator<Delta> {
  const response = await call("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: toJson({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  let whole = false;
  try {
    for await (const data of events(response.body!)) {
      if (data === "[DONE]") whole = true;
      else yield deltaOf(JSON.parse(data));
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // a TypeError: the network
  }
  if (!whole) throw new ApiError(0, "The connection ended before the answer did.");
}

export function deltaOf(event: any): Delta {
  if (event.error) throw new ApiError(500, String(event.error.message ?? "The answer failed."));
  const delta: Delta = {};
  const choice = event.choices?.[0];
  if (choice?.delta?.content) delta.content = choice.delta.content;
  if (choice?.delta?.reasoning_content) delta.thought = choice.delta.reasoning_content;
  if (choice?.delta?.tool_calls)
    delta.calls = choice.delta.tool_calls.map((c: any) => ({
      index: c.index,
      id: c.id,
      name: c.function?.name,
      arguments: c.function?.arguments,
    }));
  if (choice?.finish_reason) delta.finish = choice.finish_reason;
  if (event.usage)
    delta.usage = {
      prompt: event.usage.prompt_tokens,
      cached: event.usage.prompt_tokens_details?.cached_tokens ?? 0,
      answer: event.usage.completion_tokens,
    };
  return delta;
}
