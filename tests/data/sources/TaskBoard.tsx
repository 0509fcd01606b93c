import { useCallback, useMemo, useState } from 'react';
import type { FormEvent, ReactNode } from 'react';

import { type Task, type TaskAction, type TaskState, visibleTasks } from './store';

interface BoardProps {
  state: TaskState;
  dispatch: (action: TaskAction) => void;
  heading?: ReactNode;
}

const FILTERS: TaskState['filter'][] = ['all', 'open', 'done'];

function TagList({ tags }: { tags: string[] }) {
  if (tags.length === 0) {
    return null;
  }
  return (
    <ul className="tags">
      {tags.map((tag) => (
        <li key={tag} className={`tag tag-${tag}`}>
          {tag}
        </li>
      ))}
    </ul>
  );
}

function Row({ task, onToggle, onRemove }: { task: Task; onToggle: () => void; onRemove: () => void }) {
  const label = task.done ? 'Mark as open' : 'Mark as done';
  return (
    <li className={task.done ? 'row done' : 'row'}>
      <input type="checkbox" checked={task.done} onChange={onToggle} aria-label={label} />
      <span className="title">{task.title}</span>
      <TagList tags={task.tags} />
      <button type="button" onClick={onRemove}>
        Don't keep
      </button>
    </li>
  );
}

function AddForm({ onAdd }: { onAdd: (title: string, tags: string[]) => void }) {
  const [title, setTitle] = useState('');
  const [tags, setTags] = useState('');
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (!title.trim()) {
      return;
    }
    onAdd(title, tags.split(/\s+/).filter(Boolean));
    setTitle('');
    setTags('');
  };
  return (
    <form onSubmit={submit}>
      <input value={title} onChange={(event) => setTitle(event.target.value)} placeholder="What is to be done?" />
      <input value={tags} onChange={(event) => setTags(event.target.value)} placeholder="tags" />
      <button disabled={!title.trim()}>Add</button>
    </form>
  );
}

export function TaskBoard({ state, dispatch, heading = <h2>Tasks</h2> }: BoardProps) {
  const shown = useMemo(() => visibleTasks(state), [state]);
  const open = shown.filter((task) => !task.done).length;

  const add = useCallback(
    (title: string, tags: string[]) => dispatch({ type: 'task/add', payload: { title, tags } }),
    [dispatch],
  );

  return (
    <section className="board" style={{ maxWidth: 640, margin: '0 auto' }}>
      {heading}
      <AddForm onAdd={add} />
      <nav>
        {FILTERS.map((filter) => (
          <button
            key={filter}
            aria-pressed={state.filter === filter}
            onClick={() => dispatch({ type: 'filter/set', payload: filter })}
          >
            {filter}
          </button>
        ))}
      </nav>
      {shown.length > 0 ? (
        <ul>
          {shown.map((task) => (
            <Row
              key={task.id}
              task={task}
              onToggle={() => dispatch({ type: 'task/toggle', payload: { id: task.id } })}
              onRemove={() => dispatch({ type: 'task/remove', payload: { id: task.id } })}
            />
          ))}
        </ul>
      ) : (
        <p>Nothing here.</p>
      )}
      <footer>
        <strong>{open}</strong> of {shown.length} still open
      </footer>
    </section>
  );
}
