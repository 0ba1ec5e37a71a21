import { defineConfig } from "vite";

// The built page must be the same bytes wherever it is built: names come from contents alone.
export default defineConfig({
  base: "./",
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
      ["/v1", "/chats", "/page.json", "/tokenize"].map((path) => [
        path,
        { target: "http://127.0.0.1:8080", headers: { origin: "http://127.0.0.1:8080" }, changeOrigin: true },
      ]),
    ),
  },
});
