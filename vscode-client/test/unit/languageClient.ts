/** What the tests call of the language client, in its place: a server that starts and says nothing. */

export const State = { Stopped: 1, Running: 2, Starting: 3 };
export const ErrorAction = { Continue: 1 };
export const CloseAction = { DoNotRestart: 1 };
export const RevealOutputChannelOn = { Never: 4 };

export class LanguageClient {
  static started = 0;
  readonly state = State.Running;

  onNotification(): void {
    // It has nothing to say.
  }

  start(): Promise<void> {
    LanguageClient.started += 1;
    return Promise.resolve();
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }
}
