import { setTimeout as sleep } from "node:timers/promises";

/** Asks again and again until the answer is not null, undefined or false; rejects, naming `what`, when time is up. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | null | undefined | false> | T | null | undefined | false,
  timeoutMs = 60_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null && answer !== undefined && answer !== false) {
      return answer;
    }
    if (Date.now() > deadline) {
      throw new Error(`waited ${String(timeoutMs / 1000)} s in vain for ${what}`);
    }
    await sleep(100);
  }
}

/** Whether it came to its end without an error: for what `until` is to try again. */
export async function succeeds(act: () => Promise<unknown>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch {
    return false;
  }
}
