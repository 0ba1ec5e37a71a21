// Checks of models by name: pulled from a hub of the tests' own, chosen, deleted.
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

import { expect, root, Server, until } from "./harness.mjs";
import { makeModel } from "./model.mjs";

const dialog = (tab) => tab.page.getByRole("dialog", { name: "Models" });
const rows = (tab) => dialog(tab).getByRole("listitem");
const numbers = (tab) => dialog(tab).locator(".pull-numbers");
const percent = async (tab) => Number(/^(\d+) %/.exec(await numbers(tab).innerText({ timeout: 1000 }).catch(() => ""))?.[1] ?? -1);
const progress = (tab) => dialog(tab).getByRole("progressbar");
const settled = (tab) => until(async () => (await progress(tab).count()) === 0, "the pull ends");

async function open(tab) {
  await tab.page.getByRole("button", { name: /^Models/ }).click();
  await dialog(tab).waitFor();
}

async function close(tab) {
  await tab.page.keyboard.press("Escape");
  await until(async () => (await tab.page.locator("dialog").count()) === 0, "the dialog closes");
}

async function pull(tab, name) {
  await dialog(tab).getByLabel("Name of a model").fill(name);
  await dialog(tab).getByRole("button", { name: "Pull", exact: true }).click();
}

/** Two models that can talk, and one whose weights are only there to take a while: 40 MiB, five parts. */
function fill(repos) {
  for (const name of ["talker", "other", "large"]) makeModel(root, path.join(repos, "org", name));
  const bytes = Buffer.alloc(40 << 20);
  for (let i = 0; i < bytes.length; i += 4096) bytes.writeUInt32LE(i, i);
  fs.writeFileSync(path.join(repos, "org/large/model.safetensors"), bytes);
}

/** The hub as a child: 3 MB a second and connection. */
async function startHub(program, repos) {
  const child = spawn(program, [repos, "3000000"], { stdio: ["pipe", "pipe", "inherit"] });
  let url = "";
  child.stdout.on("data", (bytes) => (url += bytes));
  await until(() => url.endsWith("\n"), "the test hub listens");
  return { url: url.trim(), end: () => new Promise((done) => child.once("exit", done) && child.stdin.end()) };
}

async function nothing(bench, tab) {
  const { page } = tab;
  await bench.check("without a model the page says so, and leads to where one is pulled", async () => {
    await page.getByRole("heading", { name: "No model is here yet" }).waitFor();
    await page.fill("#draft", "hello");
    expect(await page.getByRole("button", { name: "Send", exact: true }).isDisabled(), "nothing can be sent");
    expect((await page.locator("#model, .meter").count()) === 0, "there is no model to choose, and no context");
    await tab.shot("26-no-model");
    await tab.accessible("no model");
    await page.fill("#draft", "");
    await tab.settings(async (panel) => {
      expect((await panel.getByLabel("Temperature").getAttribute("placeholder")) === "the model's", "numbers are the model's");
      expect((await panel.getByLabel("Think before answering").count()) === 0, "whether it thinks is not known");
    });
    await page.getByRole("button", { name: "Get a model" }).click();
    await dialog(tab).getByText("None yet.").waitFor();
    await tab.accessible("models");
    tab.check();
  });

  await bench.check("a name that is none, or that the hub does not have, is said in place", async () => {
    tab.allow(/40\d|50\d/);
    await pull(tab, "no name!");
    await dialog(tab).getByRole("alert").getByText("is no model's name").waitFor();
    expect((await dialog(tab).getByLabel("Name of a model").inputValue()) === "no name!", "what was typed stays");
    await tab.shot("27-no-name");
    await tab.accessible("no name");
    await pull(tab, "org/nothing");
    await dialog(tab).getByRole("alert").getByText("does not exist").waitFor();
    tab.check();
  });
}

