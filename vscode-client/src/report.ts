/** Renders what the server answers to `remask.doctor` and `remask.stats` as text. Pure. */

/** A report's text: strings as they are, tables of values line by line, nested ones indented. */
export function report(value: unknown): string {
  return lines(value, "").join("\n");
}

function lines(value: unknown, indent: string): string[] {
  if (Array.isArray(value)) {
    return value.flatMap((item: unknown) => {
      const [first = "", ...rest] = lines(item, `${indent}  `);
      return [`${indent}- ${first.trimStart()}`, ...rest];
    });
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    const width = Math.max(0, ...entries.filter(([, item]) => isPlain(item)).map(([name]) => name.length));
    return entries.flatMap(([name, item]: [string, unknown]) =>
      isPlain(item)
        ? [`${indent}${name.padEnd(width)}  ${plain(item)}`]
        : [`${indent}${name}`, ...lines(item, `${indent}  `)],
    );
  }
  return plain(value)
    .split("\n")
    .map((line) => indent + line);
}

function isPlain(value: unknown): boolean {
  return typeof value !== "object" || value === null;
}

function plain(value: unknown): string {
  return typeof value === "string" ? value : value === null || value === undefined ? "-" : JSON.stringify(value);
}
