// Fields that never lose what was typed: a draft stays in this browser until the server has it.
import { createElement, useEffect, useLayoutEffect, useRef, useState } from "react";
import { Check, Copy as CopyGlyph } from "lucide-react";

const remember = (key, text) => {
  try {
    text === null ? localStorage.removeItem(key) : localStorage.setItem(key, text);
  } catch {
    // Storage may be full or blocked; the text is still in the field.
  }
};
export const recall = (key) => {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
};

const oneLine = (text) => text.replace(/\s+/g, " ").trim();

/**
 * A text that is edited in place. `name` tells drafts apart; Enter or leaving the field saves, Esc
 * restores. `clean` makes a text what the server keeps of it. `onLeave` hears that nothing is left to
 * save, and whether that was by key.
 */
export function Editable({ name, value, onSave, onLeave, clean = oneLine, multiline, className, placeholder, label, autoFocus }) {
  const key = "draft:" + name;
  const [text, setText] = useState(() => recall(key) ?? value);
  const ref = useRef(null);
  const focused = useRef(Boolean(autoFocus));
  const leaving = useRef("");
  useEffect(() => {
    const draft = recall(key);
    if (draft !== null && clean(draft) !== value) return;
    remember(key, null);
    if (focused.current) return;
    setText(value);
    if (draft !== null) onLeave?.(leaving.current === "Enter");
  }, [value, key]);
  useLayoutEffect(() => {
    const area = ref.current;
    area.style.height = "0";
    area.style.height = area.scrollHeight + "px";
  }, [text]);
  const save = () => {
    focused.current = false;
    const kept = clean(text);
    const restored = leaving.current === "Escape" || (!multiline && !kept);
    if (!restored && kept !== value) return onSave?.(kept);
    remember(key, null);
    setText(value);
    onLeave?.(leaving.current !== "");
  };
  const leave = (event) => {
    event.preventDefault();
    event.stopPropagation();
    leaving.current = event.key;
    event.target.blur();
  };
  return createElement("textarea", {
    ref,
    className,
    placeholder,
    "aria-label": label,
    rows: 1,
    value: text,
    autoFocus,
    spellCheck: multiline ? true : undefined,
    onFocus: () => ((focused.current = true), (leaving.current = "")),
    onChange: (event) => {
      setText(event.target.value);
      remember(key, event.target.value);
    },
    onBlur: save,
    onKeyDown: (event) => {
      if (event.key === "Enter" && (!multiline || event.ctrlKey || event.metaKey)) leave(event);
      else if (event.key === "Escape") leave(event);
    },
  });
}

/** The line at the top of a column. Enter creates and stays for the next one; Esc closes. */
export function QuickAdd({ name, onCreate, error, made }) {
  const key = "draft:" + name;
  const [open, setOpen] = useState(false);
  const [text, setText] = useState("");
  useEffect(() => setText(recall(key) ?? ""), [key]);
  useEffect(() => {
    // The server made it: what was typed may go.
    if (made) {
      remember(key, null);
      setText("");
    }
  }, [made, key]);
  if (!open) {
    return createElement(
      "button",
      { className: "btn ghost wide quick", "data-act": "new", "aria-keyshortcuts": "c", onClick: () => setOpen(true) },
      createElement("span", { "aria-hidden": true, className: "plus" }, "+"),
      "New task",
    );
  }
  const close = () => setOpen(false);
  return createElement(
    "div",
    { className: "card adding" },
    createElement("textarea", {
      className: "bare",
      autoFocus: true,
      rows: 2,
      placeholder: "What should be done?",
      "aria-label": "Title of the new task",
      value: text,
      onChange: (event) => {
        setText(event.target.value);
        remember(key, event.target.value);
      },
      onBlur: () => !text.trim() && close(),
      onKeyDown: (event) => {
        if (event.key === "Enter" && !event.shiftKey) {
          event.preventDefault();
          if (text.trim()) onCreate?.(text.trim());
        } else if (event.key === "Escape") {
          event.stopPropagation();
          close();
        }
      },
    }),
    error
      ? createElement("p", { className: "error-line", role: "alert" }, error)
      : createElement("p", { className: "meta" }, "Enter creates, Esc closes"),
  );
}

/** The clipboard is for secure pages alone; elsewhere the old way still works. */
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function Copy({ text, label }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const soon = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(soon);
  }, [copied]);
  const says = copied ? "Copied" : label;
  return createElement(
    "button",
    { className: "btn ghost icon copy", type: "button", title: says, "aria-label": says, onClick: () => copy(text).then(() => setCopied(true)) },
    createElement(copied ? Check : CopyGlyph, { size: 14, strokeWidth: 1.75, "aria-hidden": true }),
  );
}

const WIDTH = "panel-width";

/** The panel at the right: its left edge is dragged, its width is remembered. */
export function Panel({ children, className, label }) {
  const ref = useRef(null);
  useLayoutEffect(() => {
    const width = recall(WIDTH);
    if (width) ref.current.style.setProperty("--panel-width", width);
  }, []);
  const drag = (event) => {
    event.preventDefault();
    const panel = ref.current;
    const move = (e) => {
      const width = `${Math.round(Math.max(420, Math.min(innerWidth - 240, innerWidth - e.clientX)))}px`;
      panel.style.setProperty("--panel-width", width);
      remember(WIDTH, width);
    };
    const end = () => removeEventListener("pointermove", move);
    addEventListener("pointermove", move);
    addEventListener("pointerup", end, { once: true });
  };
  const full = () => ref.current.toggleAttribute("data-full");
  return createElement(
    "aside",
    { ref, className, "aria-label": label },
    createElement("div", { className: "grip", onPointerDown: drag, role: "separator", "aria-orientation": "vertical" }),
    createElement("button", { hidden: true, "data-act": "full", onClick: full, tabIndex: -1 }),
    children,
  );
}

/** Puts the focus where something has to be changed. */
export function Reach({ target }) {
  useEffect(() => document.getElementById(target)?.focus(), [target]);
  return null;
}
