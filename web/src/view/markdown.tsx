import { useLayoutEffect, useMemo, useRef } from "preact/hooks";

import { blocks, loaded } from "../markdown/markdown";
import { copy } from "../lib/text";

function Block({ html }: { html: string }) {
  const at = useRef<HTMLDivElement>(null);
  // Formulas need styles of their own; set here, because the page allows no style attributes.
  useLayoutEffect(() => {
    for (const e of at.current?.querySelectorAll<HTMLElement>("math [data-style], math[data-style]") ?? [])
      e.style.cssText = e.dataset.style ?? "";
  }, [html]);
  return <div ref={at} dangerouslySetInnerHTML={{ __html: html }} />;
}

async function copyCode(event: Event): Promise<void> {
  const button = (event.target as HTMLElement).closest<HTMLButtonElement>("button[data-copy]");
  const label = button?.querySelector("span");
  const code = button?.closest(".code")?.querySelector("code")?.textContent;
  if (!label || code === undefined || code === null) return;
  try {
    await copy(code);
    label.textContent = "Copied";
  } catch {
    label.textContent = "Not copied";
  }
  setTimeout(() => (label.textContent = "Copy"), 1500);
}

export function Markdown({ text }: { text: string }) {
  const cache = useRef(new Map<string, string>());
  const html = useMemo(() => blocks(text, cache.current), [text, loaded.value]);
  return (
    <div class="markdown" onClick={copyCode}>
      {html.map((block, i) => (
        <Block key={i} html={block} />
      ))}
    </div>
  );
}
