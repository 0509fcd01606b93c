/** Why a program of the setup failed, from what it printed. Pure. */

const LONGEST = 500;
const TELLING = /\b(error|exception|failed|cannot|not)\b|Error\b/i;

/** What a person can do something with: the lack that is known, else pip's or Python's own words; "" when there are none. */
export function trouble(printed: readonly string[]): string {
  const text = printed.join("\n");
  if (/ensurepip is not\s/.test(text)) {
    // Debian and Ubuntu ship Python without what makes environments.
    const wanted = /apt(?:-get)? install (python3[\w.-]*venv)/.exec(text)?.[1] ?? "python3-venv";
    return `Python lacks what makes environments. Install it (Debian, Ubuntu: \`sudo apt install ${wanted}\`), then try again.`;
  }
  const errors = printed.filter((line) => line.startsWith("ERROR:"));
  if (errors.length > 0) {
    return shortened(errors); // pip says what went wrong, then what else one could do
  }
  const paragraphs = text
    .split(/\n\s*\n/)
    .map((paragraph) => paragraph.split("\n").filter((line) => line.trim() !== "" && !/^\s*\[?notice\b/.test(line)))
    .filter((lines) => lines.length > 0);
  const last = paragraphs.filter((lines) => TELLING.test(lines.join("\n"))).at(-1) ?? paragraphs.at(-1) ?? [];
  const traceback = last.map((line) => line.startsWith("Traceback ")).lastIndexOf(true);
  return shortened(traceback < 0 ? last : last.slice(traceback + 1).filter((line) => /^\S/.test(line)));
}

/** The end of it: what comes last is the outcome. */
function shortened(lines: readonly string[]): string {
  const text = lines.map((line) => line.trim()).join(" ");
  return text.length > LONGEST ? `… ${text.slice(-LONGEST)}` : text;
}
