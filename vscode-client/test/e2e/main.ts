/** End to end: the packaged extension in a real VS Code, with the real server and model. */
import { after, afterEach, before, suite } from "node:test";
import { control } from "./control.js";
import { FILES } from "./files.js";
import { ghostText } from "./ghostText.js";
import { Desk } from "./harness/desk.js";
import { lacking } from "./harness/requirements.js";
import { missing } from "./missing.js";
import { places } from "./places.js";
import { repair } from "./repair.js";
import { views } from "./views.js";

const skip = lacking() ?? false;

// What is tested is what comes, not how soon: a busy machine may take its time.
const PATIENT = {
  "remask.completion.timeoutMs": 15_000,
  "remask.completion.invokedTimeoutMs": 30_000,
  "remask.fixes.timeoutMs": 60_000,
};

suite("in a real VS Code", { skip }, () => {
  let open: Desk | undefined;
  const desk = (): Desk => {
    if (open === undefined) {
      throw new Error("VS Code did not start");
    }
    return open;
  };

  before(async () => {
    open = await Desk.open({ files: FILES, serverOnPath: true, settings: PATIENT });
    try {
      await open.workbench.openFile("item.py");
      await open.workbench.waitForStatus(/ready/, 180_000);
    } catch (error) {
      await open.screenshot("at the start");
      throw error;
    }
  });
  afterEach(async (context) => {
    await open?.screenshot(`after ${context.name.replace(/[^\w ]+/g, "").slice(0, 60)}`);
    await open?.workbench.press("Escape", "Escape");
  });
  after(() => open?.close());

  ghostText(desk);
  repair(desk);
  views(desk);
  places(desk);
  control(desk);
});

suite("where there is no server", { skip }, missing);
