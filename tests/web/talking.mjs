// Checks of talking: answers, branches, settings, forms, tools, stopping.
import { expect, until } from "./harness.mjs";

const long = JSON.stringify({ type: "string", minLength: 6000, maxLength: 7000 });
const weather = JSON.stringify([
  { type: "function", function: { name: "get_weather", parameters: { type: "object", properties: { city: { enum: ["Oslo", "Rome"] } }, required: ["city"], additionalProperties: false } } },
]);

/** Sets the form of the answer to a schema. */
async function useSchema(panel, schema) {
  await panel.getByLabel("JSON that fits a schema").check();
  await panel.getByLabel("JSON Schema").fill(schema);
}

const newChat = (tab) => tab.page.getByRole("button", { name: "New chat" }).click();
const everything = (panel) => panel.getByRole("button", { name: "Everything as the model has it" }).click();

export async function talking(bench, tab) {
  const { page } = tab;
  const limit = (panel) => panel.getByLabel("Most tokens").fill("40");

  await bench.check("the page opens with a field to write in", async () => {
    await page.waitForSelector(".welcome");
    expect(await page.evaluate(() => document.activeElement?.id === "draft"), "the field has the focus");
    expect((await page.locator("#model").inputValue()) === "Tiny", "the model is shown");
    await tab.shot("01-welcome");
    await tab.accessible("welcome");
    tab.check();
  });

  await bench.check("an answer streams, with its speed and the context it takes", async () => {
    await tab.settings(limit);
    await tab.ask("abc");
    expect((await tab.answers().count()) === 1, "one answer");
    expect(/tokens, [\d.]+ tokens\/s/.test(await tab.answers().first().innerText()), "the speed is shown");
    const now = Number(await page.locator(".meter").getAttribute("aria-valuenow"));
    expect(now > 10 && now < 300, `the context holds ${now} tokens`);
    expect(tab.asked.at(-1).stream === true && tab.asked.at(-1).max_tokens === 40, "the request has the settings");
    expect((await page.locator("[role=log]").innerText()).includes("The model is answering."), "it is said aloud");
    await tab.shot("02-answer");
    tab.check();
  });

  await bench.check("another answer is a branch, and branches can be changed", async () => {
    const before = await tab.answers().first().locator(".markdown").last().innerText();
    await tab.answers().first().getByRole("button", { name: "Answer again" }).click();
    await tab.quiet();
    expect((await page.locator("article.assistant .branches").innerText()).includes("2/2"), "two branches");
    await tab.shot("03-branches");
    await page.getByRole("button", { name: "Previous branch" }).click();
    expect((await tab.answers().first().locator(".markdown").last().innerText()) === before, "the first answer is back");
    expect(await page.getByRole("button", { name: "Previous branch" }).isDisabled(), "there is none before it");
    tab.check();
  });

  await bench.check("an edited question is a branch with an answer of its own", async () => {
    const question = page.locator("article.user").first();
    await question.hover();
    await question.getByRole("button", { name: "Edit" }).click();
    await page.locator(".editor textarea").fill("xyz");
    await tab.shot("04-edit");
    await page.locator(".editor textarea").press("Control+Enter");
    await until(async () => (await question.locator(".bubble").innerText()) === "xyz", "the new question is shown");
    await tab.quiet();
    expect((await question.locator(".branches").innerText()).includes("2/2"), "beside the old one");
    expect(tab.asked.at(-1).messages.length === 1, "the old one is not sent");
    await question.getByRole("button", { name: "Previous branch" }).click();
    expect((await question.locator(".bubble").innerText()) === "abc", "the old one is still there");
    await question.getByRole("button", { name: "Next branch" }).click();
    tab.check();
  });

  await bench.check("an edited answer is what the next request holds", async () => {
    await tab.answers().first().getByRole("button", { name: "Edit" }).click();
    await page.locator(".editor textarea").fill("My **own** answer");
    await page.getByRole("button", { name: "Keep as a new branch" }).click();
    await tab.ask("go on");
    expect(tab.asked.at(-1).messages[1].content === "My **own** answer", "the request has it");
    expect((await tab.answers().first().locator("strong").innerText()) === "own", "it is shown as Markdown");
    tab.check();
  });

  await bench.check("a seed and a system prompt reach the model", async () => {
    await newChat(tab);
    await tab.settings(async (panel) => {
      await panel.getByLabel("System prompt").fill("Be brief.");
      await panel.getByLabel("Seed").fill("7");
      await panel.getByLabel("Temperature").fill("0.9");
      await panel.getByLabel("Stop texts").fill("qzqzqz");
      await tab.shot("05-settings");
      await tab.accessible("settings");
    });
    await tab.ask("one");
    const first = await tab.answers().first().locator(".markdown").last().innerText();
    await tab.answers().first().getByRole("button", { name: "Answer again" }).click();
    await tab.quiet();
    expect((await tab.answers().first().locator(".markdown").last().innerText()) === first, "the same seed gives the same answer");
    const asked = tab.asked.at(-1);
    expect(asked.messages[0].role === "system" && asked.messages[0].content === "Be brief.", "the system prompt is first");
    expect(asked.seed === 7 && asked.temperature === 0.9 && asked.stop[0] === "qzqzqz", "sampling is sent");
    tab.check();
  });

  await bench.check("an answer fits its schema, and a wrong schema is said", async () => {
    await newChat(tab);
    await tab.settings(async (panel) => {
      await everything(panel);
      await useSchema(panel, "{");
      await panel.locator(".problem").first().waitFor();
      await panel.getByLabel("JSON Schema").fill("");
      await panel.getByRole("button", { name: "Begin with an example" }).click();
      await tab.shot("06-schema");
    });
    await tab.ask("a person");
    const answer = JSON.parse(await tab.answers().first().locator("code.language-json").innerText());
    expect(typeof answer.name === "string" && Number.isInteger(answer.age) && answer.age <= 120, "it fits");
    expect((await page.locator(".chip.on").innerText()).includes("Schema"), "the chip says so");
    await tab.shot("07-schema-answer");
    tab.check();
  });

  await bench.check("an answer that runs is stopped by its button and by Escape", async () => {
    for (const how of ["button", "key"]) {
      await newChat(tab);
      await tab.settings((panel) => useSchema(panel, long));
      await page.fill("#draft", how);
      await page.press("#draft", "Enter");
      await page.locator(".send.stop").waitFor();
      await until(async () => (await tab.answers().first().innerText()).length > 30, "some of it is there");
      if (how === "button") {
        await tab.shot("08-streaming");
        await page.locator(".send.stop").click();
      } else await page.keyboard.press("Escape");
      await tab.quiet();
      expect((await tab.answers().first().innerText()).includes("Stopped."), `${how}: it says so`);
    }
    const metrics = await until(async () => {
      const text = await (await fetch(`${tab.server.url}metrics`)).text();
      return /requests_running 0\n/.test(text) && text;
    }, "the server runs nothing more");
    expect(Number(/cancelled_total (\d+)/.exec(metrics)[1]) >= 2, "the server was told");
    tab.check();
  });

  await bench.check("a tool is called, its result shown, and thoughts are folded", async () => {
    await newChat(tab);
    await tab.settings(async (panel) => {
      await everything(panel);
      await panel.getByLabel("Think before answering").check();
      await panel.getByLabel("Most tokens of a thought").fill("12");
      await panel.getByRole("checkbox", { name: /calculator/ }).check();
      await panel.getByLabel("The first answer must call a tool").check();
      await panel.getByLabel("Most tokens", { exact: false }).last().fill("600");
    });
    await tab.ask("what is two and two?");
    await page.locator(".call").first().waitFor();
    expect((await page.locator(".call-name").first().innerText()) === "calculator", "the call has a name");
    expect((await page.locator(".call-result pre").first().innerText()).length > 0, "and a result");
    const again = tab.asked.at(-1);
    expect(again.messages.some((m) => m.role === "tool") && again.tool_choice === "auto", "the result went to the model");
    const thought = page.locator("details.thought").first();
    await thought.waitFor();
    expect(!(await thought.evaluate((e) => e.open)), "the thought is folded");
    await thought.locator("summary").click();
    await thought.locator(".markdown").waitFor();
    expect(await thought.locator(".markdown").isVisible(), "and can be read");
    await tab.shot("09-tools");
    await tab.accessible("tools");
    tab.check();
  });

  await bench.check("a tool of one's own gets its result from the person", async () => {
    await newChat(tab);
    await tab.settings(async (panel) => {
      await everything(panel);
      await panel.getByLabel("The first answer must call a tool").check();
      await panel.getByLabel("Most tokens", { exact: false }).last().fill("100");
      await panel.getByLabel("More tools").fill(weather);
    });
    await tab.ask("weather?");
    await tab.shot("10-own-tool");
    const form = page.locator(".call-form").first();
    await form.waitFor();
    while (await page.locator(".call-form").count()) {
      await page.locator(".call-form textarea").first().fill("12 degrees");
      await page.locator(".call-form").first().getByRole("button", { name: "Send result" }).click();
      await tab.quiet();
    }
    expect(tab.asked.at(-1).messages.some((m) => m.role === "tool" && m.content === "12 degrees"), "the model got it");
    await tab.settings(everything);
    tab.check();
  });
}
