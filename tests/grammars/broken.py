"""Hand-made broken snippets from common mistakes, each with the repair that a person would make.

`⟦old⟧⟨new⟩` marks the mistake inside of right code: the broken text holds `old`, the expected one `new`.
"""

from __future__ import annotations

import re

MARK = re.compile(r"⟦(?P<broken>.*?)⟧⟨(?P<right>.*?)⟩", re.DOTALL)


def broken_and_right(marked: str) -> tuple[str, str]:
    """The broken text and the right one."""
    return MARK.sub(lambda m: m["broken"], marked), MARK.sub(lambda m: m["right"], marked)


PYTHON = {
    "a header without its colon": "def total(items)⟦⟧⟨:⟩\n    return sum(items)\n",
    "an else without its colon": "if ready:\n    run()\nelse⟦⟧⟨:⟩\n    wait()\n",
    "a class without its colon": "class Cart(Base)⟦⟧⟨:⟩\n    items = ()\n",
    "a lambda's bracket": "key = sorted(items, key=lambda item: item.price⟦⟧⟨)⟩\nprint(key)\n",
    "a bracket before a colon": "for i in range(len(items)⟦⟧⟨)⟩:\n    print(i)\n",
    "a bracket in a condition": "if (a and b⟦⟧⟨)⟩:\n    run()\n",
    "a list that goes on": "names = [\n    'a',\n    'b',\n⟦⟧⟨]\n⟩print(names)\n",
    "a call over several lines": "run(\n    first,\n    second,\n⟦⟧⟨)⟩\n\n\ndef after():\n    pass\n",
    "a dictionary's brace": "config = {'a': 1, 'b': 2⟦⟧⟨}⟩\nprint(config)\n",
    "one bracket too many": "print(len(items)⟦)⟧⟨⟩)\n",
    "the wrong closer": "total = sum(items⟦]⟧⟨)⟩\n",
    "a quote that is missing": "print('hello⟦⟧⟨'⟩)\n",
    "a quote before the bracket": 'with open(path, encoding="utf-8⟦⟧⟨"⟩) as handle:\n    pass\n',
    "the other quote": "name = 'it is⟦\"⟧⟨'⟩\n",
    "an opening quote": "print(⟦⟧⟨'⟩hello')\n",
    "a docstring that is never closed": (
        'def f():\n    """Say it.⟦⟧⟨"""⟩\n    return 1\n\n\ndef g():\n    """More."""\n'
    ),
    "a comma between arguments": "move(x⟦⟧⟨,⟩ y, z)\n",
    "a comma between lines": "names = [\n    'a',\n    b⟦⟧⟨,⟩\n    c,\n]\n",
    "one equals sign in a condition": "if count ⟦=⟧⟨==⟩ 3:\n    stop()\n",
    "an assignment without its sign": "total ⟦⟧⟨= ⟩sum(items)\n",
    "and of another language": "if a ⟦&&⟧⟨and⟩ b:\n    run()\n",
    "or of another language": "if a ⟦||⟧⟨or⟩ b:\n    run()\n",
    "not of another language": "if ⟦!⟧⟨not ⟩done:\n    run()\n",
    "identity of another language": "if a ⟦===⟧⟨==⟩ b:\n    run()\n",
    "else if": "if a:\n    run()\n⟦else if⟧⟨elif⟩ b:\n    stop()\n",
    "elseif": "if a:\n    run()\n⟦elseif⟧⟨elif⟩ b:\n    stop()\n",
    "a semicolon for a colon": "while running⟦;⟧⟨:⟩\n    step()\n",
    "a brace for a colon": "def run() ⟦{⟧⟨:⟩\n    step()\n",
    "def misspelt": "⟦dfe⟧⟨def⟩ run():\n    pass\n",
    "return misspelt": "def run():\n    ⟦retrun⟧⟨return⟩ 1\n",
    "import misspelt": "⟦improt⟧⟨import⟩ os\n",
    "words grown together": "⟦importos⟧⟨import os⟩.path as p\n",
    "function of another language": "⟦function⟧⟨def⟩ run(a):\n    return a\n",
    "in is missing": "for item⟦ ⟧⟨ in ⟩items:\n    print(item)\n",
    "a line too far left": "def run():\n    a = 1\n⟦  ⟧⟨    ⟩b = 2\n    return a + b\n",
    "a line too far right": "def run():\n    a = 1\n    ⟦  ⟧⟨⟩b = 2\n    return a + b\n",
    "a body that is not indented": "def run():\n⟦⟧⟨    ⟩return 1\n",
    "a body that is missing": "def run():⟦⟧⟨\n    pass⟩\n\n\ndef stop():\n    return 1\n",
    "a tab among spaces": "def run():\n    a = 1\n    if a:\n        b = 2\n⟦\t⟧⟨        ⟩c = 3\n    return a\n",
    "typographic quotes": 'name = ⟦“⟧⟨"⟩Ada⟦”⟧⟨"⟩\n',
    "full-width brackets": "print⟦（⟧⟨(⟩name⟦）⟧⟨)⟩\n",
    "a space that is none": "total⟦\u00a0⟧⟨ ⟩= 1\n",
    "a merge conflict": "a = 1\n⟦<<<<<<< HEAD\n⟧⟨⟩b = 2\n⟦=======\nb = 3\n>>>>>>> other\n⟧⟨⟩c = 4\n",
    "a stray bracket": "return_value = ⟦) ⟧⟨⟩load(path)\n",
    "a token typed twice": "total = ⟦= ⟧⟨⟩1\n",
    "a name typed twice": "total = count⟦ count⟧⟨⟩ + 1\n",
    "a call's opening bracket": "size = area⟦⟧⟨(⟩width)\nwidth = area(width)\n",
    "an opening bracket before nothing": "now = clock⟦⟧⟨(⟩)\nprint(now)\n",
    "an index's opening bracket": "first = rows⟦⟧⟨[⟩0]\nprint(rows)\n",
    "elif after a comment": (
        "if isinstance(a, int):\n    run()\n# or else\n⟦else if⟧⟨elif⟩ isinstance(a, str):\n    stop()\n"
    ),
    "a docstring that is never closed before others": (
        'def f():\n    """Say it.⟦⟧⟨"""⟩\n    value = load()\n    return value\n\n\n'
        'def g():\n    """More."""\n    return 2\n\n\ndef h():\n    """Last."""\n    return 3\n'
    ),
    "a quote before the next argument": "kind = TypeVar('kind⟦⟧⟨'⟩, bound=Base)\n",
    "an alias grown together": "try:\n    run()\nexcept OSError ⟦ase⟧⟨as e⟩:\n    print(e)\n",
    "a number with a leading zero": "mode = ⟦07⟧⟨7⟩\n",
}

