#!/usr/bin/env python3
"""The official Python clients openai, anthropic and ollama, unmodified, against `bezel serve`.

    clients.py PROGRAM MODEL [--tools]

MODEL must have a chat template's markers; with --tools also those of tool calls (Gemma 4). Prints one line a check;
exit status 1 when one fails.
"""
import json
import re
import subprocess
import sys
import threading
import traceback

import anthropic
import httpx
import ollama
import openai

CHECKS = []
MESSAGES = [{"role": "user", "content": "Say hello."}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 3}},
          "required": ["n"], "additionalProperties": False}
TOOL = {"name": "add", "description": "Adds two numbers.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}},
                       "required": ["a"], "additionalProperties": False}}
OPENAI_TOOL = {"type": "function", "function": TOOL}


def check(tools=False):
    def add(function):
        CHECKS.append((function, tools))
        return function
    return add


class Clients:
    def __init__(self, url):
        self.url = url
        self.openai = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        self.anthropic = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
        self.ollama = ollama.Client(host=url)
        self.model = self.openai.models.list().data[0].id


# ---- openai

@check()
def openai_chat_whole_and_streamed_are_the_same(c):
    ask = dict(model=c.model, messages=MESSAGES, temperature=0, max_tokens=12)
    whole = c.openai.chat.completions.create(**ask)
    chunks = list(c.openai.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    text = "".join(k.choices[0].delta.content or "" for k in chunks if k.choices)
    assert text == whole.choices[0].message.content, (text, whole)
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert whole.choices[0].finish_reason in ("length", "stop")


@check()
def openai_seed_n_and_logprobs(c):
    ask = dict(model=c.model, messages=MESSAGES, seed=5, n=2, max_tokens=5, logprobs=True, top_logprobs=3)
    a, b = (c.openai.chat.completions.create(**ask) for _ in range(2))
    assert [x.message.content for x in a.choices] == [x.message.content for x in b.choices]
    assert all(len(x.logprobs.content) >= 1 for x in a.choices)
    assert len(a.choices[0].logprobs.content[0].top_logprobs) == 3


@check()
def openai_schema_and_json(c):
    r = c.openai.chat.completions.create(
        model=c.model, messages=MESSAGES, max_tokens=400, seed=1,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}})
    assert json.loads(r.choices[0].message.content)["n"] in (1, 2, 3)


@check()
def openai_stop_bias_and_completions(c):
    r = c.openai.completions.create(model=c.model, prompt="One two three", max_tokens=8, temperature=0, stop=["\n"])
    assert "\n" not in r.choices[0].text
    r = c.openai.completions.create(model=c.model, prompt="One two", max_tokens=1, logprobs=1, echo=True)
    assert r.choices[0].text.startswith("One two")
    assert len(r.choices[0].logprobs.tokens) == len(r.choices[0].logprobs.token_logprobs)
    text = "".join(k.choices[0].text for k in c.openai.completions.create(
        model=c.model, prompt="One two", max_tokens=4, temperature=0, stream=True))
    assert text == c.openai.completions.create(model=c.model, prompt="One two", max_tokens=4,
                                               temperature=0).choices[0].text


@check()
def openai_errors_are_the_clients_own(c):
    try:
        c.openai.chat.completions.create(model=c.model, messages=MESSAGES, temperature=-1)
    except openai.BadRequestError as error:
        assert "temperature" in str(error) and error.param == "temperature"
    else:
        raise AssertionError("no error")


@check(tools=True)
def openai_tools_in_a_loop(c):
    ask = dict(model=c.model, messages=list(MESSAGES), tools=[OPENAI_TOOL], tool_choice="required",
               parallel_tool_calls=False, seed=3, max_tokens=300)
    r = c.openai.chat.completions.create(**ask)
    call = r.choices[0].message.tool_calls[0]
    assert r.choices[0].finish_reason == "tool_calls" and 0 <= json.loads(call.function.arguments)["a"] <= 9
    parts = [k.choices[0].delta.tool_calls[0] for k in c.openai.chat.completions.create(**ask, stream=True)
             if k.choices and k.choices[0].delta.tool_calls]
    assert parts[0].function.name == "add" and parts[0].id
    joined = "".join(p.function.arguments or "" for p in parts)
    assert json.loads(joined) == json.loads(call.function.arguments)
    more = ask["messages"] + [r.choices[0].message.model_dump(exclude_none=True),
                              {"role": "tool", "tool_call_id": call.id, "content": "7"}]
    r = c.openai.chat.completions.create(model=c.model, messages=more, tools=[OPENAI_TOOL], max_tokens=5, seed=1)
    assert r.usage.prompt_tokens > 10


@check(tools=True)
def openai_reasoning(c):
    r = c.openai.chat.completions.create(model=c.model, messages=MESSAGES, reasoning_effort="low", max_tokens=20, seed=1,
                                         extra_body={"thinking_token_budget": 5})
    assert r.usage.completion_tokens > 0


