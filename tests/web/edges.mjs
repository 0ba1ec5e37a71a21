// Checks of what is easily lost: half-typed numbers, names, chats saved or deleted at a bad moment.
import path from "node:path";

import { drop, entries } from "./keeping.mjs";
import { expect, Server, until } from "./harness.mjs";
import { sample } from "./sample.mjs";

const long = '{"type":"string","minLength":6000,"maxLength":7000}';
const idOf = (tab) => new URL(tab.page.url()).hash.slice(4);
const stored = async (tab, id) => (await fetch(`${tab.server.url}chats/${id}`)).json();
const total = async (tab) => (await (await fetch(`${tab.server.url}chats`)).json()).total;
const newChat = (tab) => tab.page.getByRole("button", { name: "New chat" }).click();

/** Counts the times that a chat is written to the server. */
function writes(tab) {
  const seen = { count: 0 };
  tab.page.on("request", (r) => (seen.count += r.method() === "PUT"));
  return seen;
}

/** A new chat with one short answer, saved; gives its id. */
async function saved(tab, text) {
  await newChat(tab);
  await tab.settings(async (panel) => {
    await panel.getByLabel("Free text").check();
    await panel.getByLabel("Most tokens").fill("10");
  });
  await tab.ask(text);
  const id = idOf(tab);
  await until(async () => (await stored(tab, id)).messages?.at(-1).finish, "it is saved");
  await entries(tab).getByText(text, { exact: true }).waitFor();
  return id;
}

/** Asks for an answer that goes on for a while. */
async function askLong(tab, text) {
  await tab.settings(async (panel) => {
    await panel.getByLabel("Most tokens").fill("8000");
    await panel.getByLabel("JSON that fits a schema").check();
    await panel.getByLabel("JSON Schema").fill(long);
  });
  await tab.page.fill("#draft", text);
  await tab.page.press("#draft", "Enter");
  await until(async () => (await tab.answers().last().innerText()).length > 30, "an answer streams");
}

/** Opens the list's field for a chat's name. */
async function renameEntry(tab, name) {
  const entry = tab.page.locator(".entry", { hasText: name });
  await entry.hover();
  await entry.getByRole("button", { name: /Rename/ }).click();
  return tab.page.locator(".entry .rename");
}

async function remove(tab, name) {
  const entry = tab.page.locator(".entry", { hasText: name });
  await entry.hover();
  await entry.getByRole("button", { name: /Delete/ }).click();
  await tab.page.getByRole("button", { name: "Delete", exact: true }).click();
  await until(async () => (await entries(tab).filter({ hasText: name }).count()) === 0, "it is gone from the list");
}

async function settings(check) {
  await check("numbers can be typed digit by digit, and are held to their bounds when they are whole", async (tab, page) => {
    await newChat(tab);
    await tab.settings(async (panel) => {
      const field = (name) => panel.getByLabel(name);
      await field("Min p").pressSequentially("0.05");
      await field("Repetition penalty").pressSequentially("1.15");
      await field("Temperature").pressSequentially("25");
      await field("Temperature").press("Enter");
      expect((await field("Temperature").inputValue()) === "2", "Enter holds it to the most");
      await field("Top k").pressSequentially("2.6");
      await field("Top p").pressSequentially("0.5");
      await field("Top p").fill("");
      await field("Most tokens").pressSequentially("12");
      expect((await field("Min p").inputValue()) === "0.05", `what was typed stays: ${await field("Min p").inputValue()}`);
      expect((await field("Top k").inputValue()) === "3", "a number without a fraction");
    });
    await tab.ask("numbers");
    const { min_p, repetition_penalty, temperature, top_k, top_p, max_tokens } = tab.asked.at(-1);
    const sent = [min_p, repetition_penalty, temperature, top_k, top_p, max_tokens].join();
    expect(sent === "0.05,1.15,2,3,,12", `sent: ${sent}`);
    await tab.settings(async (panel) => {
      await panel.getByRole("button", { name: "Everything as the model has it" }).click();
      await until(async () => (await panel.getByLabel("Min p").inputValue()) === "", "the fields are empty again");
    });
    tab.check();
  });

  await check("a setting that is typed is saved once, and also when the page is left at once", async (tab, page) => {
    const id = await saved(tab, "typing");
    await page.waitForTimeout(300);
    const seen = writes(tab);
    await tab.settings((panel) => panel.getByLabel("System prompt").pressSequentially("Answer in rhymes."));
    await until(async () => (await stored(tab, id)).settings.system === "Answer in rhymes.", "it is saved");
    expect(seen.count <= 3, `written ${seen.count} times`);
    await page.getByRole("button", { name: "Settings", exact: true }).click();
    await page.getByLabel("System prompt").fill("Answer in prose.");
    await page.reload();
    await until(async () => (await stored(tab, id)).settings.system === "Answer in prose.", "the last words are saved", 5000);
    tab.check();
  });
}

