// One message: what was said, thought and called, and what can be done with it.
import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { ask, giveResult, regenerate, rewrite, type Run, running, showBranch } from "../lib/run";
import { report, say } from "../lib/state";
import { copy, number } from "../lib/text";
import { builtIn } from "../lib/tools";
import type { Call, Message } from "../lib/types";
import { Icon, IconButton } from "./icons";
import { Markdown } from "./markdown";

function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 1).replace(/\n\s*/g, " ");
  } catch {
    return json;
  }
}

/** JSON as a block of code, set out in lines once it is whole. */
function jsonBlock(text: string): string {
  if (!text) return "";
  try {
    return `~~~~~json\n${JSON.stringify(JSON.parse(text), null, 2)}\n~~~~~`;
  } catch {
    return `~~~~~json\n${text}`;
  }
}

function ToolCall({ chat, message, call }: { chat: string; message: Message; call: Call }) {
  const [result, setResult] = useState("");
  const waits = message.finish === "tool_calls" && call.result === undefined && !builtIn.has(call.name);
  return (
    <div class="call">
      <div class="call-head">
        <Icon name="tool" />
        <span class="call-name">{call.name || "…"}</span>
        <code tabIndex={0}>{pretty(call.arguments)}</code>
      </div>
      {call.result !== undefined && (
        <div class="call-result">
          <span class="label">Result</span>
          <pre tabIndex={0}>{call.result}</pre>
        </div>
      )}
      {waits && (
        <form
          class="call-form"
          onSubmit={(e) => {
            e.preventDefault();
            giveResult(chat, message, call, result);
          }}
        >
          <label>
            Result of {call.name}
            <textarea rows={2} value={result} onInput={(e) => setResult(e.currentTarget.value)} />
          </label>
          <button type="submit" class="button primary">
            Send result
          </button>
        </form>
      )}
    </div>
  );
}

function Thought({ text, live }: { text: string; live: boolean }) {
  const [open, setOpen] = useState(false);
  return (
    <details class="thought" onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>
        <Icon name="bulb" />
        {live ? "Thinking…" : "Thought"}
        <span class="count">{number(text.trim().split(/\s+/).length)} words</span>
      </summary>
      {open && <Markdown text={text} />}
    </details>
  );
}

function Branches({ chat, message, place, places, busy }: Props & { busy: boolean }) {
  if (places < 2) return null;
  const go = (step: number) => {
    showBranch(chat, message, step);
    say(`Branch ${place + step + 1} of ${places}`);
  };
  return (
    <span class="branches" role="group" aria-label="Branches">
      <IconButton icon="left" label="Previous branch" disabled={busy || place === 0} onClick={() => go(-1)} />
      <span>
        {place + 1}/{places}
      </span>
      <IconButton icon="right" label="Next branch" disabled={busy || place === places - 1} onClick={() => go(1)} />
    </span>
  );
}

/** Stays open while the chat is busy: what is written cannot be sent then. */
function Editor({ message, busy, done }: { message: Message; busy: boolean; done: (text: string | null) => void }) {
  const area = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    area.current?.focus();
    area.current?.setSelectionRange(message.content.length, message.content.length);
  }, []);
  const finish = () => !busy && done(area.current?.value ?? null);
  return (
    <form
      class="editor"
      onSubmit={(e) => {
        e.preventDefault();
        finish();
      }}
    >
      <textarea
        ref={area}
        aria-label={message.role === "user" ? "Your message" : "The answer"}
        defaultValue={message.content}
        rows={Math.min(14, Math.max(3, message.content.split("\n").length + 1))}
        onKeyDown={(e) => {
          if (e.key === "Escape") {
            e.stopPropagation();
            done(null);
          } else if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) {
            e.preventDefault();
            finish();
          }
        }}
      />
      <div class="row">
        <button type="button" class="button" onClick={() => done(null)}>
          Cancel
        </button>
        <button type="submit" class="button primary" disabled={busy}>
          {message.role === "user" ? "Send as a new branch" : "Keep as a new branch"}
        </button>
      </div>
    </form>
  );
}

