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

suite("in a real VS Code", { skip }, () => {
  let open: Desk | undefined;
  const desk = (): Desk => {
    if (open === undefined) {
      throw new Error("VS Code did not start");
    }
    return open;
  };

  before(async () => {
    open = await Desk.open({ files: FILES, serverOnPath: true });
    await open.workbench.openFile("item.py");
    await open.workbench.waitForStatus(/ready/, 180_000);
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
