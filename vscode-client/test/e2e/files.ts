/** The workspace of the tests: a small shop. */

const ITEM = `import json
from dataclasses import dataclass, field


@dataclass
class Item:
    name: str
    price: float
    count: int = 1

    @property
    def total(self):
        return self.price * self.count
`;

const STACK = `class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        return self.items.pop()

    def is_empty(self):
`;

export const BROKEN = `import json


def load_cart(path)
    with open(path, encoding="utf-8") as handle:
        return json.load(handle)


def total(items):
    return sum(item.price * item.count for item in items


print(total(load_cart("cart.json")))
`;

export const NOTEBOOK = JSON.stringify({
  cells: [
    {
      cell_type: "code",
      execution_count: null,
      metadata: {},
      outputs: [],
      source: ["%matplotlib inline\n", "import json\n", "\n", "def load(path):\n", "    with open(path) as handle:\n", "        return json"],
    },
  ],
  metadata: { language_info: { name: "python" } },
  nbformat: 4,
  nbformat_minor: 5,
});

/** A file of its own for each test: none depends on what another left behind. */
export const FILES: Readonly<Record<string, string>> = {
  "item.py": ITEM,
  ...Object.fromEntries(
    ["tab", "word", "line", "cycle", "escape", "along", "pause", "language", "engine", "server", "denoise"].map((name) => [`${name}.py`, STACK]),
  ),
  "quickfix.py": BROKEN,
  "fixall.py": BROKEN,
  "rewrite.py": ITEM,
  "notes.txt": "Buy milk.\n",
  "book.ipynb": NOTEBOOK,
};

/** Where STACK waits for the body of its last method. */
export const STACK_END = { line: STACK.split("\n").length, column: 1 } as const;
