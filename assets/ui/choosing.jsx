// How a card is chosen by pointer: its box, Ctrl or Cmd with a click, Shift with a click.
import { createElement as h } from "react";
import { Check } from "lucide-react";
import { range, toggle, useChosen } from "./selection.js";

export { useChosen };

const bent = (event) => event.shiftKey || event.ctrlKey || event.metaKey;
const elsewhere = (event) => event.target.closest("button, a:not(.card-link)");

/** What a card hears. A click without a modifier opens it, as ever. */
export const chooses = (id) => ({
  onMouseDown: (event) => event.shiftKey && !elsewhere(event) && event.preventDefault(),
  onClickCapture: (event) => {
    if (!bent(event) || elsewhere(event)) return;
    event.preventDefault();
    event.stopPropagation();
    event.shiftKey ? range(id) : toggle(id);
    event.currentTarget.querySelector(".card-link").focus();
  },
});

export function CardBox({ id, name, chosen }) {
  return h(
    "button",
    {
      type: "button",
      className: "card-box",
      role: "checkbox",
      tabIndex: chosen ? 0 : -1,
      "aria-checked": chosen,
      "aria-label": "Select " + name,
      "aria-keyshortcuts": "x",
      title: chosen ? "Deselect" : "Select",
      onClick: (event) => (event.shiftKey ? range(id) : toggle(id)),
    },
    h("i", null, chosen ? h(Check, { size: 12, strokeWidth: 2.5, "aria-hidden": true }) : null),
  );
}
