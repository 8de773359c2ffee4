// The project's batches: as the server sent them with the board, and as they are since.
import { useMemo } from "react";
import { useStateContext } from "$/utils/context-registry";

const V = "_rx_state_";
const NO_HEAD = {
  project: "", status: "", state: "", word: "", mode: "", message: "", open: false, cancelling: false,
  total: 0, done: 0, left: 0, pr: 0, url: "", started: 0, ended: 0,
};

/** One batch, with what is newer than number `snapshot`. */
const told = (head, live, snapshot) => {
  const fresh = live["b:" + head.id];
  return fresh && fresh.n > snapshot ? { ...NO_HEAD, ...fresh, id: head.id } : head;
};

/** Those that are not over; first those that wait for somebody. */
export function useOpenBatches(boardName, liveName) {
  const board = useStateContext(boardName);
  const live = useStateContext(liveName);
  return useMemo(() => {
    const snapshot = board["news" + V] ?? 0;
    const heads = new Map((board["batches" + V] ?? []).map((head) => [head.id, told(head, live, snapshot)]));
    for (const key in live) {
      const id = key.slice(2);
      const fresh = key.startsWith("b:") && live[key];
      if (fresh && fresh.project === board["project_id" + V] && fresh.n > snapshot && !heads.has(id))
        heads.set(id, told({ id }, live, snapshot));
    }
    const waits = (head) => (head.status === "waiting" ? 0 : 1);
    return [...heads.values()].filter((head) => head.open).sort((a, b) => waits(a) - waits(b));
  }, [board, live]);
}

/** The open batch. */
export function useBatch(batchName, liveName) {
  const batch = useStateContext(batchName);
  const live = useStateContext(liveName);
  const head = batch["head" + V];
  return useMemo(() => told(head, live, batch["news" + V] ?? 0), [head, live]);
}

/** Its rows, with what their runs do now. */
export function useBatchRows(batchName, liveName) {
  const batch = useStateContext(batchName);
  const live = useStateContext(liveName);
  const rows = batch["rows" + V];
  return useMemo(() => {
    const read = batch["news" + V] ?? 0;
    return rows.map((row) => {
      const card = live["c:" + row.id];
      const progress = live["p:" + row.id];
      let now = row;
      if (card?.n > read && card.run?.id === row.run) {
        now = { ...now, clash: card.run.clash ?? "" };
        if (row.status === "running") now.message = card.run.message ?? "";
      }
      if (progress?.n > read && progress.run === row.run && row.status === "running" && progress.line.message)
        now = { ...now, message: progress.line.message };
      return now;
    });
  }, [rows, live]);
}
