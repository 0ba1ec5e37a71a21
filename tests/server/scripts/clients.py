#!/usr/bin/env python3
"""The official Python clients openai, anthropic and ollama, unmodified, against `bezel serve`.

    clients.py PROGRAM MODEL [--tools]

MODEL must have a chat template's markers; with --tools also those of tool calls (Gemma 4). Prints one line a check;
exit status 1 when one fails.
"""
import json
import sys
import threading
import traceback

import anthropic
import httpx
import ollama
import openai

from served import served

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


@check()
def ollama_loads_and_says_what_it_cannot_do(c):
    assert c.ollama.generate(model=c.model, prompt="", keep_alive="10m").done_reason == "load"
    for status, ask in ((400, lambda: c.ollama.pull("e2b")),  # it is offline
                        (400, lambda: list(c.ollama.pull("e2b", stream=True))),
                        (404, lambda: c.ollama.delete("nothing")),
                        (404, lambda: c.ollama.copy("nothing", "something")),
                        (404, lambda: c.ollama.generate(model="e2b", prompt="a"))):
        try:
            ask()
        except ollama.ResponseError as error:
            assert error.status_code == status, error
        else:
            raise AssertionError(f"no error {status}")


@check(tools=True)
def ollama_tools(c):
    r = c.ollama.chat(model=c.model, messages=MESSAGES, tools=[OPENAI_TOOL], options={"num_predict": 20, "seed": 1})
    assert r.done


# ---- openai: responses and embeddings

FLAT_TOOL = {"type": "function", **TOOL, "strict": True}


@check()
def openai_responses_whole_and_streamed_are_the_same(c):
    ask = dict(model=c.model, input="Say hello.", instructions="Be brief.", temperature=0, max_output_tokens=12)
    whole = c.openai.responses.create(**ask)
    events = list(c.openai.responses.create(**ask, stream=True))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text
    assert [e.sequence_number for e in events] == list(range(len(events)))
    last = events[-1].response
    assert last.output_text == whole.output_text and last.usage.output_tokens == whole.usage.output_tokens
    assert whole.status in ("completed", "incomplete") and whole.usage.input_tokens_details.cached_tokens >= 0
    with c.openai.responses.stream(**ask) as stream:  # the client's own accumulator checks the order
        kinds = [e.type for e in stream]
    assert kinds[0] == "response.created" and kinds[-1] in ("response.completed", "response.incomplete")


@check()
def openai_responses_are_kept_read_and_forgotten(c):
    first = c.openai.responses.create(model=c.model, input="One two", temperature=0, max_output_tokens=4)
    assert c.openai.responses.retrieve(first.id).output_text == first.output_text
    after = c.openai.responses.create(model=c.model, input="three", previous_response_id=first.id, max_output_tokens=4)
    assert after.usage.input_tokens > first.usage.input_tokens and after.previous_response_id == first.id
    c.openai.responses.delete(first.id)
    raises(openai.NotFoundError, lambda: c.openai.responses.retrieve(first.id))
    raises(openai.BadRequestError, lambda: c.openai.responses.create(model=c.model, input="x", previous_response_id=first.id),
           "previous_response_id")
    lost = c.openai.responses.create(model=c.model, input="x", store=False, max_output_tokens=2)
    raises(openai.NotFoundError, lambda: c.openai.responses.retrieve(lost.id))