SCRIPT = {
    "a brace after a condition": "function f(a) {\n  if (a) ⟦⟧⟨{⟩\n    g();\n  }\n}\n",
    "a brace at the end of a block": (
        "function f(a) {\n  if (a) {\n    g();\n  ⟦⟧⟨}⟩\n}\n\nfunction g() {\n  return 1;\n}\n"
    ),
    "a brace at the end of a function": "function f(a) {\n  return a;\n⟦⟧⟨}⟩\n\nfunction g() {\n  return 1;\n}\n",
    "the end of a callback": "it('works', () => {\n  run();\n⟦⟧⟨}⟩);\n",
    "a bracket of a call": "console.log(format(a⟦⟧⟨)⟩);\n",
    "a bracket before a brace": "if (ready(a⟦⟧⟨)⟩) {\n  run();\n}\n",
    "a comma in an object": "const a = { b: 1⟦⟧⟨,⟩ c: 2 };\n",
    "a comma between properties": "const a = {\n  b: 1⟦⟧⟨,⟩\n  c: 2,\n};\n",
    "a comma in an array": "const a = [1, 2⟦⟧⟨,⟩ 3];\n",
    "an arrow without its head": "const f = (a) ⟦=⟧⟨=>⟩ { return a; };\n",
    "a thin arrow": "const f = (a) ⟦->⟧⟨=>⟩ a + 1;\n",
    "an arrow that is missing": "const f = (a) ⟦⟧⟨=> ⟩{ return a; };\n",
    "a template that is never closed": "const s = `a ${b}⟦⟧⟨`⟩;\nrun(s);\n",
    "a string that is never closed": "const s = 'abc⟦⟧⟨'⟩;\nrun(s);\n",
    "const misspelt": "⟦cosnt⟧⟨const⟩ a = 1;\n",
    "function misspelt": "⟦fucntion⟧⟨function⟩ f() {\n  return 1;\n}\n",
    "return misspelt": "function f() {\n  ⟦retrun⟧⟨return⟩ 1;\n}\n",
    "words grown together": "⟦functionrun⟧⟨function run⟩(a) {\n  return a;\n}\n",
    "elif": "if (a) {\n  f();\n} ⟦elif⟧⟨else if⟩ (b) {\n  g();\n}\n",
    "and of another language": "if (a ⟦and⟧⟨&&⟩ b) {\n  f();\n}\n",
    "def of another language": "⟦def⟧⟨function⟩ f(a) {\n  return a;\n}\n",
    "a colon for a brace": "while (a)⟦:⟧⟨ {⟩\n  f();\n}\n",
    "one brace too many": "function f() {\n  return 1;\n}⟦}⟧⟨⟩\n",
    "one bracket too many": "f(a)⟦)⟧⟨⟩;\n",
    "the wrong closer": "f([1, 2⟦)⟧⟨]⟩);\n",
    "typographic quotes": 'const s = ⟦“⟧⟨"⟩two words⟦”⟧⟨"⟩;\n',
    "a full-width semicolon": "run()⟦；⟧⟨;⟩\nstop();\n",
    "a merge conflict": "f();\n⟦<<<<<<< HEAD\n⟧⟨⟩g(1);\n⟦=======\ng(2);\n>>>>>>> other\n⟧⟨⟩h();\n",
    "a brace of an import": "import ⟦⟧⟨{⟩ load } from './load.js';\nload();\n",
    "a brace before else": "function f(a) {\n  if (a) {\n    g();\n  ⟦⟧⟨}⟩ else {\n    h();\n  }\n}\n",
    "a colon of full width on a line of its own": "const a = b\n  ? c\n  ⟦：⟧⟨:⟩ d;\n",
    "a dot typed twice": "console.⟦.⟧⟨⟩log(a);\n",
}

