// The bar at the foot of the board while cards are chosen: how they run together, and the button for it.
import { createElement as h, useEffect, useId, useState } from "react";
import { ChevronRight, Layers } from "lucide-react";
import { clear, useSelection } from "./selection.js";
import { COLUMNS, useBoard, useLive } from "./store.js";

const MODES = [
  ["parallel", "Parallel", "As many at once as your settings allow"],
  ["queue", "Queue", "One after another, from the top of the board to its bottom"],
];
const QUEUED = { status: "queued", state: "running", open: true, progress: 0, message: "Queued in a batch" };
const PATIENCE = 4000;

/** What is chosen, from the left column to the right, each from its top. */
function inOrder(known, chosen) {
  const cards = [...chosen].map((id) => known.get(id)).filter((card) => card && !card.gone);
  return cards.sort((a, b) => COLUMNS.indexOf(a.status) - COLUMNS.indexOf(b.status) || a.order - b.order);
}

function Flag({ label, value, onChange }) {
  return h(
    "label",
    { className: "choice" },
    h("input", { type: "checkbox", checked: value, onChange: (event) => onChange(event.target.checked) }),
    label,
  );
}

function Rules({ mode, rules, conflicts, onChange }) {
  const id = useId();
  const set = (name) => (value) => onChange({ ...rules, [name]: value });
  const queue = mode === "queue";
  return h(
    "div",
    { className: "batch-rules" },
    queue ? h(Flag, { label: "Approve each task", value: !rules.auto_approve, onChange: (on) => set("auto_approve")(!on) }) : null,
    queue ? h(Flag, { label: "Build on the previous task", value: rules.build_on_previous, onChange: set("build_on_previous") }) : null,
    h(Flag, { label: "Stop on failure", value: rules.stop_on_failure, onChange: set("stop_on_failure") }),
    h(
      "span",
      { className: "choice" },
      h("label", { htmlFor: id }, "On conflict"),
      h(
        "select",
        { id, className: "select", value: rules.conflict_behavior, onChange: (event) => set("conflict_behavior")(event.target.value) },
        conflicts.map(([name, title]) => h("option", { key: name, value: name }, title)),
      ),
    ),
  );
}

/**
 * `rules` and `most` are as the settings say. `answered` grows with every answer of the server; `refused` is
 * why it refused, or empty.
 */
export function BatchBar({ boardName, liveName, rules, most, conflicts, answered, refused, onExecute }) {
  const chosen = useSelection();
  const columns = useBoard(boardName, liveName);
  const [, put] = useLive(liveName);
  const [mode, setMode] = useState("parallel");
  const [own, setOwn] = useState(null);
  const [open, setOpen] = useState(false);
  const [sent, setSent] = useState(null);
  const back = (cards) => put(Object.fromEntries(cards.map((card) => ["o:" + card.id, null])));
  useEffect(() => {
    if (!sent || answered === sent.answered) return;
    if (refused) back(sent.cards);
    else clear();
    setSent(null);
  }, [answered]);
  const [seen, setSeen] = useState(answered);
  useEffect(() => setSeen(answered), [chosen]); // another choice: the last refusal is not about it
  if (!chosen.size) return null;

  const cards = inOrder(columns.known, chosen);
  const many = chosen.size > most;
  const execute = () => {
    setSent({ answered, cards });
    put(Object.fromEntries(cards.map((card) => ["o:" + card.id, { version: card.version, line: QUEUED }])));
    setTimeout(() => back(cards), PATIENCE);
    onExecute?.(cards[0].project, cards.map((card) => card.id), mode, own ?? {});
  };
  const trouble = many
    ? `A batch holds at most ${most} of your tasks. The limit is under Settings.`
    : answered !== seen && !sent
      ? refused
      : "";
  return h(
    "section",
    { className: "batch-bar", "aria-label": "Batch" },
    trouble ? h("p", { className: "error-line", role: "alert" }, trouble) : null,
    open ? h(Rules, { mode, rules: { ...rules, ...own }, conflicts, onChange: setOwn }) : null,
    h(
      "div",
      { className: "batch-line" },
      h("span", { className: "num count", role: "status" }, `${chosen.size} selected`),
      h(
        "div",
        { className: "segments words", role: "radiogroup", "aria-label": "Mode" },
        MODES.map(([name, title, hint]) =>
          h(
            "button",
            { key: name, type: "button", role: "radio", title: hint, "aria-checked": mode === name, onClick: () => setMode(name) },
            title,
          ),
        ),
      ),
      h(
        "button",
        { type: "button", className: "btn ghost unfolds", "aria-expanded": open, onClick: () => setOpen(!open) },
        h(ChevronRight, { size: 14, strokeWidth: 1.75, "aria-hidden": true }),
        "Options",
      ),
      h(
        "span",
        { className: "end" },
        h("button", { type: "button", className: "btn ghost", onClick: clear }, "Clear"),
        h(
          "button",
          { type: "button", className: "btn primary", disabled: many || Boolean(sent) || !cards.length, onClick: execute },
          h(Layers, { size: 14, strokeWidth: 1.75, "aria-hidden": true }),
          sent ? "Starting" : "Execute batch",
        ),
      ),
    ),
  );
}

/** Tells the server when the open batch has changed since its panel was read. */
export function BatchStale({ id, read, liveName, onStale }) {
  const [live] = useLive(liveName);
  const newest = live["b:" + id]?.n ?? 0;
  useEffect(() => {
    if (!id || newest <= read) return;
    const soon = setTimeout(() => onStale?.(), 60);
    return () => clearTimeout(soon);
  }, [id, newest, read]);
  return null;
}