async function pulling(bench, tab) {
  const { page } = tab;
  await bench.check("a pull shows how far it is, and runs on when its dialog is closed", async () => {
    await pull(tab, "org/large");
    await until(async () => / of 41.9 MB, [\d.]+ [kM]B\/s, \d+ s left$/.test(await numbers(tab).innerText()), "numbers are shown");
    const part = await progress(tab).evaluate((e) => e.value);
    expect(part > 0 && part < 1, `the bar stands at ${part}`);
    await tab.shot("28-pull");
    await tab.accessible("pull");
    await close(tab);
    await page.getByRole("button", { name: /^Models: \d+ % of org\/large is here$/ }).waitFor();
    await tab.shot("29-pull-in-header");
    tab.check();
  });

  await bench.check("a pull is cancelled, and goes on where it stopped", async () => {
    await open(tab);
    await until(async () => (await percent(tab)) >= 90, "most of five parts are here");
    await dialog(tab).getByRole("button", { name: "Cancel" }).click();
    await dialog(tab).getByText("Stopped.").waitFor();
    expect(await dialog(tab).getByLabel("Name of a model").evaluate((e) => e === document.activeElement), "the focus is in the field");
    expect((await rows(tab).count()) === 0, "it is not here yet");
    await page.keyboard.press("Enter");
    const first = await until(async () => Math.max(0, await percent(tab)), "it goes on");
    expect(first >= 39, `from ${first} %, with two parts at least`);
    await settled(tab);
    await dialog(tab).getByText("org/large is here.").waitFor();
    await rows(tab).getByText("org/large", { exact: true }).waitFor();
    expect((await rows(tab).innerText()).includes("41.9 MB, hugging face"), `its row says ${await rows(tab).innerText()}`);
    expect((await dialog(tab).getByLabel("Name of a model").inputValue()) === "", "the field is free for another");
    tab.check();
  });

  await bench.check("a model is deleted only after a question", async () => {
    const question = page.getByRole("dialog", { name: "Delete this model?" });
    const ask = async () => {
      await rows(tab).getByRole("button", { name: "Delete org/large" }).click();
      await question.waitFor();
    };
    await ask();
    await tab.shot("30-delete-model");
    await tab.accessible("delete a model");
    await question.getByRole("button", { name: "Keep it" }).click();
    await ask();
    await page.keyboard.press("Escape");
    await until(async () => (await question.count()) === 0, "Escape ends the question");
    expect((await rows(tab).count()) === 1, "it is kept, and the list is still shown");
    await ask();
    await question.getByRole("button", { name: "Delete", exact: true }).click();
    await dialog(tab).getByText("None yet.").waitFor();
    await dialog(tab).getByText("org/large is deleted.").waitFor();
    await close(tab);
    await page.getByRole("heading", { name: "No model is here yet" }).waitFor();
    tab.check();
  });

  await bench.check("a pull ends with its page, and another page goes on with it", async () => {
    await open(tab);
    await pull(tab, "org/large");
    await until(async () => (await percent(tab)) >= 90, "most of five parts are here");
    await page.reload();
    await open(tab);
    expect((await progress(tab).count()) === 0, "nothing is pulled");
    await pull(tab, "org/large");
    expect((await until(async () => Math.max(0, await percent(tab)), "it goes on")) >= 39, "what came is kept");
    await settled(tab);
    await rows(tab).getByText("org/large", { exact: true }).waitFor();
    await rows(tab).getByRole("button", { name: "Delete org/large" }).click();
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await dialog(tab).getByText("None yet.").waitFor();
    tab.check();
  });
}

