// The messages of the shown path, kept at their end while an answer grows.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { ask } from "../lib/run";
import { current, modelOf, noModel } from "../lib/state";
import { modelsShown } from "../lib/store";
import { pathOf, siblings } from "../lib/tree";
import type { Chat } from "../lib/types";
import { Gem, Icon } from "./icons";
import { MessageView } from "./message";

const ideas = [
  ["Explain", "why the sky is blue, in three sentences."],
  ["Write", "a polite reply that moves a meeting to Friday."],
  ["Compare", "the merge sort and the quicksort in a table."],
  ["Plan", "a week of simple suppers for two."],
];

function Welcome({ chat }: { chat: Chat }) {
  if (noModel.value)
    return (
      <div class="welcome">
        <Gem />
        <h2>No model is here yet</h2>
        <p>Pull one from the hub, and talk to it on this machine.</p>
        <div class="row">
          <button type="button" class="button primary" onClick={() => (modelsShown.value = true)}>
            Get a model
          </button>
        </div>
      </div>
    );
  return (
    <div class="welcome">
      <Gem />
      <h2>What shall we talk about?</h2>
      <p>{modelOf(chat)} runs on this server. Nothing you write goes anywhere else.</p>
      <ul class="ideas">
        {ideas.map(([verb, rest]) => (
          <li key={verb}>
            <button type="button" onClick={() => ask(chat.id, `${verb} ${rest}`, [])}>
              <strong>{verb}</strong> {rest}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

export function Conversation() {
  const chat = current.value;
  const box = useRef<HTMLDivElement>(null);
  const stuck = useRef(true);
  const [away, setAway] = useState(false);
  const toEnd = () => box.current?.scrollTo({ top: box.current.scrollHeight });

  useLayoutEffect(() => {
    if (stuck.current) toEnd();
  }, [chat]);
  useEffect(() => {
    stuck.current = true;
    toEnd();
  }, [chat?.id]);

  const scrolled = () => {
    const b = box.current;
    if (!b) return;
    stuck.current = b.scrollHeight - b.scrollTop - b.clientHeight < 60;
    if (away === stuck.current) setAway(!stuck.current);
  };
  const path = chat ? pathOf(chat) : [];
  return (
    <div class="scroll-area">
      <div class="scroll" ref={box} onScroll={scrolled} tabIndex={0} role="group" aria-label="Conversation">
        {chat && path.length === 0 && <Welcome chat={chat} />}
        {chat && (
          <div class="messages">
            {path.map((m, i) => {
              const all = siblings(chat, m);
              return (
                <MessageView
                  key={m.id}
                  chat={chat.id}
                  message={m}
                  place={all.indexOf(m)}
                  places={all.length}
                  last={i === path.length - 1}
                  chained={m.role === "assistant" && path[i + 1]?.role === "assistant"}
                />
              );
            })}
          </div>
        )}
      </div>
      {away && (
        <button type="button" class="to-end" onClick={toEnd} aria-label="To the end" title="To the end">
          <Icon name="down" />
        </button>
      )}
    </div>
  );
}