function Speed({ message, run }: { message: Message; run?: Run }) {
  if (run && run.pieces > 1) {
    const seconds = (performance.now() - run.first) / 1000;
    return <span class="speed">≈ {(run.pieces / Math.max(seconds, 0.001)).toFixed(1)} tokens/s</span>;
  }
  const s = message.stats;
  if (!s || !s.answer) return null;
  // Where all tokens came at once, the time to the first is the one that counts.
  const rate = (s.seconds > 0.1 ? (s.answer - 1) / s.seconds : s.answer / Math.max(s.wait + s.seconds, 0.001)).toFixed(1);
  const read = s.prompt ? `${number(s.prompt)} read, ${number(s.cached)} of them reused; ` : "";
  return (
    <span class="speed" title={`${read}first token after ${s.wait.toFixed(2)} s`}>
      {number(s.answer)} tokens, {rate} tokens/s
    </span>
  );
}

function Ending({ message }: { message: Message }) {
  if (message.finish === "length") return <p class="ending">Cut: the most tokens, or the end of the context, was reached.</p>;
  if (message.finish === "stopped") return <p class="ending">Stopped.</p>;
  if (message.error) return <p class="ending error">{message.error}</p>;
  return null;
}

interface Props {
  /** The chat's id: the chat itself is another with every piece of an answer. */
  chat: string;
  message: Message;
  /** Where it stands among its branches, from 0, and how many there are. */
  place: number;
  places: number;
  last: boolean;
  /** An answer follows that goes on from this one's calls. */
  chained: boolean;
}

/** Reads a signal, and so is drawn again only when that or a property changes. */
export function MessageView(props: Props) {
  const { chat, message, last, chained } = props;
  const [editing, setEditing] = useState(false);
  const edit = useRef<HTMLSpanElement>(null);
  const run = running.value.get(chat);
  const mine = run?.message === message.id ? run : undefined;
  const busy = run !== undefined;
  const user = message.role === "user";
  const edited = (text: string | null) => {
    setEditing(false);
    setTimeout(() => edit.current?.querySelector("button")?.focus());
    if (text === null || text === message.content || !text.trim()) return;
    if (user) ask(chat, text, message.files ?? [], message.parent);
    else rewrite(chat, message, text);
  };
  const copyAll = () => copy(message.content).then(() => say("Copied."), report);
  return (
    <article class={`message ${message.role}`} aria-label={user ? "You" : "Model"} aria-busy={mine !== undefined}>
      <h2 class="hidden">{user ? "You" : "Model"}</h2>
      {message.files?.map((f) => (
        <details class="file" key={f.name}>
          <summary>
            <Icon name="file" />
            {f.name}
            <span class="count">{number(f.text.length)} characters</span>
          </summary>
          <pre tabIndex={0}>{f.text}</pre>
        </details>
      ))}
      {message.thought && <Thought text={message.thought} live={mine !== undefined && !message.content} />}
      {editing ? (
        <Editor message={message} busy={busy} done={edited} />
      ) : user ? (
        message.content && <div class="bubble">{message.content}</div>
      ) : (
        <Markdown text={message.json ? jsonBlock(message.content) : message.content} />
      )}
      {mine && !message.content && !message.thought && !message.calls && (
        <p class="waiting">
          <span class="dots" aria-hidden="true" />
          Reading
        </p>
      )}
      {message.calls?.map((c) => c && <ToolCall key={c.id} chat={chat} message={message} call={c} />)}
      <Ending message={message} />
      {chained && <Branches {...props} busy={busy} />}
      {!editing && !chained && (
        <div class={`actions ${last ? "shown" : ""}`}>
          <Branches {...props} busy={busy} />
          {!mine && (
            <>
              {message.content && <IconButton icon="copy" label="Copy" onClick={copyAll} />}
              <span ref={edit}>
                <IconButton icon="edit" label="Edit" disabled={busy} onClick={() => setEditing(true)} />
              </span>
              {!user && (
                <IconButton icon="again" label="Answer again" disabled={busy} onClick={() => regenerate(chat, message.id)} />
              )}
            </>
          )}
          {message.edited && <span class="speed">edited</span>}
          {!user && <Speed message={message} run={mine} />}
        </div>
      )}
    </article>
  );
}
