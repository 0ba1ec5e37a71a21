#!/usr/bin/env python3
"""Random requests for `bezel render`, one JSON object a line.

    make_chat_requests.py COUNT [SEED]

Roles, thoughts, calls, results, media, tools with odd schemas, empty and missing members, and now and then something a
template stumbles over. Keys and texts mix capitals, other scripts, white space and marker strings.
"""
import json
import random
import sys

TEXTS = ["", " ", "Hi", " padded \n", "a\n\nb", "<turn|>", "<|channel>thought\nx\n<channel|>y", "z<channel|>w", "<|\"|>",
         "été", "日本", "\u00a0nbsp\u3000", "{a:1}", "quote \" and '", "back\\slash", "<|think|>go", "<|channel>open",
         "\u2028line", "tab\t"]
KEYS = ["a", "B", "b", "A", "z", "Zeta", "_x", "é", "É", "Ж", "ж", "key one", "type", "description", "properties", "10", "9", "İ",
        "name", "nullable"]
NAMES = ["f", "get_weather", "g", "ns.tool-1"]
TYPES = ["string", "integer", "number", "boolean", "object", "array", "STRING", "null", "Object"]


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def chance(self, p):
        return self.r.random() < p

    def text(self):
        return self.r.choice(TEXTS) if self.chance(0.8) else self.r.choice(TEXTS) + self.r.choice(TEXTS)

    def number(self):
        return self.r.choice([0, 1, -1, 1.0, 2.5, 1e-07, 1e16, 123456789012345680.0, 0.0001, 1e-5, -0.0, 1e22, 3.14159, 10 ** 15,
                              2 ** 63, -2 ** 63, 1e100, self.r.random(), self.r.randint(-10 ** 9, 10 ** 9),
                              self.r.random() * 10 ** self.r.randint(-20, 25)])

    def value(self, depth=0):
        kind = self.r.randrange(8 if depth < 3 else 5)
        if kind == 0:
            return None
        if kind == 1:
            return self.chance(0.5)
        if kind == 2:
            return self.number()
        if kind < 5:
            return self.text()
        if kind == 5:
            return [self.value(depth + 1) for _ in range(self.r.randrange(4))]
        return self.object(depth + 1)

    def object(self, depth=0):
        return {self.r.choice(KEYS): self.value(depth) for _ in range(self.r.randrange(4))}

    def schema(self, depth=0):
        if self.chance(0.05):
            return self.r.choice([None, True, "text", [], {}])
        s = {}
        if self.chance(0.9):
            s["type"] = self.r.choice(TYPES) if self.chance(0.9) else self.r.choice([["string", "null"], ["integer"], None, [], "it's", ["it's", "a\"b'"]])
        if self.chance(0.5):
            s["description"] = self.text()
        if self.chance(0.2):
            s["enum"] = self.r.choice([["a", "b"], [1, 2], [], [None, {"K": 1, "a": 2}], "x"])
        if self.chance(0.2):
            s["nullable"] = self.chance(0.7)
        if depth < 3 and (str(s.get("type")).lower() == "object" or self.chance(0.1)) and self.chance(0.8):
            s["properties"] = {self.r.choice(KEYS): self.schema(depth + 1) for _ in range(self.r.randrange(4))}
        if self.chance(0.3):
            s["required"] = self.r.sample(KEYS, self.r.randrange(3))
        if depth < 3 and (str(s.get("type")).lower() == "array" or self.chance(0.1)) and self.chance(0.8):
            s["items"] = self.schema(depth + 1) if self.chance(0.9) else None
        for key, make in [("minimum", self.number), ("default", self.value), ("title", self.text),
                          ("additionalProperties", lambda: self.r.choice([True, False, {"type": "string"}])),
                          ("anyOf", lambda: [{"type": "string"}, {"type": "null"}])]:
            if self.chance(0.1):
                s[key] = make()
        return dict(self.r.sample(list(s.items()), len(s)))

    def tool(self):
        f = {"name": self.r.choice(NAMES)}
        if self.chance(0.8):
            f["description"] = self.text()
        if self.chance(0.85):
            f["parameters"] = {"type": "object", "properties": {self.r.choice(KEYS): self.schema() for _ in range(self.r.randrange(5))}}
            if self.chance(0.4):
                f["parameters"]["required"] = self.r.sample(KEYS, self.r.randrange(3))
            if self.chance(0.1):
                del f["parameters"]["type"]
        if self.chance(0.1):
            f["response"] = self.r.choice([{"type": "object"}, {"type": "string", "description": "d"}, {}])
        return {"type": "function", "function": f}

    def parts(self):
        kinds = ["text"] * 4 + ["image", "image_url", "audio", "input_audio", "video"]
        out = []
        for _ in range(self.r.randrange(4)):
            kind = self.r.choice(kinds)
            out.append({"type": kind, "text": self.text()} if kind == "text" else {"type": kind})
        return out

    def content(self):
        return self.r.choice([self.text, self.text, self.text, self.parts, lambda: None])()

    def message(self):
        role = self.r.choice(["user"] * 4 + ["assistant"] * 5 + ["tool"] * 4 + ["system", "developer", "model", "critic"])
        m = {"role": role}
        if self.chance(0.9):
            m["content"] = self.content()
        if role == "tool":
            if self.chance(0.7):
                m["tool_call_id"] = self.r.choice(["c1", "c2", "c3", None])
            if self.chance(0.4):
                m["name"] = self.r.choice(NAMES + [""])
            if self.chance(0.1):
                m["content"] = self.value()
            return m
        if self.chance(0.35):
            m[self.r.choice(["reasoning", "reasoning_content"])] = self.text()
        if role == "assistant" and self.chance(0.5) or self.chance(0.03):
            m["tool_calls"] = [self.call() for _ in range(self.r.randrange(4))]
            if self.chance(0.15):
                m["tool_responses"] = [self.response() for _ in range(self.r.randrange(3))]
        return m

    def call(self):
        arguments = self.object()
        if self.chance(0.05):
            arguments = self.r.choice([None, "{}", "", [], 0, False])
        call = {"type": "function", "function": {"name": self.r.choice(NAMES), "arguments": arguments}}
        if self.chance(0.05):
            del call["function"]["arguments"]
        if self.chance(0.8):
            call["id"] = self.r.choice(["c1", "c2", "c3"])
        return call

    def response(self):
        r = {"response": self.value()}
        if self.chance(0.8):
            r["name"] = self.r.choice(NAMES)
        return r

    def request(self):
        messages = [self.message() for _ in range(self.r.randrange(7))]
        if messages and self.chance(0.3):
            messages[0] = {"role": self.r.choice(["system", "developer"]),
                           "content": self.text() if self.chance(0.7) else [{"type": "text", "text": self.text()} for _ in range(2)]}
        out = {"messages": messages, "add_generation_prompt": self.chance(0.85), "kwargs": {}}
        if self.chance(0.4):
            out["tools"] = [self.tool() for _ in range(self.r.randrange(4))]
        if self.chance(0.5):
            out["kwargs"]["enable_thinking"] = self.chance(0.8)
        if self.chance(0.3):
            out["kwargs"]["preserve_thinking"] = self.chance(0.8)
        return out


def main():
    maker = Maker(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    for _ in range(int(sys.argv[1])):
        print(json.dumps(maker.request(), ensure_ascii=False))


if __name__ == "__main__":
    main()
