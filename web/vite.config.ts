import { readdirSync, readFileSync } from "node:fs";

import { defineConfig, type Plugin } from "vite";

const packages = ["preact", "@preact/signals", "@preact/signals-core", "marked", "dompurify", "temml", "highlight.js"];

/** The licences of everything that ends up in the page. */
function licences(): Plugin {
  return {
    name: "licences",
    generateBundle() {
      const texts = packages.map((name) => {
        const folder = new URL(`./node_modules/${name}/`, import.meta.url);
        const file = readdirSync(folder).find((f) => /^licen[cs]e(\.(md|txt))?$/i.test(f));
        if (!file) throw new Error(`${name} has no licence file`);
        return `==== ${name} ====\n\n${readFileSync(new URL(file, folder), "utf8").replaceAll("\r\n", "\n").trim()}\n`;
      });
      this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join("\n") });
    },
  };
}

// The built page must be the same bytes wherever it is built: names come from contents alone.
export default defineConfig({
  base: "./",
  plugins: [licences()],
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 400,
  },
  server: {
    // `npm run dev` beside a running `bezel serve`.
    proxy: Object.fromEntries(
      ["/v1", "/api", "/chats", "/page.json", "/tokenize"].map((path) => [
        path,
        { target: "http://127.0.0.1:8080", headers: { origin: "http://127.0.0.1:8080" }, changeOrigin: true },
      ]),
    ),
  },
});
