import { expect, test } from "vitest";

import { messageOf } from "../src/lib/api";
import { Pace, percent, progressText, type Pull } from "../src/lib/store";
import { values } from "../src/lib/stream";
import { duration, size, toJson } from "../src/lib/text";
import { cutStream } from "./stream";

const all = async <T>(text: string, cut: number): Promise<T[]> => {
  const out: T[] = [];
  for await (const value of values<T>(cutStream(text, cut))) out.push(value);
  return out;
};

test("lines of JSON are the same wherever the stream is cut", async () => {
  const text = '{"status":"é€😀"}\n\n{"total":3,"completed":1}\r\n{"status":"success"}\n';
  for (let cut = 1; cut <= text.length + 6; ++cut)
    expect(await all(text, cut)).toEqual([{ status: "é€😀" }, { total: 3, completed: 1 }, { status: "success" }]);
});

test("a line that is cut off by the stream's end is left out", async () => {
  expect(await all('{"a":1}\n{"status":"succ', 5)).toEqual([{ a: 1 }]);
});

test("the sentence of an error is found in each API's form", () => {
  expect(messageOf('{"error":{"message":"no such field"}}')).toBe("no such field");
  expect(messageOf('{"error":"no such model"}')).toBe("no such model");
  expect(messageOf('{"error":{"code":3}}')).toBe('{"error":{"code":3}}');
  expect(messageOf("plain")).toBe("plain");
  expect(messageOf("null")).toBe("null");
  expect(messageOf("")).toBe("The server gave no reason.");
});

test("what is sent has no half of a character, and whole ones and backslashes as they are", () => {
  expect(toJson({ "\ud83d": ["a\udc00b", "\udc00\ud83d"] })).toBe('{"\ufffd":["a\ufffdb","\ufffd\ufffd"]}');
  const whole = { "😀": ["\ud83d\ude00", "\\ud83d", "\\\\ud83d", '\\"\u0000\ue000'] };
  expect(toJson(whole)).toBe(JSON.stringify(whole));
  expect(toJson("\\\ud83d")).toBe('"\\\\\ufffd"');
});

test("the pace is that of the last seconds, and what was here before does not count", () => {
  const pace = new Pace();
  expect(pace.at(0, 5_000_000)).toBe(0);
  expect(pace.at(500, 5_100_000)).toBe(0);
  expect(pace.at(1000, 5_200_000)).toBe(200_000);
  for (let t = 2; t <= 10; ++t) pace.at(t * 1000, 5_200_000 + (t - 1) * 1_000_000);
  expect(pace.at(11_000, 15_200_000)).toBe(1_000_000);
});

test("the pace falls while nothing comes, and begins anew with a file that does", () => {
  const pace = new Pace();
  pace.at(0, 0);
  pace.at(1000, 1000);
  expect(pace.at(21_000, 2000)).toBe(50);
  expect(pace.at(22_000, 0)).toBe(0);
  expect(pace.at(23_000, 700)).toBe(700);
});

test.each([
  [0, "0 bytes"],
  [999, "999 bytes"],
  [1000, "1.00 kB"],
  [999_600, "1.00 MB"],
  [1_833_706, "1.83 MB"],
  [3_420_000_000, "3.42 GB"],
  [2_000_000_000_000, "2.00 TB"],
])("%d bytes are %s", (bytes, text) => expect(size(bytes)).toBe(text));

test.each([
  [0, "5 s"],
  [41, "45 s"],
  [55.5, "1 min"],
  [61, "2 min"],
  [3540, "59 min"],
  [3541, "1 h 0 min"],
  [4800, "1 h 20 min"],
])("%d seconds are %s", (seconds, text) => expect(duration(seconds)).toBe(text));

test("progress says no more than is known", () => {
  const p: Pull = { model: "m", stop: new AbortController(), status: "", total: 0, here: 0, rate: 0 };
  expect(progressText(p)).toBe("");
  const known = { ...p, total: 3_000_000_000, here: 1_265_000_000 };
  expect(progressText(known)).toBe("42 %, 1.26 GB of 3.00 GB");
  expect(progressText({ ...known, rate: 11_300_000.4 })).toBe("42 %, 1.26 GB of 3.00 GB, 11.3 MB/s, 3 min left");
  expect(percent({ ...known, here: known.total - 1 })).toBe(99);
  expect(progressText({ ...known, here: known.total, rate: 5 })).toBe("100 %, 3.00 GB of 3.00 GB");
});
