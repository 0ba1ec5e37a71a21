// The page: what is where, keys, files that are dropped, and what is said aloud.
import { signal, useSignalEffect } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";

import { needsKey, setKey, wrongKey } from "./lib/api";
import { regenerate, running, stop } from "./lib/run";
import { current, facts, openFromAddress, problem, report, saveNow, spoken, start, startChat } from "./lib/state";
import { pathOf } from "./lib/tree";
import { addFiles, Composer } from "./view/composer";
import { Conversation } from "./view/conversation";
import { Dialog } from "./view/dialog";
import { Header } from "./view/header";
import { IconButton } from "./view/icons";
import { ModelsDialog } from "./view/models";
import { SettingsPanel, showSettings } from "./view/settings";
import { importChats, Sidebar, sidebarShown } from "./view/sidebar";

const keysShown = signal(false);
const keys: [string, string][] = [
  ["Enter", "Send"],
  ["Shift + Enter", "New line"],
  ["Esc", "Stop the answer"],
  ["Ctrl + K", "Search chats"],
  ["Alt + N", "New chat"],
  ["Alt + R", "Answer again"],
  ["Alt + S", "Settings"],
  ["Alt + B", "List of chats"],
  ["Alt + M", "To the message field"],
  ["Ctrl + /", "These keys"],
];

/** At once where the field is there, so that no key is lost; else when it is. */
function focus(id: string): void {
  const field = document.getElementById(id);
  field?.focus();
  if (document.activeElement !== field) setTimeout(() => document.getElementById(id)?.focus());
}

function findChats(): void {
  sidebarShown.value = true;
  focus("search");
}

function onKey(e: KeyboardEvent): void {
  const chat = current.value;
  const dialog = document.querySelector("dialog[open]") !== null;
  if (e.key === "Escape" && !dialog && chat && running.value.has(chat.id)) return stop(chat.id);
  if (dialog) return;
  const ctrl = (e.ctrlKey || e.metaKey) && !e.altKey && !e.shiftKey;
  const alt = e.altKey && !e.ctrlKey && !e.metaKey && !e.shiftKey;
  const last = chat && pathOf(chat).at(-1);
  const action =
    ctrl && e.code === "KeyK"
      ? findChats
      : ctrl && e.key === "/"
        ? () => (keysShown.value = true)
        : alt && e.code === "KeyN"
          ? startChat
          : alt && e.code === "KeyS"
            ? () => showSettings()
            : alt && e.code === "KeyB"
              ? () => (sidebarShown.value = !sidebarShown.value)
              : alt && e.code === "KeyM"
                ? () => focus("draft")
                : alt && e.code === "KeyR" && chat && last
                  ? () => regenerate(chat.id, last.id)
                  : null;
  if (!action) return;
  e.preventDefault();
  action();
}

function KeyDialog() {
  const [value, setValue] = useState("");
  const [remember, setRemember] = useState(false);
  const leave = () => {
    needsKey.value = false;
    if (!facts.value) report(new Error("The server answers only with its key: load the page again to give it."));
  };
  return (
    <Dialog title="This server asks for a key" onClose={leave}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          if (!value.trim()) return;
          setKey(value.trim(), remember);
          void start();
        }}
      >
        <div class="field">
          <label for="key">API key</label>
          <input id="key" type="password" autocomplete="current-password" value={value} aria-invalid={wrongKey.value} onInput={(e) => setValue(e.currentTarget.value)} />
          {wrongKey.value && (
            <p class="problem" role="alert">
              That key is not the right one.
            </p>
          )}
        </div>
        <label class="choice">
          <input type="checkbox" checked={remember} onChange={(e) => setRemember(e.currentTarget.checked)} />
          Remember it on this device
        </label>
        <div class="row">
          <button type="submit" class="button primary" disabled={!value.trim()}>
            Go on
          </button>
        </div>
      </form>
    </Dialog>
  );
}

async function dropped(list: File[]): Promise<void> {
  const texts: File[] = [];
  for (const file of list) {
    const chats = file.name.endsWith(".json") && file.size < 1 << 28 && (await importChats(await file.text()));
    if (!chats) texts.push(file);
  }
  await addFiles(texts);
}

function DropZone() {
  const [over, setOver] = useState(false);
  useEffect(() => {
    let depth = 0;
    const holdsFiles = (e: DragEvent) => e.dataTransfer?.types.includes("Files") ?? false;
    const on = (name: "dragenter" | "dragover" | "dragleave" | "drop", f: (e: DragEvent) => void) => {
      const handler = (e: DragEvent) => {
        if (!holdsFiles(e)) return;
        e.preventDefault();
        f(e);
      };
      addEventListener(name, handler);
      return () => removeEventListener(name, handler);
    };
    const off = [
      on("dragenter", () => setOver(++depth > 0)),
      on("dragleave", () => setOver(--depth > 0)),
      on("dragover", () => {}),
      on("drop", (e) => {
        depth = 0;
        setOver(false);
        dropped(Array.from(e.dataTransfer?.files ?? [])).catch(report);
      }),
    ];
    return () => off.forEach((f) => f());
  }, []);
  return over ? (
    <div class="drop">
      <p>Drop text files, or saved chats</p>
    </div>
  ) : null;
}

export function App() {
  useEffect(() => {
    const moved = () => void openFromAddress();
    addEventListener("keydown", onKey);
    addEventListener("popstate", moved);
    addEventListener("pagehide", saveNow);
    void start();
    return () => {
      removeEventListener("keydown", onKey);
      removeEventListener("popstate", moved);
      removeEventListener("pagehide", saveNow);
    };
  }, []);
  useSignalEffect(() => {
    document.title = current.value?.messages.length ? `${current.value.title} · Bezel` : "Bezel";
  });
  return (
    <>
      <a class="skip" href="#draft" onClick={(e) => (e.preventDefault(), focus("draft"))}>
        To the message field
      </a>
      <div class={`page ${sidebarShown.value ? "with-sidebar" : ""}`}>
        <Sidebar />
        {sidebarShown.value && <div class="shade" onClick={() => (sidebarShown.value = false)} />}
        <div class="column">
          <Header showKeys={() => (keysShown.value = true)} />
          {problem.value && (
            <div class="problem-bar" role="alert">
              <p>{problem.value.text}</p>
              <IconButton icon="close" label="Close the message" onClick={() => (problem.value = null)} />
            </div>
          )}
          <main>
            <Conversation />
            <Composer />
          </main>
        </div>
      </div>
      <SettingsPanel />
      <ModelsDialog />
      {needsKey.value && <KeyDialog />}
      {keysShown.value && (
        <Dialog title="Keys" onClose={() => (keysShown.value = false)}>
          <dl class="keys">
            {keys.map(([key, what]) => (
              <div key={key}>
                <dt>
                  <kbd>{key}</kbd>
                </dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
          <p class="about">
            Bezel {facts.value?.version} · <a href="./licences.txt">Licences of what this page is made of</a>
          </p>
        </Dialog>
      )}
      <DropZone />
      <div class="hidden" role="log" aria-live="polite" aria-label="Announcements">
        {spoken.value.map(({ id, text }) => (
          <p key={id}>{text}</p>
        ))}
      </div>
    </>
  );
}
