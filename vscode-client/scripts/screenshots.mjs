/** Takes the pictures of the last end-to-end run over into docs/images and into the walkthrough. */
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { extensionFolder, repositoryFolder } from "./paths.mjs";

const docs = join(repositoryFolder, "docs", "images");
mkdirSync(docs, { recursive: true });
for (const name of ["ghost-text", "quick-fix", "denoising"]) {
  const picture = join(extensionFolder, "out", "screenshots", `${name}.png`);
  copyFileSync(picture, join(docs, `${name}.png`));
  copyFileSync(picture, join(extensionFolder, "media", "walkthrough", `${name}.png`));
  console.log(`docs/images/${name}.png`);
}
