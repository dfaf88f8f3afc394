"""The process of a `ways.Apart`: reads a way, prepares it, and does as it is told, line by line."""

import base64
import json
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from experiments.benchmarks.core.ways import measured


def main() -> None:
    """Answer each line with a line of JSON, until there are no more."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(found: Callable[[], dict[str, Any]]) -> None:
        try:
            text = json.dumps(found())
        except Exception as error:  # told to the one who asked
            text = json.dumps({"error": f"{type(error).__name__}: {str(error)[:1000]}"})
        print(text, file=answers, flush=True)

    state: dict[str, Any] = {}

    def prepare() -> dict[str, Any]:
        state["way"] = pickle.loads(base64.b64decode(sys.stdin.readline()))
        state["call"] = state["way"].prepare()
        return {}

    def call() -> dict[str, Any]:
        timing, state["value"] = measured(state["call"], memory=True)
        return timing._asdict()

    answer(prepare)
    for line in sys.stdin:
        answer(call if line.strip() == "call" else lambda: state["way"].inspect(state["value"]))


def _end_with(parent: int) -> None:
    """End this process once its parent has ended, even in the middle of a call."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    main()
