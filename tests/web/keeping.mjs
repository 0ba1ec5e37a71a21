// Checks of keeping: the list, files in and out, keys, looks, a key, kill -9 and a full disk.
import fs from "node:fs";
import path from "node:path";

import { expect, Server, until } from "./harness.mjs";
import { sample, script } from "./sample.mjs";

export const entries = (tab) => tab.page.locator(".entry-title");

/** Drops a file on the page, as a browser tells it. */
export async function drop(tab, name, bytes) {
  const data = await tab.page.evaluateHandle(
    ([n, b]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(b)], n));
      return transfer;
    },
    [name, [...bytes]],
  );
  for (const type of ["dragenter", "dragover"]) await tab.page.dispatchEvent("main", type, { dataTransfer: data });
  if (name.endsWith(".txt")) await tab.shot("11-drop");
  await tab.page.dispatchEvent("main", "drop", { dataTransfer: data });
}

async function downloaded(tab, act) {
  const [file] = await Promise.all([tab.page.waitForEvent("download"), act()]);
  return { name: file.suggestedFilename(), text: fs.readFileSync(await file.path(), "utf8") };
}

export async function keeping(bench, tab) {
  const { page } = tab;

  await bench.check("dropped text files go with the message; other files are refused", async () => {
    await page.getByRole("button", { name: "New chat" }).click();
    await tab.settings((panel) => panel.getByLabel("Most tokens").fill("20"));
    await drop(tab, "notes.txt", Buffer.from("first line\n```\nsecond line\n"));
    await page.locator(".files li").waitFor();
    await drop(tab, "photo.png", Buffer.from([137, 80, 78, 71, 0, 255]));
    await page.getByText("photo.png is no text file").waitFor();
    await tab.shot("12-file");
    await page.getByRole("button", { name: "Close the message" }).click();
    await tab.ask("What is in it?");
    const sent = tab.asked.at(-1).messages[0].content;
    expect(sent === "notes.txt:\n````\nfirst line\n```\nsecond line\n````\n\nWhat is in it?", `sent: ${sent}`);
    expect((await page.locator("details.file summary").innerText()).includes("notes.txt"), "the file is shown");
    tab.check();
  });

  await bench.check("a chat from a file is shown with code, maths, tables, and nothing that runs", async () => {
    const file = path.join(bench.folder, "sample.json");
    fs.writeFileSync(file, JSON.stringify(sample));
    await page.setInputFiles("#import", file);
    await page.getByRole("heading", { name: "Sorting, explained" }).waitFor();
    const answer = tab.answers().last();
    await answer.locator("math").first().waitFor();
    await answer.locator(".hljs-keyword").first().waitFor();
    expect((await page.title()) === "Sorting, explained · Bezel", "the tab has its name");
    expect((await answer.locator("math").count()) === 6, "six formulas, and money is none");
    expect((await answer.locator("img, script").count()) === 0, "no picture and no script");
    expect((await answer.locator("td br, td sub").count()) === 2, "but plain tags are used");
    expect((await answer.innerText()).includes(script), "HTML is shown as it was written");
    expect((await answer.locator("td.right").count()) === 3, "columns are aligned");
    await tab.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await answer.getByRole("button", { name: "Copy code" }).click();
    expect((await page.evaluate(() => navigator.clipboard.readText())).startsWith("def merge_sort"), "code is copied");
    expect((await page.locator(".call-result pre").innerText()) === "144", "calls are shown");
    await page.locator(".scroll").evaluate((e) => e.scrollTo(0, 300));
    await tab.shot("13-markdown");
    await tab.accessible("markdown");
    await page.locator(".branches").first().getByRole("button", { name: "Next branch" }).click();
    expect((await tab.answers().last().innerText()).includes("sorted(a)"), "its other branch is there");
    await page.locator(".branches").first().getByRole("button", { name: "Previous branch" }).click();
    tab.check();
  });

  await bench.check("a chat is written to files and read again by dropping it", async () => {
    const save = async (item) => {
      await page.getByRole("button", { name: "Save this chat as a file" }).click();
      if (item === ".json") await tab.shot("14-share");
      return downloaded(tab, () => page.getByRole("menuitem", { name: item }).click());
    };
    const json = await save(".json");
    expect(json.name === "Sorting explained.json", json.name);
    expect(JSON.parse(json.text).messages.length === 4, "with all branches");
    const md = await save(".md");
    expect(md.text.includes("# Sorting, explained") && md.text.includes("def merge_sort"), "to read");
    const count = await entries(tab).filter({ hasText: "Sorting" }).count();
    await drop(tab, "again.json", Buffer.from(json.text));
    await until(async () => (await entries(tab).filter({ hasText: "Sorting" }).count()) === count + 1, "a second chat, not in place of the first");
    tab.check();
  });

  await bench.check("saved chats are found, opened by their address, renamed and deleted", async () => {
    await page.keyboard.press("Control+k");
    await page.keyboard.type("PREMATURE evil");
    await until(async () => (await entries(tab).count()) === 2, "two chats hold both words");
    expect((await page.locator(".entry-found").first().innerText()).includes("Premature optimisation"), "the place is shown");
    await tab.shot("15-search");
    await page.fill("#search", "no such words");
    await page.getByText("Nothing found.").waitFor();
    await page.fill("#search", "");
    await entries(tab).filter({ hasText: "Sorting" }).first().click();
    await page.reload();
    await page.getByRole("heading", { name: "Sorting, explained" }).waitFor();
    await page.locator(".entry.here").hover();
    await page.locator(".entry.here").getByRole("button", { name: /Rename/ }).click();
    await page.locator(".entry .rename").fill("Sorts");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Sorts" }).waitFor();
    await until(async () => (await entries(tab).filter({ hasText: "Sorts" }).count()) === 1, "the list has the name");
    await until(async () => (await page.title()) === "Sorts · Bezel", "the tab too", 5000);
    const before = await entries(tab).count();
    await page.locator(".entry.here").getByRole("button", { name: /Delete/ }).click();
    await tab.shot("16-delete");
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await until(async () => (await entries(tab).count()) === before - 1, "one less");
    const all = await downloaded(tab, () => page.getByRole("button", { name: "Export all" }).click());
    expect(JSON.parse(all.text).chats.length === before - 1, "the export has the rest");
    tab.check();
  });

  await bench.check("two tabs that write to one chat lose nothing", async () => {
    await page.getByRole("button", { name: "New chat" }).click();
    await tab.ask("from one");
    await until(async () => (await entries(tab).first().innerText()) === "from one", "it is saved");
    const other = await bench.tab(tab.server, { path: `#${new URL(page.url()).hash.slice(1)}`, context: tab.context });
    await other.page.locator("article.assistant").waitFor();
    await tab.ask("second of one");
    other.allow(/412/);
    await other.ask("second of two");
    await other.page.waitForTimeout(300);
    await other.page.reload();
    await other.page.locator("article.user .branches").waitFor();
    expect((await other.page.locator("article.user .branches").innerText()).includes("2/2"), "both are branches now");
    other.check();
    await other.page.close();
    tab.check();
  });

  await bench.check("everything is reached by keys, in order, with the focus to be seen", async () => {
    await page.keyboard.press("Alt+n");
    await page.waitForSelector(".welcome");
    await page.keyboard.press("Control+/");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await tab.shot("17-keys");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Alt+s");
    await page.getByRole("dialog", { name: "Settings of this chat" }).waitFor();
    await page.keyboard.press("Escape");
    await until(async () => (await page.locator("dialog").count()) === 0, "Escape closes");
    await page.keyboard.press("Alt+b");
    expect(await page.locator("#sidebar").isHidden(), "the list is hidden");
    await page.keyboard.press("Alt+b");
    await page.evaluate(() => (document.activeElement?.blur(), window.getSelection()?.removeAllRanges()));
    const names = [];
    for (let i = 0; i < 60; ++i) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const e = document.activeElement;
        const style = getComputedStyle(e);
        const around = getComputedStyle(e.closest(".search, .composer") ?? e);
        const seen = style.outlineStyle !== "none" || around.borderColor !== "rgba(0, 0, 0, 0)" || e === document.body;
        return { name: e.getAttribute("aria-label") ?? e.textContent.slice(0, 30), seen, field: e.id };
      });
      expect(at.seen, `the focus is not to be seen at ${at.name}`);
      names.push(at.name.trim());
      if (at.field === "draft") break;
    }
    const order = ["New chat", "Search chats", "Model", "Settings", "Message"].map((n) => names.indexOf(n));
    expect(order.every((n, i) => n >= 0 && (i === 0 || n > order[i - 1])), `the order is ${names.join(", ")}`);
    tab.check();
  });
}

