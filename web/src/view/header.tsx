// The bar above a chat: its name, the model, files out of it, how the page looks.
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";

import { current, facts, modelOf, models, setModel } from "../lib/state";
import { download, fileName, markdownOf } from "../lib/transfer";
import { IconButton } from "./icons";
import { ModelsButton } from "./models";
import { Rename } from "./rename";
import { showSettings } from "./settings";
import { sidebarShown } from "./sidebar";

type Theme = "auto" | "light" | "dark";
const themeName = "bezel-theme";
const stored = localStorage.getItem(themeName);
const theme = signal<Theme>(stored === "light" || stored === "dark" ? stored : "auto");
theme.subscribe((t) => {
  if (t === "auto") localStorage.removeItem(themeName);
  else localStorage.setItem(themeName, t);
  document.documentElement.dataset.theme = t;
});
const nextTheme: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const themeIcon = { auto: "auto", light: "sun", dark: "moon" } as const;

function Share() {
  const [shown, setShown] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!shown) return;
    box.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus();
    const away = (e: Event) => !box.current?.contains(e.target as Node) && setShown(false);
    document.addEventListener("pointerdown", away);
    return () => document.removeEventListener("pointerdown", away);
  }, [shown]);
  const close = () => {
    setShown(false);
    box.current?.querySelector<HTMLElement>("button")?.focus();
  };
  const keys = (e: KeyboardEvent) => {
    if (!shown) return;
    if (e.key === "Escape") {
      e.stopPropagation();
      close();
    }
    if (e.key !== "ArrowDown" && e.key !== "ArrowUp") return;
    e.preventDefault();
    const items = [...(box.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    items[(at + (e.key === "ArrowDown" ? 1 : items.length - 1)) % items.length]?.focus();
  };
  const chat = current.value;
  const save = (ending: string, type: string, text: string) => {
    close();
    download(fileName(chat?.title ?? "", ending), new Blob([text], { type }));
  };
  return (
    <div class="menu" ref={box} onKeyDown={keys}>
      <IconButton
        icon="share"
        label="Save this chat as a file"
        expanded={shown}
        disabled={!chat?.messages.length}
        onClick={() => setShown(!shown)}
      />
      {shown && chat && (
        <div class="menu-items" role="menu">
          <button type="button" role="menuitem" onClick={() => save("json", "application/json", JSON.stringify(chat, null, 1))}>
            With all branches (.json)
          </button>
          <button type="button" role="menuitem" onClick={() => save("md", "text/markdown", markdownOf(chat))}>
            What is shown, to read (.md)
          </button>
        </div>
      )}
    </div>
  );
}

export function Header({ showKeys }: { showKeys: () => void }) {
  const chat = current.value;
  const [naming, setNaming] = useState(""); // the id of the chat that gets a name
  const list = models.value;
  return (
    <header class="header">
      <IconButton
        icon="menu"
        label={sidebarShown.value ? "Hide the list of chats" : "Show the list of chats"}
        keys="Alt+B"
        expanded={sidebarShown.value}
        onClick={() => (sidebarShown.value = !sidebarShown.value)}
      />
      {chat && naming === chat.id ? (
        <Rename id={chat.id} title={chat.title} label="Name of this chat" done={() => setNaming("")} />
      ) : (
        <h1 class="title">
          {chat?.messages.length ? (
            <button type="button" title="Rename" onClick={() => setNaming(chat.id)}>
              {chat.title}
            </button>
          ) : (
            "New chat"
          )}
        </h1>
      )}
      <span class="space" />
      {chat && list.length > 0 && (
        <select
          id="model"
          class={`model ${list.length === 1 || facts.value?.store ? "wide-only" : ""}`}
          aria-label="Model"
          value={modelOf(chat)}
          onChange={(e) => setModel(e.currentTarget.value)}
        >
          {list.map((m) => (
            <option key={m}>{m}</option>
          ))}
        </select>
      )}
      {facts.value?.store && <ModelsButton />}
      <Share />
      <IconButton icon="keys" class="wide-only" label="Keys" keys="Ctrl+/" onClick={showKeys} />
      <IconButton
        icon={themeIcon[theme.value]}
        label={`Colours: ${theme.value === "auto" ? "as the device" : theme.value}`}
        onClick={() => (theme.value = nextTheme[theme.value])}
      />
      <IconButton icon="gear" label="Settings" keys="Alt+S" onClick={() => showSettings()} />
    </header>
  );
}
