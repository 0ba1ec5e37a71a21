"""`bezel serve` as a child of a script."""
import contextlib
import os
import re
import subprocess
import tempfile


@contextlib.contextmanager
def served(program, model, *flags, chats="off"):
    """Serves on a free port while the block runs, with no connection and no other model than the one given, chats saved
    in the file `chats`: gives the process and its URL. A server that does not end well afterwards is a RuntimeError."""
    home = tempfile.TemporaryDirectory()
    kept = {name: value for name, value in os.environ.items()
            if not re.match(r"(HF_|XDG_|OLLAMA_|LLAMA_|BEZEL_MODELS$)", name)}
    server = subprocess.Popen([str(program), "serve", str(model), "--offline", "--port", "0", "--chats", chats, *map(str, flags)],
                              stdout=subprocess.PIPE, text=True, env={**kept, "HOME": home.name})
    try:
        found = re.search(r"http://\S+", server.stdout.readline())
        if not found:
            raise RuntimeError("bezel serve did not start")
        yield server, found[0]
    finally:
        server.terminate()
        status = server.wait(60)
        home.cleanup()
    if status != 0:
        raise RuntimeError(f"bezel serve ended with status {status}")