async function names(check) {
  await check("a name is kept with Enter, once, and left as it was with Escape", async (tab, page) => {
    const id = await saved(tab, "naming");
    await page.waitForTimeout(300);
    const seen = writes(tab);
    const begin = async (name) => {
      await page.getByRole("heading", { level: 1 }).getByRole("button").click();
      await page.getByLabel("Name of this chat").fill(name);
    };
    await begin("No name");
    await page.keyboard.press("Escape");
    await page.getByRole("heading", { name: "naming" }).waitFor({ timeout: 5000 });
    await page.waitForTimeout(300);
    expect(seen.count === 0, "Escape saves nothing");
    await begin("A name");
    await page.keyboard.press("Enter");
    await until(async () => (await stored(tab, id)).title === "A name", "it is saved");
    await page.waitForTimeout(300);
    expect(seen.count === 1, `Enter saves once, not ${seen.count} times`);
    await until(async () => (await page.title()) === "A name · Bezel", "the tab has the name", 5000);
    await begin("Left");
    await page.locator("#draft").click();
    await until(async () => (await stored(tab, id)).title === "Left", "leaving the field keeps the name too");
    tab.check();
  });

  await check("a chat gets a name without being opened", async (tab, page) => {
    const id = await saved(tab, "some other chat");
    await page.goto(tab.server.url);
    await page.reload();
    await page.waitForSelector(".welcome");
    const before = await page.evaluate(() => history.length);
    const field = await renameEntry(tab, "some other chat");
    await field.fill("Elsewhere");
    await page.keyboard.press("Enter");
    await until(async () => (await stored(tab, id)).title === "Elsewhere", "it is saved");
    await entries(tab).getByText("Elsewhere").waitFor();
    expect((await page.evaluate(() => history.length)) === before, "the page stayed where it was");
    expect((await page.locator(".welcome").count()) === 1, "and shows the new chat");
    tab.check();
  });
}

async function saving(check) {
  await check("a change while the list is read anew is saved", async (tab, page) => {
    const id = await saved(tab, "slow list");
    let lists = 0;
    await page.route("**/chats?*", async (route) => {
      ++lists;
      await new Promise((done) => setTimeout(done, 1000));
      await route.continue().catch(() => {}); // a later list has taken its place
    });
    const name = async (title) => {
      await page.getByRole("heading", { level: 1 }).getByRole("button").click();
      await page.getByLabel("Name of this chat").fill(title);
      await page.keyboard.press("Enter");
    };
    await name("First name");
    await until(() => lists > 0, "the list is asked for");
    await name("Second name");
    await until(async () => (await stored(tab, id)).title === "Second name", "the second change is saved", 5000);
    await page.unroute("**/chats?*");
    tab.check();
  });

  await check("a chat from a file takes no saved chat's place, whatever the list shows", async (tab, page) => {
    const id = await saved(tab, "the stored one");
    const chat = await stored(tab, id);
    const before = await total(tab);
    await page.goto(tab.server.url);
    await page.reload();
    await page.waitForSelector(".welcome");
    await page.fill("#search", "no such words");
    await page.getByText("Nothing found.").waitFor();
    tab.allow(/412/);
    chat.title = "From a file";
    chat.messages[0].content = "changed";
    await drop(tab, "chat.json", Buffer.from(JSON.stringify(chat)));
    await page.getByRole("heading", { name: "From a file" }).waitFor();
    await until(async () => (await total(tab)) === before + 1, "there is one chat more", 5000);
    expect((await stored(tab, id)).messages[0].content === "the stored one", "the stored one is as it was");
    await page.fill("#search", "");
    await entries(tab).getByText("From a file").waitFor();
    tab.check();
  });

  await check("a chat that is deleted while it is answered ends, and does not come back", async (tab, page) => {
    await newChat(tab);
    await askLong(tab, "delete me");
    const before = await total(tab);
    await remove(tab, "delete me");
    await until(async () => /requests_running 0\n/.test(await (await fetch(`${tab.server.url}metrics`)).text()), "the answer ends", 3000);
    await page.waitForTimeout(500);
    expect((await total(tab)) === before - 1, "it is deleted");
    expect((await entries(tab).filter({ hasText: "delete me" }).count()) === 0, "and stays away");
    tab.check();
  });
}

async function answers(check) {
  await check("an edited question is not lost when another answer runs", async (tab, page) => {
    await saved(tab, "first question");
    const question = page.locator("article.user").first();
    await question.hover();
    await question.getByRole("button", { name: "Edit" }).click();
    const field = page.locator(".editor textarea");
    await field.fill("a question with much work in it");
    await askLong(tab, "second question");
    const send = page.getByRole("button", { name: "Send as a new branch" });
    expect(await send.isDisabled(), "it cannot be sent yet");
    await field.press("Control+Enter");
    await page.waitForTimeout(200);
    expect((await field.inputValue()) === "a question with much work in it", "the text is still there");
    const speed = tab.answers().last().locator(".speed");
    const now = await speed.innerText();
    expect(/^≈ [\d.]+ tokens\/s$/.test(now), `the speed is shown: ${now}`);
    await until(async () => (await speed.innerText()) !== now, "and changes", 5000);
    await page.locator(".send.stop").click();
    await tab.quiet();
    await send.click();
    await until(async () => (await question.locator(".bubble").innerText()) === "a question with much work in it", "it is sent");
    await page.locator(".send.stop").click();
    await tab.quiet();
    tab.check();
  });

  await check("a folded thought is made only when it is opened", async (tab, page) => {
    await drop(tab, "sample.json", Buffer.from(JSON.stringify(sample)));
    const thought = page.locator("details.thought").first();
    await thought.waitFor();
    expect((await thought.locator(".markdown").count()) === 0, "nothing is made while it is folded");
    await thought.locator("summary").click();
    await thought.locator(".markdown strong").waitFor();
    await thought.locator("summary").click();
    await until(async () => (await thought.locator(".markdown").count()) === 0, "and folded again");
    tab.check();
  });
}

export async function edges(bench) {
  const server = await Server.start(bench, { chats: path.join(bench.folder, "edges.db") });
  const check = (name, run) =>
    bench.check(name, async () => {
      const tab = await bench.tab(server);
      await tab.page.waitForSelector(".welcome");
      await run(tab, tab.page).finally(() => tab.context.close());
    });
  for (const part of [settings, names, saving, answers]) await part(check);
  await server.end();
}
