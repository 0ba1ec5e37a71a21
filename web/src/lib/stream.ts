// Events and lines out of a stream of bytes, cut anywhere.

/** What stands before each `end`; what follows the last one is not whole, and left out. */
async function* pieces(body: ReadableStream<Uint8Array>, end: string): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    while (true) {
      const { value, done } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      let at: number;
      while ((at = rest.indexOf(end)) >= 0) {
        const piece = rest.slice(0, at);
        rest = rest.slice(at + end.length);
        yield piece;
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The data of server-sent events. */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  for await (const event of pieces(body, "\n\n")) {
    const lines = event.split("\n").filter((line) => line.startsWith("data:"));
    if (lines.length) yield lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
  }
}

/** The values of newline-delimited JSON. */
export async function* values<T>(body: ReadableStream<Uint8Array>): AsyncGenerator<T> {
  for await (const line of pieces(body, "\n")) if (line.trim()) yield JSON.parse(line) as T;
}
