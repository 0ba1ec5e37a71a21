// The chat page in headless Chromium against a real `bezel serve`.
//   node tests/web/run.mjs PROGRAM CHROMIUM [FOLDER]     FOLDER: for a picture of every feature
import path from "node:path";

import { Bench, Server } from "./harness.mjs";
import { edges } from "./edges.mjs";
import { keeping, looks, trouble } from "./keeping.mjs";
import { models } from "./models.mjs";
import { talking } from "./talking.mjs";

const [program, chromium, shots] = process.argv.slice(2);
const bench = new Bench(program, shots);
try {
  await bench.open(chromium);
  const server = await Server.start(bench, { chats: path.join(bench.folder, "chats.db") });
  const tab = await bench.tab(server);
  await talking(bench, tab);
  await keeping(bench, tab);
  await tab.context.close();
  await looks(bench, server);
  await edges(bench);
  await models(bench);
  await trouble(bench);
} finally {
  await bench.close();
}
process.exitCode = bench.failed ? 1 : 0;
