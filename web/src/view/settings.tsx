// The settings of a chat, in a panel at the side.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { schemaProblem, toolsProblem } from "../lib/request";
import { current, modelFacts, setSettings } from "../lib/state";
import { builtIn } from "../lib/tools";
import { type NumberName, numberNames, plainSettings, type Settings } from "../lib/types";
import { Dialog } from "./dialog";

type Section = "system" | "sampling" | "form" | "tools";
const shown = signal<Section | null>(null);
export const showSettings = (section: Section = "system") => (shown.value = section);

interface NumberRow {
  name: NumberName;
  label: string;
  least: number;
  most: number;
  step: number;
  otherwise: string;
  what: string;
}

function rows(): NumberRow[] {
  const d = modelFacts.value.sampling;
  const shown = (x: number | undefined) => (x === undefined ? "the model's" : String(Number(x.toFixed(3))));
  const off = (x: number | undefined, none: number) => (x === none ? "off" : shown(x));
  return [
    { name: "temperature", label: "Temperature", least: 0, most: 2, step: 0.05, otherwise: shown(d?.temperature), what: "0: always the likeliest" },
    { name: "top_k", label: "Top k", least: 0, most: 1000, step: 1, otherwise: off(d?.top_k, 0), what: "only the k likeliest; 0: all" },
    { name: "top_p", label: "Top p", least: 0, most: 1, step: 0.01, otherwise: off(d?.top_p, 1), what: "the likeliest that make up this share" },
    { name: "min_p", label: "Min p", least: 0, most: 1, step: 0.01, otherwise: off(d?.min_p, 0), what: "at least this share of the likeliest" },
    { name: "repetition_penalty", label: "Repetition penalty", least: 0.5, most: 2, step: 0.01, otherwise: "off", what: "1: none" },
    { name: "presence_penalty", label: "Presence penalty", least: -2, most: 2, step: 0.1, otherwise: "off", what: "for words already used" },
    { name: "frequency_penalty", label: "Frequency penalty", least: -2, most: 2, step: 0.1, otherwise: "off", what: "for each time used" },
    { name: "seed", label: "Seed", least: 0, most: 2 ** 53 - 1, step: 1, otherwise: "random", what: "the same seed gives the same answer" },
    { name: "max_tokens", label: "Most tokens", least: 1, most: 2 ** 30, step: 1, otherwise: "no limit", what: "of an answer" },
  ];
}

/** Keeps what is typed to itself until the field is left or Enter pressed: half a number may be out of its bounds. */
function NumberField({ row, value }: { row: NumberRow; value: number | undefined }) {
  const field = useRef<HTMLInputElement>(null);
  const write = (n: number | undefined) => field.current && (field.current.value = String(n ?? ""));
  useLayoutEffect(() => void write(value), [value]);
  const take = (typed: number) => {
    const whole = row.step === 1 ? Math.round(typed) : typed;
    const n = Number.isNaN(typed) ? undefined : Math.min(row.most, Math.max(row.least, whole));
    write(n);
    setSettings({ [row.name]: n });
  };
  return (
    <div class="number">
      <label for={`set-${row.name}`}>
        {row.label} <span class="hint">{row.what}</span>
      </label>
      <input
        ref={field}
        id={`set-${row.name}`}
        type="number"
        min={row.least}
        max={row.most}
        step={row.step}
        placeholder={row.otherwise}
        onChange={(e) => take(e.currentTarget.valueAsNumber)}
      />
    </div>
  );
}

function Area(p: { id: string; label: string; rows: number; value: string; hint?: string; problem?: string; code?: boolean; onInput: (x: string) => void }) {
  return (
    <div class="field">
      <label for={p.id}>
        {p.label} {p.hint && <span class="hint">{p.hint}</span>}
      </label>
      <textarea
        id={p.id}
        class={p.code ? "mono" : ""}
        rows={p.rows}
        spellcheck={!p.code}
        value={p.value}
        aria-invalid={Boolean(p.problem)}
        aria-describedby={p.problem ? `${p.id}-problem` : undefined}
        onInput={(e) => p.onInput(e.currentTarget.value)}
      />
      {p.problem && (
        <p class="problem" id={`${p.id}-problem`}>
          {p.problem}
        </p>
      )}
    </div>
  );
}

