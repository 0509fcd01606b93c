/** A typed store with reducers, selectors that remember, and undo. */

export type Listener<S> = (state: S, previous: S) => void;
export type Unsubscribe = () => void;

export interface Action<T extends string = string, P = unknown> {
  readonly type: T;
  readonly payload: P;
}

export type Reducer<S, A extends Action> = (state: S, action: A) => S;

export interface StoreOptions<S> {
  history?: number;
  equals?: (a: S, b: S) => boolean;
  onError?: (error: unknown, action: Action) => void;
}

interface Snapshot<S> {
  state: S;
  label: string;
  at: number;
}

const DEFAULT_HISTORY = 50;

export class StoreError extends Error {
  constructor(
    message: string,
    public readonly action?: Action,
  ) {
    super(message);
    this.name = 'StoreError';
  }
}

export class Store<S extends object, A extends Action> {
  private state: S;
  private readonly listeners = new Set<Listener<S>>();
  private past: Snapshot<S>[] = [];
  private future: Snapshot<S>[] = [];
  private dispatching = false;

  constructor(
    private readonly reducer: Reducer<S, A>,
    initial: S,
    private readonly options: StoreOptions<S> = {},
  ) {
    this.state = initial;
  }

  get current(): Readonly<S> {
    return this.state;
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  dispatch(action: A): A {
    if (this.dispatching) {
      throw new StoreError(`"${action.type}" was dispatched inside of a reducer`, action);
    }
    let next: S;
    this.dispatching = true;
    try {
      next = this.reducer(this.state, action);
    } catch (error) {
      if (!this.options.onError) {
        throw error;
      }
      this.options.onError(error, action);
      return action;
    } finally {
      this.dispatching = false;
    }
    this.replace(next, action.type);
    return action;
  }

  subscribe(listener: Listener<S>): Unsubscribe {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  undo(): boolean {
    return this.travel(this.past, this.future);
  }

  redo(): boolean {
    return this.travel(this.future, this.past);
  }

  private replace(next: S, label: string): void {
    const same = this.options.equals ?? Object.is;
    if (same(next, this.state)) {
      return;
    }
    const limit = this.options.history ?? DEFAULT_HISTORY;
    this.past = [...this.past, { state: this.state, label, at: Date.now() }].slice(-limit);
    this.future = [];
    this.notify(next);
  }

  private travel(from: Snapshot<S>[], to: Snapshot<S>[]): boolean {
    const snapshot = from.pop();
    if (!snapshot) {
      return false;
    }
    to.push({ ...snapshot, state: this.state });
    this.notify(snapshot.state);
    return true;
  }

  private notify(next: S): void {
    const previous = this.state;
    this.state = next;
    for (const listener of [...this.listeners]) {
      listener(next, previous);
    }
  }
}

/** A selector that computes again only when one of its inputs has changed. */
export function createSelector<S, I extends readonly unknown[], R>(
  inputs: { [K in keyof I]: (state: S) => I[K] },
  combine: (...values: I) => R,
): (state: S) => R {
  let last: I | null = null;
  let result: R;
  return (state) => {
    const values = inputs.map((input) => input(state)) as unknown as I;
    if (last === null || values.some((value, i) => !Object.is(value, last![i]))) {
      result = combine(...values);
      last = values;
    }
    return result;
  };
}

/** Reducers for the parts of a state, as one reducer for the whole. */
export function combineReducers<S extends object, A extends Action>(
  reducers: { [K in keyof S]: Reducer<S[K], A> },
): Reducer<S, A> {
  const keys = Object.keys(reducers) as (keyof S)[];
  return (state, action) => {
    let changed = false;
    const next = {} as S;
    for (const key of keys) {
      next[key] = reducers[key](state[key], action);
      changed ||= !Object.is(next[key], state[key]);
    }
    return changed ? next : state;
  };
}

export interface Task {
  id: number;
  title: string;
  done: boolean;
  tags: string[];
}

export interface TaskState {
  tasks: Record<number, Task>;
  order: number[];
  filter: 'all' | 'open' | 'done';
}

export type TaskAction =
  | Action<'task/add', { title: string; tags?: string[] }>
  | Action<'task/toggle', { id: number }>
  | Action<'task/remove', { id: number }>
  | Action<'filter/set', TaskState['filter']>;

export const emptyTasks: TaskState = { tasks: {}, order: [], filter: 'all' };

export const taskReducer: Reducer<TaskState, TaskAction> = (state, action) => {
  switch (action.type) {
    case 'task/add': {
      const id = Math.max(0, ...state.order) + 1;
      const { title, tags = [] } = action.payload;
      const task: Task = { id, title: title.trim(), done: false, tags };
      return { ...state, tasks: { ...state.tasks, [id]: task }, order: [...state.order, id] };
    }
    case 'task/toggle': {
      const task = state.tasks[action.payload.id];
      if (!task) {
        return state;
      }
      return { ...state, tasks: { ...state.tasks, [task.id]: { ...task, done: !task.done } } };
    }
    case 'task/remove': {
      const { [action.payload.id]: removed, ...tasks } = state.tasks;
      return removed ? { ...state, tasks, order: state.order.filter((id) => id !== removed.id) } : state;
    }
    case 'filter/set':
      return { ...state, filter: action.payload };
    default:
      return state;
  }
};

export const visibleTasks = createSelector(
  [(state: TaskState) => state.tasks, (state: TaskState) => state.order, (state: TaskState) => state.filter],
  (tasks, order, filter) =>
    order
      .map((id) => tasks[id])
      .filter((task) => filter === 'all' || task.done === (filter === 'done')),
);
