#!/usr/bin/env python3
"""Many clients at once, and clients that misbehave, against `bezel serve`.

    load.py PROGRAM MODEL [--minutes M] [--clients N] [--soak]

Every one of N clients streams answers for M minutes, each compared with the same request served alone, to the bit. With
--soak, half of the requests are disconnected midway, read slowly, cut off, or garbage. At the end the server must have
no request left, its file descriptors and threads back, and its memory as after the first requests. Prints a line a
minute and one at the end; exit status 1 when something is wrong. Python's standard library alone.
"""
import argparse
import asyncio
import json
import os
import pathlib
import random
import re
import sys
import time

from served import served

TEXTS = ["The quick brown fox", "abc abc abc abc", "Once upon a time", "1, 2, 3, 4, 5,", "x" * 300, "In the beginning", "Q: Why?\nA:",
         "def f(n):\n    return", "To be, or not", "Water, ice and"]


def questions(count):
    """Requests of several APIs, each with all that decides its answer."""
    out = []
    for n in range(count):
        text, rules = f"{TEXTS[n % len(TEXTS)]} {n}", {"seed": n, "temperature": 0 if n % 3 == 0 else 1}
        length = 4 + (n * 7) % 40
        out.append([
            ("/v1/completions", {"prompt": text, "max_tokens": length, **rules}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], "max_tokens": length, **rules}),
            ("/v1/responses", {"input": text, "max_output_tokens": length, "store": False, **rules}),
            ("/v1/messages", {"messages": [{"role": "user", "content": text}], "max_tokens": length, **rules}),
            ("/api/generate", {"prompt": text, "options": {"num_predict": length, **rules}}),
        ][n % 5])
    return out


def text_of(path, body):
    """The answer's text from a stream's lines."""
    out, ended = [], False
    for line in body.decode(errors="strict").splitlines():
        if line.startswith("data: [DONE]"):
            ended = True
        elif line.startswith("data: ") or line.startswith("{"):
            j = json.loads(line[6:] if line.startswith("data: ") else line)
            if "error" in j and j["error"]:
                raise ValueError(f"error in a stream: {line}")
            if path == "/v1/completions":
                out += [c["text"] for c in j["choices"]]
            elif path == "/v1/chat/completions":
                out += [c["delta"].get("content") or "" for c in j["choices"]]
            elif path == "/v1/responses":
                out.append(j["delta"] if j["type"] == "response.output_text.delta" else "")
                ended |= j["type"] in ("response.completed", "response.incomplete")
            elif path == "/v1/messages":
                out.append(j.get("delta", {}).get("text", "") if j["type"] == "content_block_delta" else "")
                ended |= j["type"] == "message_stop"
            else:
                out.append(j["response"])
                ended |= j["done"]
    if not ended:
        raise ValueError(f"a stream without an end: {body[-200:]}")
    return "".join(out)


def request_bytes(path, body):
    data = json.dumps({**body, "stream": True}).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
            "Connection: close\r\n\r\n").encode() + data


async def exchange(port, data, slow=False):
    """Status and body of one request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        status, body = int(head.split()[1]), b""
        chunked = b"chunked" in head.lower()
        while True:
            if slow:
                await asyncio.sleep(random.random() * 0.05)
            if not chunked:
                body += await reader.read(-1)
                return status, body
            size = int(await reader.readline(), 16)
            body += await reader.readexactly(size)
            await reader.readexactly(2)
            if size == 0:
                return status, body
    finally:
        writer.close()


async def misbehave(port, path, body, rng):
    """A client that leaves, sends nonsense, or stops halfway."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        data, kind = request_bytes(path, body), rng.randrange(5)
        if kind == 0:  # half a request
            writer.write(data[:rng.randrange(len(data))])
        elif kind == 1:  # noise
            writer.write(rng.randbytes(rng.randrange(1, 3000)))
        elif kind == 2:  # a good head, and a body that is none
            junk = rng.randbytes(rng.randrange(1, 500))
            writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(junk)}\r\n\r\n".encode() + junk)
        else:  # leaves: while it waits, or in the middle of the answer
            writer.write(data)
            await writer.drain()
            if kind == 4:
                await reader.read(rng.randrange(1, 2000))
        await writer.drain()
        await asyncio.sleep(rng.random() * 0.1)
        writer.transport.abort()
    except (ConnectionError, OSError):
        pass
    finally:
        writer.close()


