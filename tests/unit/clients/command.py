"""A client as a command: `python command.py HOW`."""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))  # noqa: PTH120

from unruly import post, text_of

HOW = sys.argv[1] if len(sys.argv) > 1 else "plain"
GIVEN = {name: os.environ[f"TOROUTER_{name}"] for name in ("BASE_URL", "API_KEY", "PROMPT")}

if HOW == "hangs":
    time.sleep(3600)
if HOW == "floods":
    os.write(1, b"\xff\x00" * (8 << 20))
status, body = post(
    GIVEN["BASE_URL"],
    GIVEN["API_KEY"],
    os.environ["TOROUTER_MODELS"].split(",")[0],
    GIVEN["PROMPT"],
    timeout=float(os.environ["TOROUTER_DEADLINE_S"]),
)
if HOW == "fails":
    sys.exit("this command always fails")
print(text_of(status, body))