export async function looks(bench, server) {
  await bench.check("dark colours are as readable, and can be chosen", async () => {
    const tab = await bench.tab(server, { colorScheme: "dark" });
    await tab.page.locator(".entry-title", { hasText: "Sorting" }).first().click();
    await tab.page.locator("math").first().waitFor();
    await tab.page.locator(".scroll").evaluate((e) => e.scrollTo(0, 300));
    await tab.shot("18-dark");
    await tab.accessible("dark");
    await tab.settings(async () => tab.accessible("dark settings"));
    await tab.page.getByRole("button", { name: /^Colours/ }).click();
    expect((await tab.page.evaluate(() => getComputedStyle(document.body).backgroundColor)) === "rgb(253, 252, 250)", "light");
    tab.check();
    await tab.context.close();
  });

  await bench.check("the page fits a phone", async () => {
    const tab = await bench.tab(server, { viewport: { width: 360, height: 700 }, hasTouch: true, isMobile: true });
    const wide = () => tab.page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    await tab.page.waitForSelector(".welcome");
    await tab.shot("19-phone-welcome");
    expect(!(await wide()), "nothing sticks out");
    await tab.page.getByRole("button", { name: "Show the list of chats" }).click();
    await tab.shot("20-phone-list");
    await tab.accessible("phone list");
    await tab.page.locator(".entry-title", { hasText: "Sorting" }).first().click();
    await tab.page.locator("math").first().waitFor();
    expect(await tab.page.locator("#sidebar").isHidden(), "the list makes room");
    expect(!(await wide()), "nothing sticks out of a chat");
    await tab.page.locator(".scroll").evaluate((e) => e.scrollTo(0, 500));
    await tab.shot("21-phone-chat");
    await tab.accessible("phone chat");
    await tab.settings(async () => {
      await tab.shot("22-phone-settings");
      expect(!(await wide()), "nor of the settings");
    });
    tab.check();
    await tab.context.close();
  });
}