class Process:
    """What the server holds, as the system tells."""

    def __init__(self, pid):
        self.folder = pathlib.Path("/proc", str(pid))

    def count(self):
        status = (self.folder / "status").read_text()
        return {"files": len(os.listdir(self.folder / "fd")), "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
                "kB": int(re.search(r"RssAnon:\s+(\d+)", status)[1])}


async def metrics(port):
    _, body = await exchange(port, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return {k: float(v) for k, v in re.findall(r"^bezel_(\w+) ([\d.e+-]+)$", body.decode(), re.MULTILINE)}


async def quiet(port):
    for _ in range(600):
        m = await metrics(port)
        if m["num_requests_running"] + m["num_requests_waiting"] == 0 and m["connections"] <= 1:
            return m
        await asyncio.sleep(0.1)
    raise RuntimeError(f"after a minute requests or connections are left: {m}")


class Run:
    def __init__(self, port, process, options):
        self.port, self.process, self.options = port, process, options
        self.asked = questions(40)
        self.want = {}
        self.right = self.busy = self.bad = 0
        self.wrong = []

    async def client(self, n, end):
        rng = random.Random(n)
        while time.monotonic() < end and len(self.wrong) < 20:
            i = rng.randrange(len(self.asked))
            path, body = self.asked[i]
            if self.options.soak and rng.random() < 0.5:
                self.bad += 1
                try:
                    await misbehave(self.port, path, body, rng)
                except OSError:
                    pass
                continue
            try:
                status, got = await exchange(self.port, request_bytes(path, body), self.options.soak and rng.random() < 0.2)
                if status == 503:
                    self.busy += 1
                    await asyncio.sleep(0.2)
                elif status != 200:
                    self.wrong.append(f"{path}: status {status}: {got[:300]}")
                elif text_of(path, got) != self.want[i]:
                    self.wrong.append(f"{path} {i}: another answer than alone: {text_of(path, got)!r}, not {self.want[i]!r}")
                else:
                    self.right += 1
            except Exception as error:  # every failure is told
                self.wrong.append(f"{path} {i}: {type(error).__name__}: {error}")

    async def main(self):
        for i, (path, body) in enumerate(self.asked):
            status, got = await exchange(self.port, request_bytes(path, body))
            assert status == 200, got
            self.want[i] = text_of(path, got)
        warm = min(20.0, self.options.minutes * 60 / 4)
        await self.crowd(warm)  # what the libraries keep for good is taken here
        await quiet(self.port)
        before = self.process.count()
        begin = time.monotonic()
        await asyncio.gather(self.crowd(self.options.minutes * 60), self.tell(begin))
        end = await quiet(self.port)
        await asyncio.sleep(1)
        after = self.process.count()
        for what in ("files", "threads"):
            if after[what] > before[what]:
                self.wrong.append(f"{what}: {before[what]} before, {after[what]} after")
        if after["kB"] > before["kB"] * 1.05 + 8192:
            self.wrong.append(f"memory grew: {before['kB']} kB before, {after['kB']} kB after")
        for line in self.wrong[:20]:
            print(f"FAIL {line}")
        print(f"{'FAIL' if self.wrong else 'ok  '} {self.options.clients} clients, {self.options.minutes} minutes: {self.right} answers as "
              f"alone, {len(self.wrong)} wrong, {self.busy} told to wait, {self.bad} clients misbehaved; {before} before, "
              f"{after} after; {end['generation_tokens_total']:.0f} tokens written", flush=True)
        return 1 if self.wrong or self.right == 0 else 0

    async def crowd(self, seconds):
        end = time.monotonic() + seconds
        await asyncio.gather(*(self.client(n, end) for n in range(self.options.clients)))

    async def tell(self, begin):
        while time.monotonic() - begin < self.options.minutes * 60 - 60:
            await asyncio.sleep(60)
            print(f"     {time.monotonic() - begin:.0f} s: {self.right} right, {len(self.wrong)} wrong, {self.process.count()}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--soak", action="store_true", help="half of the clients' requests misbehave")
    options = parser.parse_args()
    with served(options.program, options.model, "--ctx", 1024, "--threads", options.threads, "--parallel", options.parallel,
                "--queue", 256) as (server, url):
        return asyncio.run(Run(int(url.rsplit(":", 1)[1]), Process(server.pid), options).main())


if __name__ == "__main__":
    sys.exit(main())
