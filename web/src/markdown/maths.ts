// Maths in Markdown: $…$, $$…$$, \(…\) and \[…\], as MathML.
import { signal } from "@preact/signals";
import type { MarkedExtension, Tokens } from "marked";

import { escapeHtml } from "../lib/text";

type Temml = typeof import("temml").default;

/** Null until a message with maths asked for it. */
export const temml = signal<Temml | null>(null);
let asked = false;

function load(): void {
  if (asked) return;
  asked = true;
  import("temml").then(
    (m) => (temml.value = m.default),
    () => (asked = false),
  );
}

function html(tex: string, display: boolean): string {
  load();
  const shown = temml.value;
  const plain = `<code class="tex">${escapeHtml(tex)}</code>`;
  if (!shown) return display ? `<div class="maths">${plain}</div>` : plain;
  // The page's rules forbid style attributes; the view sets what these say.
  const out = shown
    .renderToString(tex, { displayMode: display, throwOnError: false, trust: false, maxExpand: 200 })
    .replaceAll(' style="', ' data-style="');
  return display ? `<div class="maths" tabindex="0" role="group" aria-label="Formula">${out}</div>` : out;
}

interface Maths extends Tokens.Generic {
  tex: string;
  display: boolean;
}

const block = /^ {0,3}(?:\$\$([^]+?)\$\$|\\\[([^]+?)\\\])[ \t]*(?:\n|$)/;
// A dollar that opens has no white space behind it, one that closes none before it and no digit
// behind it: "between $5 and $10" is money.
const inline = /^(?:\$\$([^$]+?)\$\$|\\\(([^]+?)\\\)|\\\[([^]+?)\\\]|\$(?![\s$])((?:\\.|[^$\\\n])*?)(?<![\s\\])\$(?!\d))/;

function token(type: string, raw: string, tex: string, display: boolean): Maths {
  return { type, raw, tex: tex.trim(), display };
}

export const maths: MarkedExtension = {
  extensions: [
    {
      name: "mathsBlock",
      level: "block",
      start: (src) => src.match(/(?:^|\n) {0,3}(?:\$\$|\\\[)/)?.index,
      tokenizer: (src) => {
        const m = block.exec(src);
        return m ? token("mathsBlock", m[0], m[1] ?? m[2], true) : undefined;
      },
      renderer: (t) => html((t as Maths).tex, true),
    },
    {
      name: "mathsInline",
      level: "inline",
      start: (src) => src.match(/\$|\\\(|\\\[/)?.index,
      tokenizer: (src) => {
        const m = inline.exec(src);
        if (!m) return undefined;
        return token("mathsInline", m[0], m[1] ?? m[2] ?? m[3] ?? m[4], m[1] !== undefined || m[3] !== undefined);
      },
      renderer: (t) => html((t as Maths).tex, false),
    },
  ],
};