@check()
def openai_responses_keep_to_a_schema(c):
    r = c.openai.responses.create(model=c.model, input="A number.", max_output_tokens=400, temperature=0,
                                  text={"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}})
    assert json.loads(r.output_text)["n"] in (1, 2, 3)
    r = c.openai.responses.create(model=c.model, input="Hi", max_output_tokens=3, temperature=0, top_logprobs=2,
                                  include=["message.output_text.logprobs"])
    assert len(r.output[0].content[0].logprobs[0].top_logprobs) == 2


@check(tools=True)
def openai_responses_call_in_a_loop(c):
    rules = dict(model=c.model, tools=[FLAT_TOOL], temperature=0, max_output_tokens=300)
    first = c.openai.responses.create(input="Say hello.", tool_choice="required", parallel_tool_calls=False, **rules)
    call = first.output[-1]
    assert call.type == "function_call" and 0 <= json.loads(call.arguments)["a"] <= 9
    with c.openai.responses.stream(input="Say hello.", tool_choice={"type": "function", "name": "add"},
                                   parallel_tool_calls=False, **rules) as stream:
        joined = "".join(e.delta for e in stream if e.type == "response.function_call_arguments.delta")
    assert json.loads(joined) == json.loads(call.arguments)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "7"}
    rules["max_output_tokens"] = 5
    a = c.openai.responses.create(input=[{"role": "user", "content": "Say hello."},
                                         *[item.model_dump(exclude_none=True) for item in first.output], result], **rules)
    b = c.openai.responses.create(input=[result], previous_response_id=first.id, **rules)
    assert a.output_text == b.output_text and a.usage.input_tokens == b.usage.input_tokens


@check(tools=True)
def openai_responses_reason(c):
    ask = dict(model=c.model, input="Why?", reasoning={"effort": "high"}, max_output_tokens=30, temperature=0)
    whole = c.openai.responses.create(**ask)
    events = list(c.openai.responses.create(**ask, stream=True))
    thoughts = [i.content[0].text for i in whole.output if i.type == "reasoning"]
    assert "".join(e.delta for e in events if e.type == "response.reasoning_text.delta") == "".join(thoughts)
    assert whole.usage.output_tokens_details.reasoning_tokens >= len(thoughts)


@check()
def openai_embeddings_in_both_forms(c):
    ask = dict(model=c.model, input=["The cat sat.", "A dog ran.", [2, 100, 101]])
    floats = c.openai.embeddings.create(**ask, encoding_format="float")
    packed = c.openai.embeddings.create(**ask)  # the client asks for base64
    assert [d.embedding for d in floats.data] == [d.embedding for d in packed.data]
    assert len({len(d.embedding) for d in floats.data}) == 1 and floats.usage.prompt_tokens > 5
    assert all(abs(sum(x * x for x in d.embedding) - 1) < 1e-5 for d in floats.data)
    few = c.openai.embeddings.create(model=c.model, input="The cat sat.", dimensions=16)
    assert len(few.data[0].embedding) == 16


# ---- more of the same

def raises(kind, function, part=""):
    try:
        function()
    except kind as error:
        assert part in str(error), error
    else:
        raise AssertionError(f"no {kind.__name__}")


@check()
def openai_every_option_of_a_chat_is_taken(c):
    ask = dict(model=c.model, messages=[{"role": "developer", "content": "Be brief."}, *MESSAGES], temperature=0.7, top_p=0.9,
               seed=3, stop=["\n\n"], presence_penalty=0.5, frequency_penalty=0.5, logit_bias={"5": -100}, n=2,
               max_completion_tokens=6, user="me", metadata={"a": "b"}, store=False, logprobs=True, top_logprobs=1,
               extra_body={"top_k": 20, "min_p": 0.01, "repetition_penalty": 1.1})
    a, b = (c.openai.chat.completions.create(**ask) for _ in range(2))
    assert [x.message.content for x in a.choices] == [x.message.content for x in b.choices]
    texts = ["", ""]
    for chunk in c.openai.chat.completions.create(**ask, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [x.message.content for x in a.choices]


@check()
def openai_json_mode_and_the_clients_own_parser(c):
    r = c.openai.chat.completions.create(model=c.model, messages=MESSAGES, max_tokens=300, seed=2, temperature=0,
                                         response_format={"type": "json_object"}, logit_bias={})
    if r.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(r.choices[0].message.content), dict)
    import pydantic

    class Number(pydantic.BaseModel):
        n: int = pydantic.Field(ge=1, le=3)
    r = c.openai.chat.completions.parse(model=c.model, messages=MESSAGES, max_tokens=400, temperature=0, response_format=Number)
    assert r.choices[0].message.parsed.n in (1, 2, 3)
    r = c.openai.responses.parse(model=c.model, input="A number.", max_output_tokens=400, temperature=0, text_format=Number)
    assert r.output_parsed.n in (1, 2, 3)


@check()
def openai_completions_of_many_prompts(c):
    r = c.openai.completions.create(model=c.model, prompt=["One two", [2, 100, 101]], max_tokens=3, temperature=0, n=2,
                                    logprobs=2, suffix=None)
    assert [x.index for x in r.choices] == [0, 1, 2, 3] and r.choices[0].text == r.choices[1].text
    assert len(r.choices[0].logprobs.top_logprobs[0]) >= 2
    streamed = {}
    for chunk in c.openai.completions.create(model=c.model, prompt=["One two", "Three"], max_tokens=3, temperature=0, stream=True,
                                             stream_options={"include_usage": True}):
        for choice in chunk.choices:
            streamed[choice.index] = streamed.get(choice.index, "") + choice.text
    assert streamed[0] == r.choices[0].text


@check()
def errors_are_each_clients_own(c):
    raises(openai.BadRequestError, lambda: c.openai.responses.create(model=c.model, input="x", max_output_tokens=0), "max_output")
    raises(openai.BadRequestError, lambda: c.openai.embeddings.create(model=c.model, input=[]), "input")
    raises(openai.BadRequestError, lambda: c.openai.chat.completions.create(
        model=c.model, messages=[{"role": "user", "content": "a" * 100000}]), "context")
    raises(openai.NotFoundError, lambda: c.openai.models.retrieve("no/such"))
    raises(anthropic.BadRequestError, lambda: c.anthropic.messages.create(
        model=c.model, max_tokens=5, messages=[{"role": "user", "content": [{"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": ""}}]}]), "messages[0].content[0].type")
    raises(anthropic.BadRequestError, lambda: c.anthropic.messages.create(
        model=c.model, max_tokens=5, messages=[{"role": "user", "content": "a" * 100000}]), "context")
    raises(ollama.ResponseError, lambda: c.ollama.generate(model=c.model, prompt="x", images=[b"x"]), "images")
    raises(ollama.ResponseError, lambda: c.ollama.chat(model=c.model, messages=[{"role": "user", "content": "a" * 100000}]), "context")


