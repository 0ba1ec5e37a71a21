// A server as a child, a browser, and checks with a name each.
import { spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { makeModel } from "./model.mjs";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const require = createRequire(path.join(root, "web/package.json"));
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export function expect(good, what) {
  if (!good) throw new Error(what);
}

export async function until(test, what, milliseconds = 60000) {
  const end = Date.now() + milliseconds;
  while (Date.now() < end) {
    const value = await test();
    if (value) return value;
    await new Promise((done) => setTimeout(done, 30));
  }
  throw new Error(`not within ${milliseconds / 1000} s: ${what}`);
}

function freePort() {
  return new Promise((done) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** `bezel serve` on a port of its own. */
export class Server {
  constructor(bench, port, child) {
    Object.assign(this, { bench, port, child, url: `http://127.0.0.1:${port}/` });
  }
  /** `limit`: most blocks of 512 bytes that a file of it may have; `model` "": none at the start; `env`: more variables. */
  static async start(bench, { chats, key, limit, port, model, flags = [], env: more } = {}) {
    port ??= await freePort();
    const first = model === "" ? [] : [model ?? bench.model, "--name", "Tiny"];
    const words = [bench.program, "serve", ...first, "--port", String(port), "--chats", chats ?? "off", "--threads", "1", "--ctx", "8192", ...flags];
    const script = limit ? `trap '' XFSZ; ulimit -f ${limit}; exec "$@"` : 'exec "$@"';
    const env = { ...process.env, ...bench.home(), ...more, BEZEL_API_KEY: key ?? "" };
    if (!key) delete env.BEZEL_API_KEY;
    const child = spawn("bash", ["-c", script, "bash", ...words], { env, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (said += bytes));
    const server = new Server(bench, port, child);
    bench.servers.add(server);
    await until(() => {
      expect(child.exitCode === null, `bezel serve ended: ${said}`);
      return said.includes(" at http://");
    }, "bezel serve listens");
    return server;
  }
  end(signal = "SIGTERM") {
    this.bench.servers.delete(this);
    if (this.child.exitCode !== null || this.child.signalCode !== null) return Promise.resolve();
    return new Promise((done) => {
      this.child.once("exit", done);
      this.child.kill(signal);
    });
  }
}

/** A page and what it did wrong: console errors, and requests that go elsewhere. */
export class Tab {
  constructor(bench, context, page, server) {
    Object.assign(this, { bench, context, page, server, problems: [], allowed: [], asked: [] });
    page.on("console", (m) => m.type() === "error" && this.problems.push(`console: ${m.text()}`));
    page.on("pageerror", (e) => this.problems.push(`page: ${e.message}`));
    page.on("request", (r) => {
      const url = new URL(r.url());
      if (!["blob:", "data:"].includes(url.protocol) && url.host !== `127.0.0.1:${server.port}`)
        this.problems.push(`request to ${r.url()}`);
      if (url.pathname === "/v1/chat/completions") this.asked.push(JSON.parse(r.postData() ?? "{}"));
    });
  }
  /** Console errors that the check itself brings about. */
  allow(pattern) {
    this.allowed.push(pattern);
  }
  check() {
    const bad = this.problems.filter((p) => !this.allowed.some((a) => a.test(p)));
    this.problems.length = 0;
    expect(bad.length === 0, bad.join("\n"));
  }
  async shot(name) {
    if (!this.bench.shots) return;
    await this.page.waitForTimeout(250); // what moves has stopped
    await this.page.screenshot({ path: path.join(this.bench.shots, `${name}.png`) });
  }
  /** Fails with every finding of axe-core. */
  async accessible(where) {
    await this.page.waitForTimeout(250);
    await this.page.evaluate(axe);
    const found = await this.page.evaluate(async () => (await window.axe.run(document, { resultTypes: ["violations"] })).violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(" | ")}`));
    expect(found.length === 0, `${where}: ${found.join("\n")}`);
  }
  answers() {
    return this.page.locator("article.assistant");
  }
  /** Waits until nothing is answered any more. */
  async quiet() {
    await this.page.waitForTimeout(200);
    await until(async () => (await this.page.locator(".send.stop").count()) === 0, "the answer ends");
  }
  async ask(text) {
    await this.page.fill("#draft", text);
    await this.page.press("#draft", "Enter");
    await this.quiet();
  }
  /** Settings, changed by `change` in the open panel. */
  async settings(change) {
    await this.page.getByRole("button", { name: "Settings", exact: true }).click();
    await change(this.page.locator("dialog.side"));
    await this.page.keyboard.press("Escape");
    await until(async () => (await this.page.locator("dialog").count()) === 0, "the panel closes");
  }
}

/** What all checks share. */
export class Bench {
  constructor(program, shots) {
    this.program = path.resolve(program);
    this.shots = shots;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "bezel-page-"));
    this.model = makeModel(root, path.join(this.folder, "model"));
    this.servers = new Set();
    this.failed = 0;
    if (shots) fs.mkdirSync(shots, { recursive: true });
  }
  /** A machine without models: variables of the environment. An empty one is as if it were not set. */
  home() {
    const out = { HF_HUB_CACHE: "", HUGGINGFACE_HUB_CACHE: "", HF_TOKEN: "", HF_HUB_OFFLINE: "", no_proxy: "127.0.0.1,localhost" };
    for (const name of ["HOME", "XDG_CACHE_HOME", "HF_HOME", "OLLAMA_MODELS", "LLAMA_CACHE", "BEZEL_MODELS"])
      out[name] = path.join(this.folder, "home", name);
    return out;
  }
  async open(executablePath) {
    this.browser = await chromium.launch({
      executablePath,
      headless: true,
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    });
  }
  async tab(server, { path: at = "", context, ...options } = {}) {
    context ??= await this.browser.newContext({ viewport: { width: 1280, height: 800 }, acceptDownloads: true, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(60000);
    const tab = new Tab(this, context, page, server);
    await page.goto(server.url + at);
    return tab;
  }
  async check(name, run) {
    const begin = Date.now();
    try {
      await run();
      console.log(`ok ${name} (${Date.now() - begin} ms)`);
    } catch (error) {
      ++this.failed;
      console.log(`FAIL ${name}\n${error.stack}`);
    }
  }
  async close() {
    await this.browser?.close();
    await Promise.all([...this.servers].map((s) => s.end("SIGKILL")));
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
