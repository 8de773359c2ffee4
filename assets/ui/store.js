// What the server keeps in a board's columns, joined with what has happened since.
//
// The server sends a board once. After that every change is one small delta of the live state,
// under a key of its own, so that no two changes can overwrite each other before a render:
//   c:<task>  the card as it is now (gone: true when it left the board)
//   p:<task>  its run's progress
//   o:<task>  what this person just did, shown until the server answers
//   b:<batch> a batch in one line (see batches.js)
//   counts    how many cards each column has by now
//   vitals    how the engine is
//   more:<column>, fold:<batch>, filter  what this window shows; the server never sees these
// `n` is the number of the news a value came from: what is older than the snapshot is ignored.
import { useCallback, useContext, useMemo } from "react";
import { grouped } from "./groups.js";
import { DispatchContext, useStateContext } from "$/utils/context-registry";

const V = "_rx_state_";
export const COLUMNS = ["todo", "in_progress", "done", "cancelled"];
/** How many cards a column shows more at a time, and how many a page of the server holds. */
export const WINDOW = 50;

export function useLive(name) {
  const live = useStateContext(name);
  const dispatch = useContext(DispatchContext);
  const put = useCallback((delta) => dispatch[name](delta), [dispatch, name]);
  return [live, put];
}

const NO_RUN = {
  id: "", status: "", state: "", open: false, progress: 0, message: "", error: "", result: "",
  pr: 0, url: "", additions: 0, deletions: 0, added: "", removed: "", cost: "", attempt: 0, attempts: 0,
  over: false, started: 0, ended: 0, batch: "", clash: "",
};
const NO_CARD = {
  title: "", status: "todo", order: 0, priority: "", labels: [], due: "", overdue: false,
  person: "", initials: "", agent: "", version: 0, group: "",
};
/** What stands in a column without being a card has these fields all the same. */
export const blank = (fields) => ({ ...NO_CARD, ...fields, run: { ...NO_RUN, ...fields.run } });
const whole = new WeakMap();
/** A card that came alone: what is empty was left out, its id is in the key. */
function filled(id, fresh) {
  if (!whole.has(fresh)) whole.set(fresh, { ...NO_CARD, ...fresh, id, run: { ...NO_RUN, ...fresh.run } });
  return whole.get(fresh);
}

/** One card with everything that is newer than it on the server. */
function told(card, live, snapshot) {
  const fresh = live["c:" + card.id];
  let now = card;
  let n = snapshot;
  if (fresh && fresh.n > snapshot) {
    if (fresh.gone) return fresh;
    now = filled(card.id, fresh);
    n = fresh.n;
  }
  const progress = live["p:" + card.id];
  if (progress && progress.n > n && progress.run === now.run.id) {
    now = merged(now, progress);
  }
  return now;
}

/** The same, with what this person just did and the server has not answered yet. */
function current(card, live, snapshot) {
  const now = told(card, live, snapshot);
  const mine = live["o:" + card.id];
  return mine && mine.version >= now.version ? merged(now, mine) : now;
}

// The same inputs give the same object, so a memoized card does not render again.
const seen = new WeakMap();
function merged(card, change) {
  let byChange = seen.get(card);
  if (!byChange) seen.set(card, (byChange = new WeakMap()));
  let out = byChange.get(change);
  if (!out) {
    out = { ...card, status: change.status ?? card.status, order: change.order ?? card.order };
    if (change.line) out.run = { ...card.run, ...change.line };
    byChange.set(change, out);
  }
  return out;
}

const inOrder = (a, b) => a.order - b.order || (a.id < b.id ? -1 : 1);

function matches(card, words) {
  if (!words.length) return true;
  const text = [card.identifier, card.title, card.priority, ...card.labels.map((l) => l.name)]
    .join(" ")
    .toLowerCase();
  return words.every((word) => text.includes(word));
}

/** How many cards each column has, as the server counted last. */
function counted(board, live) {
  const { counts } = live;
  const fresh = counts && counts.project === board["project_id" + V] && counts.n > (board["news" + V] ?? 0);
  return (fresh ? counts : board["counts" + V]) ?? {};
}

export function assemble(board, live) {
  const snapshot = board["news" + V] ?? 0;
  const project = board["project_id" + V];
  const cursors = board["cursors" + V] ?? {};
  const columns = { todo: [], in_progress: [], done: [], cancelled: [] };
  const moved = Object.fromEntries(COLUMNS.map((name) => [name, 0]));
  const known = new Map();
  const words = (live.filter ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const place = (card) => {
    const there = told(card, live, snapshot);
    known.set(card.id, there);
    if (there.gone) return;
    const now = current(card, live, snapshot);
    if (now.status !== there.status) {
      moved[there.status] -= 1;
      moved[now.status] += 1;
    }
    if (columns[now.status] && matches(now, words)) columns[now.status].push(now);
  };
  for (const name of COLUMNS) {
    // A card that has moved meanwhile may be in an older page of its new column as well.
    for (const card of board[name + V] ?? []) if (!known.has(card.id)) place(card);
  }
  for (const key in live) {
    const card = live[key];
    if (!key.startsWith("c:") || !card || card.project !== project) continue;
    const id = key.slice(2);
    if (card.n <= snapshot || known.has(id) || card.gone) continue;
    // Below the last card that was read, others are missing: its page brings this one too.
    const end = cursors[card.status ?? "todo"] && board[card.status + V].at(-1);
    if (!end || inOrder(filled(id, card), end) <= 0) place(filled(id, card));
  }
  const counts = counted(board, live);
  const sizes = board["sizes" + V] ?? {};
  const loaded = Object.fromEntries(COLUMNS.map((name) => [name, 0]));
  for (const card of known.values()) if (!card.gone) loaded[card.status] += 1;
  const out = { running: 0 };
  for (const name of COLUMNS) {
    const all = columns[name].sort(inOrder);
    const size = live["more:" + name] ?? WINDOW;
    const total = words.length ? all.length : (counts[name] ?? 0) + moved[name];
    // Where the server has more, there is at least one: counts come a moment after cards.
    const rest = cursors[name] ? Math.max(1, (counts[name] ?? 0) - loaded[name]) : 0;
    const shown = all.slice(0, size);
    const cards = name === "done" ? grouped(shown, live, (group) => live["b:" + group]?.total ?? sizes[group], blank) : shown;
    out[name] = { cards, all, total, hidden: Math.max(0, all.length - size), rest };
    out.running += all.filter(({ run }) => run.open && !(run.batch && run.status === "queued")).length;
  }
  out.known = known;
  return out;
}

let last = {};
export function useBoard(boardName, liveName) {
  const board = useStateContext(boardName);
  const live = useStateContext(liveName);
  return useMemo(() => {
    if (last.board !== board || last.live !== live) last = { board, live, value: assemble(board, live) };
    return last.value;
  }, [board, live]);
}

export function useMore(liveName) {
  const [live, put] = useLive(liveName);
  return [live, (column) => put({ ["more:" + column]: (live["more:" + column] ?? WINDOW) + WINDOW })];
}

/** The open task's card, as live as the board's; null until the server has sent it. */
export function usePanelCard(panelName, liveName) {
  const panel = useStateContext(panelName);
  const live = useStateContext(liveName);
  const card = panel["card" + V];
  return useMemo(() => current(card, live, panel["news" + V] ?? 0), [card, live, panel]);
}

/** The version of the task that the panel was read at. */
export function usePanelVersion(panelName) {
  return useStateContext(panelName)["card" + V].version;
}
