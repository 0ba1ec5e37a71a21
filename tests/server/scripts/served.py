"""`bezel serve` as a child of a script."""
import contextlib
import re
import subprocess


@contextlib.contextmanager
def served(program, model, *flags, chats="off"):
    """Serves on a free port while the block runs, chats saved in the file `chats`: gives the process and its URL. A
    server that does not end well afterwards is a RuntimeError."""
    server = subprocess.Popen([str(program), "serve", str(model), "--port", "0", "--chats", chats, *map(str, flags)],
                              stdout=subprocess.PIPE, text=True)
    try:
        found = re.search(r"http://\S+", server.stdout.readline())
        if not found:
            raise RuntimeError("bezel serve did not start")
        yield server, found[0]
    finally:
        server.terminate()
        status = server.wait(60)
    if status != 0:
        raise RuntimeError(f"bezel serve ended with status {status}")
