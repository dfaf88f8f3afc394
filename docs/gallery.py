"""Run the code of the gallery from top to bottom, and write its pictures into docs/pages/gallery.

python docs/gallery.py               # all pictures
python docs/gallery.py order line    # those alone, after the code that loads data and trains the networks
"""

import contextlib
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

PAGE = Path(__file__).parent / "pages" / "gallery.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r'plotting\.save\(fig, "(\w+)\.png"\)')


def blocks(page: Path = PAGE) -> Iterator[tuple[str, str]]:
    """The pieces of code of the page, each with the name of its picture; "" for what all of them need."""
    for code in BLOCK.findall(page.read_text(encoding="utf-8")):
        name = SAVED.search(code)
        yield (name[1] if name else "", code)


def main(names: Sequence[str] = ()) -> int:
    """Write the pictures; 2 if a name is that of none."""
    known = list(blocks())
    if missing := set(names) - {name for name, _ in known}:
        print(f"no picture is called {', '.join(sorted(missing))}", file=sys.stderr)
        return 2
    folder, scope = PAGE.parent / "gallery", {}
    folder.mkdir(exist_ok=True)
    with contextlib.chdir(folder):
        for name, code in known:
            if not names or not name or name in names:
                begun = time.process_time()
                exec(compile(code, f"{PAGE.name}, {name or 'the beginning'}", "exec"), scope)
                print(f"{name or 'networks'}: {time.process_time() - begun:.1f} s of CPU", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
