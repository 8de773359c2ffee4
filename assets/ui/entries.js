// A run's log as one growing list. Pages come from the server on request, lines as they happen;
// every line has a number, so nothing is shown twice and a missing one is noticed.
import { useEffect, useMemo, useRef } from "react";
import { useStateContext } from "$/utils/context-registry";

const V = "_rx_state_";

// The run whose panel is open. Kept here so that switching tabs does not ask for it again.
let kept = { run: null, list: [], top: 0 };

/** Take up what follows the last line without a gap. */
function take(run, candidates) {
  if (kept.run !== run) kept = { run, list: [], top: 0 };
  const fresh = candidates
    .filter((entry) => entry.run === run && !entry.cut && entry.seq > kept.top)
    .sort((a, b) => a.seq - b.seq);
  let list = null;
  for (const entry of fresh) {
    if (entry.seq !== kept.top + 1) continue;
    (list ??= [...kept.list]).push(entry);
    kept.top = entry.seq;
  }
  if (list) kept.list = list;
  return kept.list;
}

export function useEntries(panelName, logName, onGap) {
  const panel = useStateContext(panelName);
  const log = useStateContext(logName);
  const run = panel["run_id" + V];
  const page = panel["entries" + V];
  const list = useMemo(() => {
    const live = Object.keys(log).filter((key) => key.startsWith("e:"));
    return take(run, [...(page ?? []), ...live.map((key) => log[key])]);
  }, [run, page, log]);
  const newest = log["newest:" + run] ?? 0;
  const asked = useRef("");
  useEffect(() => {
    // A line was missed, or was too long to come by itself: ask for it once.
    const request = run + ":" + kept.top;
    if (run && newest > kept.top && asked.current !== request) {
      asked.current = request;
      onGap?.(run, kept.top);
    }
  }, [newest, list, run]);
  return list;
}

const EDITS = new Set(["edit", "write", "patch", "multiedit", "apply_patch"]);
const VERBS = {
  read: "Read",
  edit: "Edited",
  multiedit: "Edited",
  write: "Wrote",
  patch: "Patched",
  apply_patch: "Patched",
  bash: "Ran",
  grep: "Searched",
  glob: "Looked for",
  list: "Listed",
  webfetch: "Fetched",
  todowrite: "Planned",
  todoread: "Read the plan",
  task: "Delegated",
  question: "Asked",
};

const short = (text) => String(text ?? "").split("\n")[0].slice(0, 200);

/** What a tool call did, as verb and object. */
export function describe(details) {
  const tool = String(details?.tool ?? "tool");
  const input = details?.input ?? {};
  const object =
    input.filePath ?? input.path ?? input.command ?? input.pattern ?? input.url ?? input.description ?? "";
  return { tool, verb: VERBS[tool] ?? tool, object: short(object), edit: EDITS.has(tool) };
}

/** The lines of the log, put together to what a reader sees: speech, tool calls, notes. */
export function conversation(entries) {
  const blocks = [];
  const byPart = new Map();
  for (const entry of entries) {
    const known = byPart.get(entry.part);
    if (entry.kind === "text" || entry.kind === "reasoning") {
      if (known) known.text += entry.message;
      else blocks.push(remember({ kind: entry.kind, text: entry.message, part: entry.part, time: entry.time }));
    } else if (entry.kind === "tool") {
      const call = { kind: "tool", part: entry.part, time: entry.time, ...describe(entry.details) };
      Object.assign(call, { state: entry.state, input: entry.details?.input, output: entry.details?.output });
      call.ms = entry.details?.durationMs;
      if (known) Object.assign(known, call, { time: known.time });
      else blocks.push(remember(call));
    } else if (entry.part.startsWith("attempt:") && entry.details?.attempt) {
      const { attempt, attempts, waitSeconds, error } = entry.details;
      const kind = String(entry.details.class ?? "").replace("_", " ");
      blocks.push({ kind: "attempt", attempt, attempts, wait: waitSeconds, error, class: kind, part: entry.part, time: entry.time });
    } else if (["status", "retry", "error", "ask", "answered"].includes(entry.kind) && entry.message) {
      const level = entry.kind === "error" || entry.level === "error" ? "error" : entry.kind;
      const wait = entry.kind === "retry" ? entry.details?.waitSeconds : 0;
      const text = wait ? `${entry.message} Asking again in ${Math.ceil(wait)} s.` : entry.message;
      blocks.push({ kind: "note", level, text, part: entry.part + entry.seq, time: entry.time });
    }
  }
  return blocks;
  function remember(block) {
    byPart.set(block.part, block);
    return block;
  }
}