@check(tools=True)
def openai_calls_side_by_side(c):
    ask = dict(model=c.model, messages=MESSAGES, tools=[OPENAI_TOOL, {"type": "function", "function": {**TOOL, "name": "double"}}],
               tool_choice="required", parallel_tool_calls=True, temperature=0, max_tokens=300)
    r = c.openai.chat.completions.create(**ask)
    calls = r.choices[0].message.tool_calls
    streamed = {}
    for k in c.openai.chat.completions.create(**ask, stream=True):
        for call in (k.choices[0].delta.tool_calls or []) if k.choices else []:
            streamed[call.index] = streamed.get(call.index, "") + (call.function.arguments or "")
    assert list(streamed) == list(range(len(calls)))
    assert len({call.id for call in calls}) == len(calls)
    more = MESSAGES + [r.choices[0].message.model_dump(exclude_none=True)] + [
        {"role": "tool", "tool_call_id": call.id, "content": str(i)} for i, call in enumerate(calls)]
    if r.choices[0].finish_reason == "tool_calls":
        assert c.openai.chat.completions.create(model=c.model, messages=more, tools=ask["tools"], max_tokens=4).usage


@check()
def anthropic_every_option_is_taken(c):
    ask = dict(model=c.model, max_tokens=8, messages=[{"role": "user", "content": "One"}, {"role": "assistant", "content": "two"},
                                                      {"role": "user", "content": [{"type": "text", "text": "three"}]}],
               system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
               stop_sequences=["\n\n"], metadata={"user_id": "me"},
               extra_body={"temperature": 0, "top_k": 5, "top_p": 0.9})
    r = c.anthropic.messages.create(**ask)
    assert r.usage.output_tokens <= 8 and r.type == "message"
    kinds = [e.type for e in c.anthropic.messages.create(**ask, stream=True)]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    r = c.anthropic.messages.create(model=c.model, max_tokens=400, messages=MESSAGES, extra_body={
        "temperature": 0, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}})
    assert json.loads(r.content[0].text)["n"] in (1, 2, 3)


@check(tools=True)
def anthropic_thinks(c):
    r = c.anthropic.messages.create(model=c.model, max_tokens=40, messages=MESSAGES,
                                    thinking={"type": "enabled", "budget_tokens": 5}, extra_body={"temperature": 0})
    assert r.usage.output_tokens > 0


@check()
def ollama_generates_with_options(c):
    options = {"temperature": 0, "num_predict": 8, "seed": 1, "top_k": 10, "top_p": 0.9, "repeat_penalty": 1.1, "stop": ["\n\n"]}
    whole = c.ollama.generate(model=c.model, prompt="One two", system="Be brief.", options=options, keep_alive="5m")
    assert whole.response == "".join(k.response for k in c.ollama.generate(
        model=c.model, prompt="One two", system="Be brief.", options=options, stream=True))
    assert whole.prompt_eval_count > 0 and whole.total_duration > 0
    assert c.ollama.generate(model=c.model).done_reason == "load"
    r = c.ollama.generate(model=c.model, prompt="A number.", format=SCHEMA, options={"num_predict": 400, "temperature": 0})
    assert json.loads(r.response)["n"] in (1, 2, 3)


@check(tools=True)
def ollama_calls_in_a_loop(c):
    options = {"num_predict": 60, "temperature": 0}
    def add(a: int) -> int:
        """Adds.

        Args:
            a: a number
        """
        return a
    r = c.ollama.chat(model=c.model, messages=MESSAGES, tools=[add], options=options, think=True)
    streamed = list(c.ollama.chat(model=c.model, messages=MESSAGES, tools=[add], options=options, think=True, stream=True))
    calls = [call for k in streamed for call in k.message.tool_calls or []]
    assert [x.function.name for x in calls] == [x.function.name for x in r.message.tool_calls or []]
    more = MESSAGES + [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 1}}}]},
                       {"role": "tool", "tool_name": "add", "content": "7"}]
    assert c.ollama.chat(model=c.model, messages=more, tools=[add], options=options).prompt_eval_count > 5


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
    failed = 0
    with served(program, model, "--ctx", 2048, "--parallel", 4) as (_, url):
        clients = Clients(url)
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
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
