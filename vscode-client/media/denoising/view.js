// @ts-check
/** Draws the frames that the extension sends, and plays them. Runs in the webview; knows nothing of the server. */
(() => {
  /** @typedef {{ text: string | null, look: "mask" | "known" | "decided" | "sentBack" }} Cell */
  /** @typedef {{ title: string, told: string, cells: Cell[] }} Frame */

  // @ts-expect-error: the webview provides it
  const vscode = acquireVsCodeApi();
  const STEP_MS = 700;

  /** @param {string} id */
  const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
  const slider = /** @type {HTMLInputElement} */ (element("slider"));
  const buttons = ["play", "back", "forth"].map((id) => /** @type {HTMLButtonElement} */ (element(id)));
  const play = buttons[0];

  /** @type {Frame[]} */
  let frames = [];
  let before = "";
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;

  /** @param {number} index */
  function draw(index) {
    const frame = frames[index];
    if (!frame) {
      return;
    }
    slider.value = String(index);
    element("title").textContent = `${index + 1} of ${frames.length}: ${frame.title}`;
    element("told").textContent = frame.told;
    const code = element("code");
    const prefix = document.createElement("span");
    prefix.id = "before";
    prefix.textContent = before;
    code.replaceChildren(prefix);
    for (const { text, look } of frame.cells) {
      const cell = document.createElement("span");
      cell.className = look;
      cell.textContent = text ?? "▒▒";
      code.append(cell);
    }
  }

  function stop() {
    clearInterval(timer);
    timer = undefined;
    play.textContent = "Play";
  }

  function start() {
    stop();
    play.textContent = "Pause";
    timer = setInterval(() => {
      const next = Number(slider.value) + 1;
      if (next >= frames.length) {
        stop();
      } else {
        draw(next);
      }
    }, STEP_MS);
  }

  /** @param {string} title @param {string} told */
  function say(title, told) {
    stop();
    frames = [];
    element("title").textContent = title;
    element("told").textContent = told;
    element("code").replaceChildren();
    for (const control of [...buttons, slider]) {
      control.disabled = true;
    }
  }

  /** @param {Frame[]} received */
  function receive(received) {
    if (received.length === 0) {
      say("Nothing to denoise here", "The engine made no forward pass at this place.");
      return;
    }
    frames = received;
    slider.max = String(frames.length - 1);
    for (const control of [...buttons, slider]) {
      control.disabled = false;
    }
    draw(0);
    if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
      start();
    }
  }

  play.addEventListener("click", () => {
    if (timer !== undefined) {
      stop();
    } else {
      if (Number(slider.value) === frames.length - 1) {
        draw(0);
      }
      start();
    }
  });
  for (const [id, step] of /** @type {[string, number][]} */ ([["back", -1], ["forth", 1]])) {
    element(id).addEventListener("click", () => {
      stop();
      draw(Number(slider.value) + step);
    });
  }
  slider.addEventListener("input", () => {
    stop();
    draw(Number(slider.value));
  });
  element("again").addEventListener("click", () => vscode.postMessage({ kind: "again" }));

  window.addEventListener("message", ({ data }) => {
    element("place").textContent = data.place;
    if (data.kind === "frames") {
      before = data.before;
      receive(data.frames);
    } else if (data.kind === "busy") {
      say("Denoising…", "");
    } else {
      say("The server did not answer", data.message);
    }
  });
  vscode.postMessage({ kind: "ready" });
})();
