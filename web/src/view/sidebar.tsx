// Saved chats: search, open, rename, delete, and files in and out.
import { signal } from "@preact/signals";
import { useRef, useState } from "preact/hooks";

import { exportChats } from "../lib/api";
import { remove } from "../lib/run";
import { adopt, current, facts, heads, openChat, refreshList, report, saveSoon, say, search, startChat, total } from "../lib/state";
import { chatsFrom, download } from "../lib/transfer";
import { newId } from "../lib/tree";
import type { ChatHead } from "../lib/types";
import { AskToDelete } from "./dialog";
import { Gem, Icon, IconButton } from "./icons";
import { Rename } from "./rename";

export const sidebarShown = signal(matchMedia("(min-width: 50rem)").matches);
const narrow = () => matchMedia("(max-width: 49.99rem)").matches;
const closeOnPhone = () => narrow() && (sidebarShown.value = false);

/** Takes chats out of a file's text. Each gets a new id: the one it has may be that of a saved chat. */
export async function importChats(text: string): Promise<boolean> {
  const found = chatsFrom(text);
  if (!found.length) return false;
  for (const chat of found) {
    const mine = { ...chat, id: newId() };
    adopt(mine, 0);
    saveSoon(mine.id);
    if (chat === found.at(-1)) await openChat(mine.id);
  }
  say(`${found.length} ${found.length === 1 ? "chat" : "chats"} imported.`);
  closeOnPhone();
  return true;
}

function age(time: number): string {
  const days = Math.floor((new Date().setHours(0, 0, 0, 0) - new Date(time).setHours(0, 0, 0, 0)) / 86_400_000);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return "This week";
  if (days < 31) return "This month";
  return new Date(time).toLocaleDateString("en-GB", { month: "long", year: "numeric" });
}

function Entry({ head }: { head: ChatHead }) {
  const [naming, setNaming] = useState(false);
  const [leaving, setLeaving] = useState(false);
  const here = current.value?.id === head.id;
  if (naming)
    return (
      <li class="entry">
        <Rename id={head.id} title={head.title} label="Name of the chat" done={() => setNaming(false)} />
      </li>
    );
  return (
    <li class={`entry ${here ? "here" : ""}`}>
      <button
        type="button"
        class="entry-open"
        aria-current={here ? "page" : undefined}
        onClick={() => openChat(head.id).then(closeOnPhone, report)}
      >
        <span class="entry-title">{head.title}</span>
        {head.found && <span class="entry-found">{head.found}</span>}
      </button>
      <span class="entry-actions">
        <IconButton icon="edit" label={`Rename ${head.title}`} onClick={() => setNaming(true)} />
        <IconButton icon="trash" label={`Delete ${head.title}`} onClick={() => setLeaving(true)} />
      </span>
      {leaving && (
        <AskToDelete
          what="chat"
          close={() => setLeaving(false)}
          remove={() => void remove(head.id).then(() => say("Deleted."), report)}
        >
          “{head.title}” will be gone for good.
        </AskToDelete>
      )}
    </li>
  );
}

function List() {
  const groups: [string, ChatHead[]][] = [];
  for (const head of heads.value) {
    const name = age(head.updated);
    if (groups.at(-1)?.[0] === name) groups.at(-1)![1].push(head);
    else groups.push([name, [head]]);
  }
  if (!heads.value.length)
    return <p class="list-note">{search.value ? "Nothing found." : "Chats appear here once you have written something."}</p>;
  return (
    <>
      {groups.map(([name, entries]) => (
        <section key={name} aria-label={name}>
          <h2 class="group">{name}</h2>
          <ul>
            {entries.map((h) => (
              <Entry key={h.id} head={h} />
            ))}
          </ul>
        </section>
      ))}
      {total.value > heads.value.length && (
        <p class="list-note">{total.value - heads.value.length} more; search finds them.</p>
      )}
    </>
  );
}

export function Sidebar() {
  const picker = useRef<HTMLInputElement>(null);
  const timer = useRef(0);
  const exportAll = () => exportChats().then((blob) => download("bezel-chats.json", blob), report);
  return (
    <nav id="sidebar" class="sidebar" aria-label="Chats" hidden={!sidebarShown.value}>
      <div class="sidebar-head">
        <Gem />
        <span class="brand">Bezel</span>
        <IconButton icon="close" class="phone-only" label="Close the list" onClick={() => (sidebarShown.value = false)} />
      </div>
      <button
        type="button"
        class="button new-chat"
        aria-keyshortcuts="Alt+N"
        title="New chat (Alt+N)"
        onClick={() => {
          startChat();
          closeOnPhone();
        }}
      >
        <Icon name="plus" />
        New chat
      </button>
      <div class="search" role="search">
        <Icon name="search" />
        <input
          id="search"
          type="search"
          placeholder="Search"
          aria-label="Search chats"
          aria-keyshortcuts="Control+K"
          value={search.value}
          onInput={(e) => {
            search.value = e.currentTarget.value;
            clearTimeout(timer.current);
            timer.current = window.setTimeout(refreshList, 150);
          }}
        />
      </div>
      <div class="list">
        <List />
      </div>
      <div class="sidebar-foot">
        <button type="button" class="button plain" onClick={() => picker.current?.click()}>
          Import
        </button>
        <input
          ref={picker}
          id="import"
          class="hidden"
          type="file"
          accept=".json,application/json"
          tabIndex={-1}
          aria-hidden="true"
          aria-label="Chats in a file"
          onChange={async (e) => {
            const file = e.currentTarget.files?.[0];
            e.currentTarget.value = "";
            if (!file) return;
            try {
              if (!(await importChats(await file.text()))) throw new Error(`${file.name} holds no chats of this page.`);
            } catch (error) {
              report(error);
            }
          }}
        />
        {facts.value === null ? null : facts.value.chats ? (
          <button type="button" class="button plain" onClick={exportAll} disabled={!total.value}>
            Export all
          </button>
        ) : (
          <span class="hint">Chats are not saved here.</span>
        )}
      </div>
    </nav>
  );
}
