// Where messages are written: text, files, and what is switched on.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { ask, running, stop, tokensOf } from "../lib/run";
import { current, modelFacts, noModel, report, say, setSettings } from "../lib/state";
import { number } from "../lib/text";
import { readText } from "../lib/transfer";
import type { TextFile } from "../lib/types";
import { Icon, IconButton } from "./icons";
import { showSettings } from "./settings";

export const files = signal<TextFile[]>([]);
const draft = signal("");
const mostFiles = 10;

/** Takes text files into the next message; says of the others why not. */
export async function addFiles(list: File[]): Promise<void> {
  for (const file of list) {
    try {
      if (files.value.length >= mostFiles) throw new Error(`A message takes ${mostFiles} files.`);
      const text = await readText(file);
      files.value = [...files.value, { name: file.name, text }];
      say(`${file.name} added.`);
    } catch (error) {
      report(error);
    }
  }
}

function Meter({ chat }: { chat: string }) {
  const most = modelFacts.value.context ?? 0;
  const now = tokensOf(chat);
  if (!most) return null;
  const part = Math.min(1, now / most);
  const level = part > 0.95 ? "full" : part > 0.8 ? "high" : "";
  const words = `${number(now)} of ${number(most)} tokens of context`;
  return (
    <span
      class={`meter ${level}`}
      role="meter"
      aria-label="Context"
      aria-valuemin={0}
      aria-valuemax={most}
      aria-valuenow={Math.min(now, most)}
      aria-valuetext={words}
      title={words}
    >
      <svg viewBox="0 0 20 20" aria-hidden="true">
        <circle cx="10" cy="10" r="8" />
        <circle class="part" cx="10" cy="10" r="8" pathLength={100} stroke-dasharray={`${part * 100} 100`} />
      </svg>
      <span class="meter-text">
        {number(now)} / {number(most)}
      </span>
    </span>
  );
}

function Chips() {
  const chat = current.value;
  if (!chat) return null;
  const s = chat.settings;
  const tools = s.tools.length + (s.ownTools.trim() ? 1 : 0);
  return (
    <>
      {modelFacts.value.thinking && (
        <button type="button" class="chip" aria-pressed={s.think} onClick={() => setSettings({ think: !s.think })}>
          <Icon name="bulb" />
          Think
        </button>
      )}
      <button type="button" class={`chip ${tools ? "on" : ""}`} onClick={() => showSettings("tools")}>
        <Icon name="tool" />
        Tools{tools ? ` (${tools})` : ""}
      </button>
      <button type="button" class={`chip ${s.form === "text" ? "" : "on"}`} onClick={() => showSettings("form")}>
        <Icon name="braces" />
        {s.form === "text" ? "Form" : s.form === "json" ? "JSON" : "Schema"}
      </button>
      {s.system.trim() && (
        <button type="button" class="chip on system-chip" onClick={() => showSettings("system")}>
          System prompt
        </button>
      )}
    </>
  );
}

export function Composer() {
  const chat = current.value;
  const area = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const run = chat ? running.value.get(chat.id) : undefined;
  useEffect(() => area.current?.focus(), [chat?.id]);
  useLayoutEffect(() => {
    const a = area.current;
    if (!a) return;
    a.style.height = "auto";
    a.style.height = `${Math.min(a.scrollHeight, innerHeight * 0.4)}px`;
  }, [draft.value]);
  if (!chat) return null;
  const empty = !draft.value.trim() && !files.value.length;
  const send = () => {
    if (empty || run || noModel.value) return;
    ask(chat.id, draft.value.trim(), files.value);
    draft.value = "";
    files.value = [];
  };
  return (
    <form
      class="composer"
      onSubmit={(e) => {
        e.preventDefault();
        send();
      }}
    >
      {files.value.length > 0 && (
        <ul class="files" aria-label="Files">
          {files.value.map((f, i) => (
            <li key={i}>
              <Icon name="file" />
              <span>{f.name}</span>
              <IconButton
                icon="close"
                label={`Remove ${f.name}`}
                onClick={() => (files.value = files.value.filter((_, j) => j !== i))}
              />
            </li>
          ))}
        </ul>
      )}
      <textarea
        ref={area}
        id="draft"
        rows={1}
        placeholder="Write a message"
        aria-label="Message"
        aria-describedby="draft-keys"
        value={draft.value}
        onInput={(e) => (draft.value = e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
          e.preventDefault();
          send();
        }}
        onPaste={(e) => {
          const pasted = Array.from(e.clipboardData?.files ?? []);
          if (!pasted.length) return;
          e.preventDefault();
          void addFiles(pasted);
        }}
      />
      <span id="draft-keys" class="hidden">
        Enter sends, Shift and Enter begin a new line.
      </span>
      <div class="composer-row">
        <IconButton icon="attach" label="Add text files" onClick={() => picker.current?.click()} />
        <input
          ref={picker}
          class="hidden"
          type="file"
          multiple
          tabIndex={-1}
          aria-hidden="true"
          aria-label="Text files"
          onChange={(e) => {
            void addFiles(Array.from(e.currentTarget.files ?? []));
            e.currentTarget.value = "";
          }}
        />
        <div class="chips">
          <Chips />
        </div>
        <Meter chat={chat.id} />
        {run ? (
          <button type="button" class="send stop" aria-label="Stop" title="Stop (Esc)" onClick={() => stop(chat.id)}>
            <Icon name="stop" />
          </button>
        ) : (
          <button type="submit" class="send" aria-label="Send" title="Send (Enter)" disabled={empty || noModel.value}>
            <Icon name="send" />
          </button>
        )}
      </div>
    </form>
  );
}