async function talking(bench, tab) {
  const { page } = tab;
  await bench.check("a model that was pulled answers, and then its context is known", async () => {
    for (const name of ["org/talker", "org/other"]) {
      await pull(tab, name);
      await rows(tab).getByText(name, { exact: true }).waitFor();
      await settled(tab);
    }
    await dialog(tab).getByRole("button", { name: "Use org/talker" }).or(dialog(tab).getByRole("button", { name: "In use: org/talker" })).click();
    await dialog(tab).getByText("org/talker answers in this chat.").waitFor();
    await close(tab);
    expect((await page.locator("#model").inputValue()) === "org/talker", "the header shows it");
    expect((await page.locator(".meter").count()) === 0, "nothing is loaded");
    await tab.settings((panel) => panel.getByLabel("Most tokens").fill("20"));
    await tab.ask("abc");
    expect(tab.asked.at(-1).model === "org/talker", "it was asked");
    expect((await tab.answers().count()) === 1, "it answers");
    await page.locator(".meter").waitFor();
    await page.getByRole("button", { name: "Think", exact: true }).waitFor();
    await open(tab);
    expect((await rows(tab).filter({ hasText: "loaded" }).innerText()).includes("org/talker"), "it is the loaded one");
    await tab.shot("31-models");
    tab.check();
  });

  await bench.check("another model takes its place in the same chat", async () => {
    await dialog(tab).getByRole("button", { name: "Use org/other" }).click();
    await dialog(tab).getByRole("button", { name: "In use: org/other" }).waitFor();
    await close(tab);
    expect((await page.locator(".meter").count()) === 0, "the context was the other's");
    await tab.ask("xyz");
    expect(tab.asked.at(-1).model === "org/other" && (await tab.answers().count()) === 2, "it answers");
    await page.locator(".meter").waitFor();
    await page.getByRole("button", { name: "New chat" }).click();
    expect((await page.locator("#model").inputValue()) === "org/other", "new chats begin with it");
    await page.getByText("org/other runs on this server.").waitFor();
    tab.check();
  });

  await bench.check("a model that is deleted leaves its chats to another", async () => {
    await open(tab);
    await rows(tab).getByRole("button", { name: "Delete org/other" }).click();
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await dialog(tab).getByText("org/other is deleted.").waitFor();
    await until(async () => (await rows(tab).count()) === 1, "its row is gone");
    await close(tab);
    await tab.ask("abc");
    expect(tab.asked.at(-1).model === "org/talker" && (await tab.answers().count()) === 1, "the other answers");
    tab.check();
  });
}

async function looks(bench, server) {
  await bench.check("the models fit a phone, in dark colours", async () => {
    const tab = await bench.tab(server, { viewport: { width: 360, height: 700 }, hasTouch: true, isMobile: true, colorScheme: "dark" });
    await tab.page.waitForSelector(".welcome");
    await open(tab);
    await pull(tab, "org/large");
    await until(async () => / left$/.test(await numbers(tab).innerText()), "numbers are shown");
    expect(!(await dialog(tab).evaluate((e) => e.scrollWidth > e.clientWidth)), "nothing sticks out of the dialog");
    await tab.shot("32-phone-models");
    await tab.accessible("phone models");
    await close(tab);
    const wide = () => tab.page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    expect(!(await wide()), "nor of the page");
    await tab.shot("33-phone-pull");
    await tab.page.getByRole("button", { name: "Models", exact: true }).waitFor();
    expect(await tab.page.locator("#model").isHidden(), "the choice is in the dialog alone");
    expect(!(await wide()), "nothing sticks out of the page with two models");
    await open(tab);
    await until(async () => (await rows(tab).count()) === 2, "both are listed");
    await tab.shot("34-phone-two-models");
    expect(!(await dialog(tab).evaluate((e) => e.scrollWidth > e.clientWidth)), "nor of the dialog");
    tab.check();
    await tab.context.close();
  });
}

export async function models(bench) {
  const program = path.join(path.dirname(bench.program), "tests/test_hub_server");
  if (!fs.existsSync(program)) return console.log("skip models by name: there is no test hub (built without downloads)");
  const folder = path.join(bench.folder, "named");
  fill(path.join(folder, "repos"));
  const hub = await startHub(program, path.join(folder, "repos"));
  const server = await Server.start(bench, { model: "", env: { HF_ENDPOINT: hub.url } });
  const tab = await bench.tab(server);
  for (const part of [nothing, pulling, talking]) await part(bench, tab);
  await tab.context.close();
  await looks(bench, server);
  await server.end();
  await hub.end();

  await bench.check("a server of one model has nothing of other models", async () => {
    const one = await Server.start(bench, { flags: ["--only"] });
    const there = await bench.tab(one);
    await there.page.getByText("Tiny runs on this server.").waitFor();
    expect((await there.page.getByRole("button", { name: /^Models/ }).count()) === 0, "there is no button");
    there.check();
    await there.context.close();
    await one.end();
  });
}
