/** Which Python can carry the private environment. Pure. */

/** The oldest Python that the server runs on. */
export const LEAST_PYTHON: readonly [number, number] = [3, 11];

/** Names to try, newest first; on Windows the launcher comes first. */
export function pythonNames(platform: NodeJS.Platform): readonly (readonly string[])[] {
  const versioned = [14, 13, 12, 11].map((minor) => [`python3.${String(minor)}`]);
  return platform === "win32" ? [["py", "-3"], ["python"], ["python3"]] : [["python3"], ...versioned, ["python"]];
}

/** A version as `python --version` prints it, or null. */
export function pythonVersion(output: string): [number, number] | null {
  const match = /^Python (\d+)\.(\d+)/m.exec(output);
  return match ? [Number(match[1]), Number(match[2])] : null;
}

/** Whether the server runs on this version. */
export function isRecentEnough(version: readonly [number, number]): boolean {
  return version[0] > LEAST_PYTHON[0] || (version[0] === LEAST_PYTHON[0] && version[1] >= LEAST_PYTHON[1]);
}