# ---- anthropic

@check()
def anthropic_whole_and_streamed_are_the_same(c):
    ask = dict(model=c.model, max_tokens=12, messages=MESSAGES, system="Be brief.", extra_body={"temperature": 0})
    whole = c.anthropic.messages.create(**ask)
    with c.anthropic.messages.stream(**ask) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "".join(b.text for b in whole.content if b.type == "text")
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert whole.stop_reason in ("max_tokens", "end_turn")


@check()
def anthropic_counts_and_errors(c):
    n = c.anthropic.messages.count_tokens(model=c.model, messages=MESSAGES).input_tokens
    assert n > 3
    try:
        c.anthropic.messages.create(model=c.model, max_tokens=0, messages=MESSAGES)
    except anthropic.BadRequestError as error:
        assert "max_tokens" in str(error)
    else:
        raise AssertionError("no error")


@check(tools=True)
def anthropic_tools(c):
    tool = {"name": "add", "description": TOOL["description"], "input_schema": TOOL["parameters"]}
    ask = dict(model=c.model, max_tokens=300, messages=MESSAGES, tools=[tool], tool_choice={"type": "any"}, extra_body={"temperature": 0})
    r = c.anthropic.messages.create(**ask)
    use = [b for b in r.content if b.type == "tool_use"][0]
    assert r.stop_reason == "tool_use" and 0 <= use.input["a"] <= 9
    with c.anthropic.messages.stream(**ask) as stream:
        streamed = [b for b in stream.get_final_message().content if b.type == "tool_use"][0]
    assert streamed.input == use.input
    more = MESSAGES + [{"role": "assistant", "content": [b.model_dump() for b in r.content]},
                       {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "7"}]}]
    assert c.anthropic.messages.create(model=c.model, max_tokens=4, messages=more, tools=[tool]).usage.output_tokens > 0


# ---- ollama

@check()
def ollama_chat_and_generate(c):
    options = {"temperature": 0, "num_predict": 10}
    whole = c.ollama.chat(model=c.model, messages=MESSAGES, options=options)
    text = "".join(k.message.content for k in c.ollama.chat(model=c.model, messages=MESSAGES, options=options, stream=True))
    assert text == whole.message.content and whole.eval_count > 0 and whole.done
    g = c.ollama.generate(model=c.model, prompt="One two", raw=True, options=options)
    assert g.response == "".join(k.response for k in c.ollama.generate(model=c.model, prompt="One two", raw=True,
                                                                       options=options, stream=True))
    r = c.ollama.chat(model=c.model, messages=MESSAGES, format=SCHEMA, options={"num_predict": 400, "seed": 1})
    assert json.loads(r.message.content)["n"] in (1, 2, 3)


@check()
def ollama_tells_about_its_model(c):
    assert c.ollama.list().models[0].model == c.model
    assert c.ollama.ps().models[0].model == c.model
    assert "completion" in c.ollama.show(c.model).capabilities
    try:
        c.ollama.chat(model=c.model, messages=MESSAGES, options={"temperature": -1})
    except ollama.ResponseError as error:
        assert error.status_code == 400 and "temperature" in error.error
    else:
        raise AssertionError("no error")


@check(tools=True)
def ollama_tools(c):
    r = c.ollama.chat(model=c.model, messages=MESSAGES, tools=[OPENAI_TOOL], options={"num_predict": 20, "seed": 1})
    assert r.done


# ---- many

@check()
def clients_that_leave_harm_nobody(c):
    ask = dict(model=c.model, prompt="One two three", max_tokens=10, temperature=0)
    want = c.openai.completions.create(**ask).choices[0].text
    got = []

    def stay():
        got.append(c.openai.completions.create(**ask).choices[0].text)

    def leave():
        with httpx.stream("POST", f"{c.url}/v1/completions", timeout=60,
                          json={"prompt": "x", "max_tokens": 500, "stream": True}) as r:
            next(r.iter_lines())
    threads = [threading.Thread(target=f) for f in (stay, leave) * 6]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [want] * 6, got


def main():
    program, model = sys.argv[1:3]
    server = subprocess.Popen([program, "serve", model, "--port", "0", "--ctx", "2048", "--parallel", "4",
                               "--chats", "off"],
                              stdout=subprocess.PIPE, text=True)
    failed = 0
    try:
        found = re.search(r"http://\S+", server.stdout.readline())
        clients = Clients(found[0])
        for function, tools in CHECKS:
            if tools and "--tools" not in sys.argv:
                print(f"skip {function.__name__}: the model has no markers for tools", flush=True)
                continue
            try:
                function(clients)
                print(f"ok   {function.__name__}", flush=True)
            except Exception:  # the others still run
                failed += 1
                print(f"FAIL {function.__name__}\n{traceback.format_exc()}", flush=True)
    finally:
        server.terminate()
        if server.wait(30) != 0:
            failed += 1
            print("FAIL the server did not end well")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
