import assert from "node:assert/strict";
import { test } from "node:test";
import { trouble } from "../../src/setUpTrouble.js";

function of(printed: string): string {
  return trouble(printed.split("\n"));
}

test("a Debian without python3-venv is told what to install", () => {
  const said = of(`The virtual environment was not created successfully because ensurepip is not
available.  On Debian/Ubuntu systems, you need to install the python3-venv
package using the following command.

    apt install python3.12-venv

You may need to use sudo with that command.  After installing the python3-venv
package, recreate your virtual environment.

Failing command: /home/ada/environment/bin/python3
`);
  assert.match(said, /`sudo apt install python3\.12-venv`/);
  assert.match(of("Error: ensurepip is not available"), /`sudo apt install python3-venv`/);
});

test("of pip's words its errors are kept", () => {
  const said = of(`Processing /code/remask
ERROR: Could not find a version that satisfies the requirement torch>=2.5 (from versions: none)

[notice] A new release of pip is available
ERROR: No matching distribution found for torch>=2.5
hint: look at the network`);
  assert.equal(
    said,
    "ERROR: Could not find a version that satisfies the requirement torch>=2.5 (from versions: none) " +
      "ERROR: No matching distribution found for torch>=2.5",
  );
});

test("of a traceback the outcome is kept", () => {
  const said = of(`Some warning

Traceback (most recent call last):
  File "x.py", line 1, in <module>
    import pip
ModuleNotFoundError: No module named 'pip'
`);
  assert.equal(said, "ModuleNotFoundError: No module named 'pip'");
});

test("else the last paragraph that tells of a failure, and not all of a long one", () => {
  assert.equal(of("Making it\n\nError: [Errno 28] No space left on device\n\nFailing command: python3"), "Error: [Errno 28] No space left on device");
  assert.equal(of("first\n\nlast\n"), "last");
  assert.equal(of(""), "");
  assert.ok(of(`error ${"x".repeat(5_000)}`).length < 600);
});
