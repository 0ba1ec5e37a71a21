"""The stage of ./test for models by name: other people's hub package, damaged models, sockets."""
import sys

import serving


def everything(run, build):
    if not build(run, "release", ["bezel", "test_hub_server"]):
        return
    program = "build/release/bezel"
    if found := serving.packages(run, "hub"):
        serving.checked(run, "hub-interop", [sys.executable, "tests/hub/scripts/interop.py", program,
                                             "build/release/tests/test_hub_server", "tests/fixtures/text/e2b/model.gguf"], found)
    if model := serving.real_model(run, "doctor"):
        some = [] if run.options.long else ["--some"]
        serving.checked(run, "doctor", [sys.executable, "tests/hub/scripts/doctor_check.py", program, model, *some], {})
        serving.checked(run, "offline", [sys.executable, "tests/hub/scripts/offline_check.py", program, model], {})
