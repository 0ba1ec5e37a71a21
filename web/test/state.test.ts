import { beforeEach, expect, test } from "vitest";

import { facts, modelFacts, modelOf, models, noModel } from "../src/lib/state";
import { type Chat, type Facts, plainSettings } from "../src/lib/types";

const server: Facts = { model: "b", version: "1", store: true, loaded: true, chats: false, context: 4096 };
const chat = (model: string): Chat => ({ bezel_chat: 1, id: "c", title: "t", created: 0, updated: 0, model, leaf: null, settings: plainSettings, messages: [] });

beforeEach(() => {
  facts.value = server;
  models.value = ["a", "b"];
});

test("a chat's own model answers where it is here, else the server's, else any", () => {
  expect(modelOf(chat("a"))).toBe("a");
  expect(modelOf(chat("gone"))).toBe("b");
  expect(modelOf(null)).toBe("b");
  facts.value = { ...server, model: "let go" };
  expect(modelOf(chat("gone"))).toBe("a");
  models.value = [];
  expect(modelOf(chat("gone"))).toBe("let go");
});

test("there is no model only where the list is empty and one can be pulled", () => {
  expect(noModel.value).toBe(false);
  models.value = [];
  expect(noModel.value).toBe(true);
  facts.value = { ...server, store: false };
  expect(noModel.value).toBe(false);
});

test("facts are those of the model that answers, once it is loaded", () => {
  expect(modelFacts.value.context).toBe(4096);
  facts.value = { ...server, loaded: false };
  expect(modelFacts.value).toEqual({});
  facts.value = { ...server, model: "let go" };
  expect(modelFacts.value).toEqual({});
  facts.value = { ...server, store: false, model: "whatever name" };
  expect(modelFacts.value.context).toBe(4096);
});
