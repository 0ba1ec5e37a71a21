export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** As JSON for the server, which takes no halves of characters (a lone surrogate): U+FFFD stands for them. */
export function toJson(value: unknown): string {
  return JSON.stringify(value).replace(/\\(\\|ud[89a-f]..)/g, (escape) => (escape === "\\\\" ? escape : "\ufffd"));
}

/** At most n characters, none of them cut in half. */
export function beginning(text: string, n: number): string {
  return Array.from(text).slice(0, n).join("");
}

const grouped = new Intl.NumberFormat("en-GB");
/** 12345 as 12,345. */
export const number = (n: number) => grouped.format(n);

/** 1833706 as 1.83 MB. */
export function size(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; bytes >= 999.5 && at < units.length - 1; ++at) bytes /= 1000;
  return `${at ? bytes.toPrecision(3) : bytes} ${units[at]}`;
}

/** Seconds as a person would say them: 40 s, 3 min, 1 h 20 min. */
export function duration(seconds: number): string {
  if (seconds <= 55) return `${Math.max(5, Math.ceil(seconds / 5) * 5)} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export async function copy(text: string): Promise<void> {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  // Over plain HTTP from another machine there is no clipboard but this.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("The browser did not let the page copy.");
}
