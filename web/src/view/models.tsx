// The models on the server's machine: choose, pull, delete.
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";

import { current, modelOf, setModel } from "../lib/state";
import { forgetOutcome, modelsShown, outcome, percent, progressText, pull, pulling, type Pull, readStored, removeModel, stored } from "../lib/store";
import { size } from "../lib/text";
import type { StoredModel } from "../lib/types";
import { AskToDelete, Dialog } from "./dialog";
import { IconButton } from "./icons";

const wanted = signal(""); // the name that is typed

export function ModelsButton() {
  const p = pulling.value;
  return (
    <IconButton
      icon="models"
      label={p ? `Models: ${percent(p)} % of ${p.model} is here` : "Models"}
      note={p ? `${percent(p)}%` : undefined}
      onClick={() => (modelsShown.value = true)}
    />
  );
}

function Progress({ p }: { p: Pull }) {
  return (
    <div class="pull">
      <p role="status">
        {p.model}
        {p.status && `: ${p.status}`}
      </p>
      <progress aria-label={`Pull of ${p.model}`} max={1} value={p.total ? p.here / p.total : undefined} />
      <p class="pull-numbers">{progressText(p)}</p>
      <p class="hint">It goes on when you close this, but not when you leave the page; pulling it again then goes on from there.</p>
    </div>
  );
}

/** Said as soon as it changes. */
function Outcome({ of }: { of: "pull" | "list" }) {
  const now = outcome.value;
  const text = now.of === of ? now.text : "";
  return (
    <>
      <p role="status">{now.bad ? "" : text}</p>
      <p class="problem" role="alert">
        {now.bad ? text : ""}
      </p>
    </>
  );
}

function PullForm() {
  const field = useRef<HTMLInputElement>(null);
  const p = pulling.value;
  const name = wanted.value.trim();
  const runs = p !== null;
  useEffect(() => {
    // The Cancel button is gone, and with it the focus that it may have had.
    if (!runs && document.activeElement === document.body) field.current?.focus();
  }, [runs]);
  const begin = async () => {
    field.current?.focus();
    if (name && !p && (await pull(name)) && wanted.value.trim() === name) wanted.value = "";
  };
  const cancel = () => {
    field.current?.focus();
    p?.stop.abort();
  };
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        void begin();
      }}
    >
      <div class="field">
        <label for="pull-name">Name of a model</label>
        <div class="pull-row">
          <input
            ref={field}
            id="pull-name"
            autocomplete="off"
            autocapitalize="off"
            spellcheck={false}
            aria-describedby="pull-hint"
            aria-invalid={outcome.value.bad && outcome.value.of === "pull"}
            value={wanted.value}
            onInput={(e) => (wanted.value = e.currentTarget.value)}
          />
          {p ? (
            <button key="cancel" type="button" class="button" onClick={cancel}>
              Cancel
            </button>
          ) : (
            <button key="pull" type="submit" class="button primary" disabled={!name}>
              Pull
            </button>
          )}
        </div>
        <p id="pull-hint" class="hint">
          <code>e2b</code>, <code>e4b</code>, <code>12b</code>, <code>270m</code>, <code>owner/repo</code> or <code>owner/repo:q4_k_m</code>
        </p>
      </div>
      {p && <Progress p={p} />}
      <Outcome of="pull" />
    </form>
  );
}

/** "Gemma 4 E2B, Q4_0, 3.42 GB, hugging face, loaded"; what is not known is left out. */
function describe(m: StoredModel): string {
  const kind = `${m.details.family.replace(/^gemma/, "Gemma ")} ${m.details.parameter_size}`.trim();
  return [kind, m.details.quantization_level, size(m.size), m.bezel.place, m.bezel.loaded ? "loaded" : ""].filter(Boolean).join(", ");
}

function Row({ m, removed }: { m: StoredModel; removed: () => void }) {
  const [leaving, setLeaving] = useState(false);
  const used = modelOf(current.value) === m.name;
  const use = () => {
    setModel(m.name);
    outcome.value = { of: "list", text: `${m.name} answers in this chat.`, bad: false };
  };
  return (
    <li class="stored">
      <div>
        <span class="stored-name">{m.name}</span>
        <span class="hint">{describe(m)}</span>
      </div>
      <button type="button" class="button" aria-label={used ? `In use: ${m.name}` : `Use ${m.name}`} onClick={use}>
        {used ? "In use" : "Use"}
      </button>
      {m.bezel.ours && <IconButton icon="trash" label={`Delete ${m.name}`} onClick={() => setLeaving(true)} />}
      {leaving && (
        <AskToDelete what="model" close={() => setLeaving(false)} remove={() => void removeModel(m.name).then(removed)}>
          The files of {m.name} ({size(m.size)}) will be gone from this machine.
        </AskToDelete>
      )}
    </li>
  );
}

export function ModelsDialog() {
  return modelsShown.value ? <Models /> : null;
}

function Models() {
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => {
    forgetOutcome();
    void readStored();
  }, []);
  const all = stored.value;
  return (
    <Dialog title="Models" onClose={() => (modelsShown.value = false)}>
      <PullForm />
      <h3 id="stored" class="stored-head">
        On this machine
      </h3>
      <Outcome of="list" />
      {all?.length === 0 && <p class="hint">None yet.</p>}
      <ul ref={list} tabIndex={-1} aria-labelledby="stored">
        {all?.map((m) => <Row key={m.name} m={m} removed={() => list.current?.focus()} />)}
      </ul>
    </Dialog>
  );
}