const exampleSchema = `{
  "type": "object",
  "properties": {
    "name": { "type": "string", "maxLength": 40 },
    "age": { "type": "integer", "minimum": 0, "maximum": 120 }
  },
  "required": ["name", "age"],
  "additionalProperties": false
}`;

function FormSection({ s }: { s: Settings }) {
  const forms: [Settings["form"], string][] = [
    ["text", "Free text"],
    ["json", "Any JSON object"],
    ["schema", "JSON that fits a schema"],
  ];
  return (
    <fieldset id="section-form">
      <legend>Form of the answer</legend>
      {forms.map(([value, label]) => (
        <label class="choice" key={value}>
          <input type="radio" name="form" checked={s.form === value} onChange={() => setSettings({ form: value })} />
          {label}
        </label>
      ))}
      {s.form === "schema" && (
        <>
          <Area
            id="set-schema"
            label="JSON Schema"
            rows={10}
            code
            value={s.schema}
            problem={schemaProblem(s.schema)}
            onInput={(schema) => setSettings({ schema })}
          />
          {!s.schema.trim() && (
            <button type="button" class="button" onClick={() => setSettings({ schema: exampleSchema })}>
              Begin with an example
            </button>
          )}
        </>
      )}
    </fieldset>
  );
}

function ToolsSection({ s }: { s: Settings }) {
  const toggle = (name: string) =>
    setSettings({ tools: s.tools.includes(name) ? s.tools.filter((t) => t !== name) : [...s.tools, name] });
  return (
    <fieldset id="section-tools">
      <legend>Tools</legend>
      {[...builtIn].map(([name, tool]) => (
        <label class="choice" key={name}>
          <input type="checkbox" checked={s.tools.includes(name)} onChange={() => toggle(name)} />
          <span>
            <code>{name}</code> <span class="hint">{tool.what}; runs in this page</span>
          </span>
        </label>
      ))}
      <label class="choice">
        <input
          type="checkbox"
          checked={s.toolChoice === "required"}
          onChange={(e) => setSettings({ toolChoice: e.currentTarget.checked ? "required" : "auto" })}
        />
        The first answer must call a tool
      </label>
      <Area
        id="set-tools"
        label="More tools"
        hint="a JSON array as OpenAI has it; you type in their results"
        rows={4}
        code
        value={s.ownTools}
        problem={toolsProblem(s.ownTools)}
        onInput={(ownTools) => setSettings({ ownTools })}
      />
    </fieldset>
  );
}

export function SettingsPanel() {
  const section = shown.value;
  const chat = current.value;
  const body = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (section) body.current?.querySelector(`#section-${section}`)?.scrollIntoView({ block: "start" });
  }, [section]);
  if (!section || !chat) return null;
  const s = chat.settings;
  return (
    <Dialog title="Settings of this chat" side onClose={() => (shown.value = null)}>
      <div ref={body} class="settings">
        <fieldset id="section-system">
          <legend>Instructions</legend>
          <Area
            id="set-system"
            label="System prompt"
            rows={5}
            value={s.system}
            onInput={(system) => setSettings({ system })}
          />
          {modelFacts.value.thinking && (
            <>
              <label class="choice">
                <input type="checkbox" checked={s.think} onChange={(e) => setSettings({ think: e.currentTarget.checked })} />
                Think before answering
              </label>
              {s.think && (
                <NumberField
                  row={{ name: "thoughtBudget", label: "Most tokens of a thought", least: 1, most: 2 ** 30, step: 1, otherwise: "no limit", what: "" }}
                  value={s.thoughtBudget}
                />
              )}
            </>
          )}
        </fieldset>
        <FormSection s={s} />
        <ToolsSection s={s} />
        <fieldset id="section-sampling">
          <legend>Sampling</legend>
          {rows().map((row) => (
            <NumberField key={row.name} row={row} value={s[row.name]} />
          ))}
          <Area id="set-stop" label="Stop texts" hint="one a line; an answer ends before them" rows={2} value={s.stop} onInput={(stop) => setSettings({ stop })} />
        </fieldset>
        <button type="button" class="button" onClick={() => setSettings(cleared())}>
          Everything as the model has it
        </button>
      </div>
    </Dialog>
  );
}

function cleared(): Partial<Settings> {
  return { ...plainSettings, ...Object.fromEntries(numberNames.map((name) => [name, undefined])) };
}