export async function trouble(bench) {
  await bench.check("a server with a key asks for it", async () => {
    const server = await Server.start(bench, { key: "open sesame", chats: path.join(bench.folder, "keyed.db") });
    const tab = await bench.tab(server);
    tab.allow(/401/);
    await tab.page.getByLabel("API key").fill("wrong");
    await tab.shot("23-key");
    await tab.accessible("key");
    await tab.page.getByRole("button", { name: "Go on" }).click();
    await tab.page.getByText("That key is not the right one.").waitFor();
    await tab.page.getByLabel("API key").fill("open sesame");
    await tab.page.getByRole("button", { name: "Go on" }).click();
    await tab.page.waitForSelector(".welcome");
    await tab.ask("abc");
    expect((await tab.answers().count()) === 1, "it answers");
    tab.check();
    await tab.context.close();
    await server.end();
  });

  await bench.check("chats are there after kill -9 of the server while one is written", async () => {
    const chats = path.join(bench.folder, "killed.db");
    const first = await Server.start(bench, { chats });
    const tab = await bench.tab(first);
    tab.allow(/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_CONNECTION_RESET|ERR_EMPTY/);
    await tab.settings((panel) => panel.getByLabel("Most tokens").fill("20"));
    await tab.ask("before the end");
    await until(async () => (await entries(tab).count()) === 1, "it is saved");
    await tab.settings(async (panel) => {
      await panel.getByLabel("Most tokens").fill("8000");
      await panel.getByLabel("JSON that fits a schema").check();
      await panel.getByLabel("JSON Schema").fill('{"type":"string","minLength":6000,"maxLength":7000}');
    });
    await tab.page.fill("#draft", "in the middle");
    await tab.page.press("#draft", "Enter");
    await until(async () => (await tab.answers().last().innerText()).length > 30, "an answer streams");
    await first.end("SIGKILL");
    await tab.quiet();
    await tab.page.getByRole("alert").waitFor();
    await tab.shot("24-server-gone");
    const second = await Server.start(bench, { chats, port: first.port });
    await tab.page.reload();
    await until(async () => (await tab.page.locator("article.user").count()) === 2, "both questions are there");
    expect((await tab.answers().first().innerText()).length > 5, "and the first answer");
    tab.check();
    await tab.context.close();
    await second.end();
  });

  await bench.check("a full disk is said, and the chat goes on", async () => {
    const server = await Server.start(bench, { chats: path.join(bench.folder, "full.db"), limit: 200 });
    const tab = await bench.tab(server);
    tab.allow(/400|50[07]/);
    await tab.settings((panel) => panel.getByLabel("Most tokens").fill("20"));
    await tab.ask("small");
    await until(async () => (await entries(tab).count()) === 1, "a small chat is saved");
    await tab.page.fill("#draft", "x".repeat(4000));
    await drop(tab, "big.log", Buffer.from("line of a log\n".repeat(20000)));
    await tab.page.locator(".files li").waitFor();
    await tab.page.getByRole("button", { name: "Remove big.log" }).waitFor();
    await tab.page.press("#draft", "Enter");
    await tab.quiet();
    await tab.page.getByText("This chat is not saved").waitFor();
    await tab.shot("25-full-disk");
    await tab.page.getByRole("button", { name: "New chat" }).click();
    await tab.ask("still here?");
    expect((await tab.answers().count()) === 1, "it still answers");
    tab.check();
    await tab.context.close();
    await server.end();
  });

  await bench.check("without saved chats the page works and says so", async () => {
    const server = await Server.start(bench, {});
    const tab = await bench.tab(server);
    await tab.page.getByText("Chats are not saved here.").waitFor();
    await tab.ask("abc");
    expect((await tab.answers().count()) === 1 && (await entries(tab).count()) === 1, "it answers and lists");
    await tab.page.locator(".entry").hover();
    await tab.page.locator(".entry").getByRole("button", { name: /Delete/ }).click();
    await tab.page.getByRole("button", { name: "Delete", exact: true }).click();
    await until(async () => (await entries(tab).count()) === 0, "and a chat can be deleted", 5000);
    tab.check();
    await tab.context.close();
    await server.end();
  });
}