TYPED = {
    "an interface's brace": "interface A ⟦⟧⟨{⟩\n  a: string;\n}\n",
    "a quote in a union": "type Mode = 'flat⟦⟧⟨'⟩ | 'outlined';\n",
    "a type's colon": "function f(a: string, b⟦⟧⟨:⟩ number): void {}\n",
    "a bracket of type arguments": "const a: Map<string, number⟦⟧⟨>⟩ = new Map();\n",
}

TSX = {
    "a tag that is never closed": "const A = () => (\n  <div>\n    <p>hi⟦⟧⟨</p>⟩\n  </div>\n);\n",
    "a closing tag of its own line": (
        "const A = () => (\n  <div>\n    <ul>\n      <li>a</li>\n⟦⟧⟨    </ul>\n⟩  </div>\n);\n"
    ),
    "the only closing tag": "const A = () => (\n  <Text\n    a={1}\n  >\n    {b}\n⟦⟧⟨  </Text>\n⟩);\n",
    "a tag that closes itself": "const A = () => <div><br⟦⟧⟨ /⟩></div>;\n",
    "a closing tag too many": "const A = () => <div>a</div>⟦</p>⟧⟨⟩;\n",
    "a brace of an attribute": "const A = () => <a onClick={() => f(1)⟦⟧⟨}⟩>go</a>;\n",
    "a quote of an attribute": 'const A = () => <a href="x⟦⟧⟨"⟩>go</a>;\n',
}

TABLES = {"python": PYTHON, "javascript": SCRIPT, "typescript": SCRIPT | TYPED, "tsx": TSX}
CASES = [
    (language, name, *broken_and_right(marked)) for language, table in TABLES.items() for name, marked in table.items()
]
