// A task's description: read as a document, edited as the plain text that it is.
import { createElement as h, useEffect, useRef, useState } from "react";
import { Editable, recall } from "./fields.jsx";
import { Prose } from "./prose.jsx";

/** As the server keeps it, so that a draft is known again when it comes back (services/text.py). */
const asKept = (text) =>
  text.replace(/\r\n/g, "\n").replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "").trimEnd();

/** Opens on a click or Enter. It closes when the server has the text: a refused one stays open. */
export function Description({ name, value, label, placeholder, onSave }) {
  const [open, setOpen] = useState(() => recall("draft:" + name) !== null);
  const [asked, setAsked] = useState(false);
  const view = useRef(null);
  const back = useRef(false);
  useEffect(() => {
    if (!open && back.current) view.current.focus();
    back.current = false;
  }, [open]);
  const edit = () => (setAsked(true), setOpen(true));
  const clicked = (event) => {
    if (!event.target.closest("a") && getSelection().isCollapsed) edit();
  };
  const pressed = (event) => {
    if (event.key !== "Enter" || event.target !== event.currentTarget) return;
    event.preventDefault();
    edit();
  };
  if (open) {
    return h(Editable, {
      name, value, label, placeholder, onSave,
      className: "bare panel-text",
      multiline: true,
      autoFocus: asked,
      clean: asKept,
      onLeave: (byKey) => ((back.current = byKey), setOpen(false)),
    });
  }
  return h(
    "div",
    {
      ref: view, className: "described", role: "group", tabIndex: 0, onClick: clicked, onKeyDown: pressed,
      "aria-label": label, "aria-keyshortcuts": "Enter", title: "Click to edit",
    },
    value ? h(Prose, { text: value }) : h("p", { className: "meta panel-text" }, placeholder),
  );
}
