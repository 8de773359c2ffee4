// What a run says and does: Conversation (a document) and Log (its lines).
import { createElement as h, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { ChevronRight, FilePen, FileText, Globe, ListTodo, Search, Terminal, Wrench } from "lucide-react";
import { edited } from "./edited.js";
import { conversation, useEntries } from "./entries.js";
import { Prose } from "./prose.jsx";
import { duration } from "./time.jsx";

const GLYPHS = {
  read: FileText,
  edit: FilePen,
  multiedit: FilePen,
  write: FilePen,
  patch: FilePen,
  apply_patch: FilePen,
  bash: Terminal,
  grep: Search,
  glob: Search,
  list: Search,
  webfetch: Globe,
  todowrite: ListTodo,
};
const glyph = (Icon) => h(Icon, { size: 14, strokeWidth: 1.75, "aria-hidden": true });

function took(ms) {
  if (ms === undefined || ms === null) return "";
  return ms < 1000 ? `${Math.round(ms)} ms` : ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : duration(ms);
}

const EDIT_LINES = 24;
const SIGNS = { add: "+", del: "−", ctx: " " };
function Edit({ input }) {
  const lines = useMemo(() => edited(input), [input]);
  const more = lines.length - EDIT_LINES;
  return h(
    "div",
    { className: "minidiff" },
    h(
      "div",
      { className: "dls" },
      lines
        .slice(0, EDIT_LINES)
        .map(({ kind, text }, at) =>
          kind === "hunk"
            ? h("div", { key: at, className: "dl hunk" }, "⋯")
            : h("div", { key: at, className: "dl " + kind }, h("code", null, `${SIGNS[kind]} ${text}`)),
        ),
    ),
    more > 0 ? h("div", { className: "meta more" }, `${more} more lines in Changes`) : null,
  );
}

function Call({ call }) {
  const [open, setOpen] = useState(false);
  const running = call.state === "running";
  const failed = call.state === "error";
  const isEdit = call.edit && call.input && (call.input.newString ?? call.input.content) !== undefined;
  return h(
    "div",
    { className: "call" + (failed ? " failed" : "") },
    h(
      "button",
      { className: "call-row", "aria-expanded": open, onClick: () => setOpen(!open) },
      glyph(GLYPHS[call.tool] ?? Wrench),
      h("span", { className: "verb" }, call.verb),
      h("span", { className: "object mono" }, call.object),
      h("span", { className: "num meta" }, running ? "running" : failed ? "failed" : took(call.ms)),
      h(ChevronRight, { size: 14, strokeWidth: 1.75, className: "chevron", "aria-hidden": true }),
    ),
    isEdit && !open ? h(Edit, { input: call.input }) : null,
    open
      ? h(
          "pre",
          { className: "mono io" },
          call.input ? JSON.stringify(call.input, null, 2) + "\n" : "",
          call.output ? "\n" + call.output : "",
        )
      : null,
  );
}

function Block({ block }) {
  if (block.kind === "text") return h(Prose, { text: block.text });
  if (block.kind === "reasoning")
    return h("details", { className: "reasoning" }, h("summary", null, "Thinking"), h(Prose, { text: block.text }));
  if (block.kind === "tool") return h(Call, { call: block });
  if (block.kind === "attempt")
    return h(
      "p",
      { className: "note retry" },
      h("strong", null, `Attempt ${block.attempt} of ${block.attempts}`),
      ` after ${block.wait < 60 ? `${Math.round(block.wait)} s` : duration(block.wait * 1000)} (${block.class}): ${block.error}`,
    );
  return h("p", { className: "note " + block.level }, block.text);
}

/** Keeps the end in view until the reader scrolls away; then offers the way back. */
function Following({ className, label, grows, follow, children }) {
  const ref = useRef(null);
  const [away, setAway] = useState(false);
  const following = useRef(follow);
  const down = () => (ref.current.scrollTop = ref.current.scrollHeight);
  useLayoutEffect(() => {
    if (following.current) down();
  }, [grows]);
  const scrolled = () => {
    const box = ref.current;
    following.current = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
    setAway(!following.current);
  };
  return h(
    "div",
    { className: "following" },
    h("div", { ref, className, onScroll: scrolled, tabIndex: 0, role: "region", "aria-label": label }, children),
    away
      ? h("button", { className: "btn latest", onClick: () => ((following.current = true), down(), setAway(false)) }, "Latest")
      : null,
  );
}

export function Conversation({ panelName, logName, onGap, empty, follow, children }) {
  const entries = useEntries(panelName, logName, onGap);
  const blocks = useMemo(() => conversation(entries), [entries]);
  return h(
    Following,
    { className: "scroll conversation", label: "Conversation", grows: entries, follow },
    children,
    blocks.length ? null : h("p", { className: "empty" }, empty),
    blocks.map((block) => h(Block, { key: block.part, block })),
  );
}

const count = (n) => (n >= 1000 ? `${(n / 1000).toFixed(1)}k` : String(n ?? 0));

function line({ kind, message, state, details }) {
  if (kind === "usage") return `${count(details?.tokensIn)} tokens in, ${count(details?.tokensOut)} out`;
  if (kind === "tool" && state !== "running") return `${message} (${state})`;
  return message || state;
}

const SHOWN = 1000;
export function Log({ panelName, logName, onGap, empty }) {
  const entries = useEntries(panelName, logName, onGap);
  const [size, setSize] = useState(SHOWN);
  const first = entries[0]?.time ?? 0;
  const rows = entries.slice(-size);
  useEffect(() => setSize(SHOWN), [first]);
  if (!entries.length) return h("p", { className: "empty" }, empty);
  return h(
    Following,
    { className: "scroll log mono", label: "Log", grows: entries, follow: true },
    entries.length > size
      ? h("button", { className: "btn ghost", onClick: () => setSize(size + SHOWN) }, `Show ${entries.length - size} earlier lines`)
      : null,
    rows.map((entry) =>
      h(
        "div",
        { key: entry.seq, className: "line " + entry.level, "data-seq": entry.seq },
        h("time", { className: "gutter num", title: new Date(entry.time).toLocaleString() }, duration(entry.time - first)),
        h("span", { className: "kind" }, entry.kind),
        h("span", { className: "text" }, line(entry)),
      ),
    ),
  );
}
