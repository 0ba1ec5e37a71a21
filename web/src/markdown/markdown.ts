// Markdown to clean HTML, block by block. HTML in the text is shown, but for a few plain tags.
import { computed, signal } from "@preact/signals";
import DOMPurify from "dompurify";
import { Marked, type Token, type Tokens } from "marked";

import { maths, temml } from "./maths";
import { escapeHtml } from "../lib/text";

type Highlight = typeof import("./highlight").highlighted;
const highlight = signal<Highlight | null>(null);
/** Changes when a chunk that a text may have waited for is there. */
export const loaded = computed(() => `${highlight.value !== null} ${temml.value !== null}`);
let asked = false;
const mostColoured = 50_000; // characters; more takes too long while an answer streams

function coloured(code: string, language: string): string {
  if (!asked) {
    asked = true;
    import("./highlight").then(
      (m) => (highlight.value = m.highlighted),
      () => (asked = false),
    );
  }
  const html = code.length <= mostColoured ? highlight.value?.(code, language) : null;
  return html ?? escapeHtml(code);
}

function codeBlock(code: string, info: string): string {
  const language = (info.match(/^[\w+#.-]+/)?.[0] ?? "").toLowerCase();
  const name = language || "text";
  return (
    `<div class="code"><div class="code-head"><span>${escapeHtml(name)}</span>` +
    `<button type="button" data-copy><span>Copy</span><span class="hidden"> code</span></button></div>` +
    `<pre tabindex="0" role="group" aria-label="Code: ${escapeHtml(name)}"><code class="language-${escapeHtml(name)}">${coloured(code, language)}</code></pre></div>\n`
  );
}

const plainTag = /^<\/?(?:br|b|i|u|s|em|strong|sub|sup|kbd|mark)\s*\/?>$/i;
const safeLink = /^(?:https?:|mailto:|#)/i;

const marked = new Marked({ gfm: true, breaks: true }, maths, {
  renderer: {
    html: ({ text }) => (plainTag.test(text) ? text : escapeHtml(text)),
    code: ({ text, lang }) => codeBlock(text, lang ?? ""),
    heading({ tokens, depth, level }: Tokens.Heading & { level?: number }) {
      level ??= Math.min(6, depth + 2);
      return `<h${level} class="h${depth}">${this.parser.parseInline(tokens)}</h${level}>\n`;
    },
    link({ href, tokens }) {
      const text = this.parser.parseInline(tokens);
      if (!safeLink.test(href)) return text;
      return `<a href="${escapeHtml(href)}" target="_blank" rel="noopener noreferrer nofollow">${text}</a>`;
    },
    // A picture would have to be fetched from somewhere: it becomes a link.
    image({ href, text }) {
      const name = escapeHtml(text || "picture");
      if (!/^https?:/i.test(href)) return name;
      return `<a href="${escapeHtml(href)}" target="_blank" rel="noopener noreferrer nofollow">${name}</a>`;
    },
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    table(token) {
      const cell = (tag: string, c: { tokens: Token[]; align: string | null }) =>
        `<${tag}${c.align ? ` class="${c.align}"` : ""}>${this.parser.parseInline(c.tokens)}</${tag}>`;
      const head = token.header.map((c) => cell(c.text.trim() ? "th" : "td", c)).join("");
      const rows = token.rows.map((row) => `<tr>${row.map((c) => cell("td", c)).join("")}</tr>`).join("");
      return `<div class="table" tabindex="0" role="group" aria-label="Table"><table><thead><tr>${head}</tr></thead><tbody>${rows}</tbody></table></div>\n`;
    },
  },
});

function clean(html: string): string {
  return DOMPurify.sanitize(html, {
    USE_PROFILES: { html: true, mathMl: true },
    ADD_ATTR: ["target"],
    FORBID_TAGS: ["style", "form", "input", "select", "textarea", "img", "audio", "video", "source", "picture"],
    FORBID_ATTR: ["style", "background", "poster", "srcset"],
  });
}

/** Levels of a message's headings: they begin below the message's own, and none is left out. */
function levels(tokens: Token[]): (depth: number) => number {
  const least = Math.min(...tokens.map((t) => (t.type === "heading" ? t.depth : 6)));
  let before = 2;
  return (depth) => (before = Math.min(6, before + 1, 3 + depth - least));
}

/** Top-level blocks of a text as HTML. `cache` keeps those that did not change; one per message. */
export function blocks(text: string, cache: Map<string, string>): string[] {
  const tokens = marked.lexer(text);
  const html: string[] = [];
  const used = new Map<string, string>();
  const level = levels(tokens);
  for (const token of tokens) {
    if (token.type === "space" || token.type === "def") continue;
    const rank = token.type === "heading" ? level(token.depth) : 0;
    if (rank) Object.assign(token, { level: rank });
    const name = `${loaded.value} ${rank} ${token.raw}`;
    const done = cache.get(name) ?? clean(marked.parser([token]));
    used.set(name, done);
    html.push(done);
  }
  cache.clear();
  for (const [name, done] of used) cache.set(name, done);
  return html;
}
