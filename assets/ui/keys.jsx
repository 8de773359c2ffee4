// The keyboard: one listener for the page, acting on what has the focus.
import { useEffect, useRef } from "react";
import { selecting } from "./selection.js";

const typing = (element) =>
  element?.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element?.tagName ?? "");
const cards = () => [...document.querySelectorAll("[data-card] .card-link, a[data-card]")];
const press = (selector, inside = document) => {
  const found = inside.querySelector(selector);
  found?.click();
  return Boolean(found);
};

/** Whether the board, or the task that the address names, has yet to arrive. */
const expected = () =>
  document.querySelector("[aria-busy=true]") ||
  (/\/[tb]\//.test(location.pathname) && !document.querySelector("[data-act=close]"));

// Keys that found nothing to act on because it had yet to arrive. They are pressed again when it has,
// and what was typed after them goes where they lead.
let kept = [];
async function again() {
  if (expected()) return requestAnimationFrame(again);
  const keys = kept;
  kept = [];
  for (const key of keys) {
    const target = document.activeElement ?? document.body;
    const open = target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    if (open && typing(target) && key.length === 1) document.execCommand("insertText", false, key);
    await new Promise((done) => setTimeout(done));
  }
}
function keep(key) {
  if (!kept.length) requestAnimationFrame(again);
  kept.push(key);
}

function step(by) {
  const all = cards();
  if (!all.length) return false;
  const at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? 0 : Math.max(0, Math.min(all.length - 1, at + by))];
  next.focus();
  next.closest("[data-card]").scrollIntoView({ block: "nearest", inline: "nearest" });
  return true;
}

function sideways(by) {
  const columns = [...document.querySelectorAll("[data-column]")];
  const here = document.activeElement?.closest("[data-column]");
  for (let at = columns.indexOf(here) + by; here && columns[at]; at += by) {
    const first = columns[at].querySelector(".card-link");
    if (first) return first.focus() ?? true;
  }
  return here ? true : step(1);
}

export function Keys({ onSheet }) {
  const handlers = useRef();
  handlers.current = { onSheet };
  useEffect(() => {
    const sheet = () => handlers.current.onSheet?.() ?? true;
    const hear = (event) => {
      if (event.defaultPrevented || event.altKey) return;
      const focus = document.activeElement;
      if (!typing(focus) && selecting(event, focus)) return event.preventDefault();
      if (event.ctrlKey || event.metaKey) return;
      if (typing(focus)) return event.key === "Escape" ? focus.blur() : undefined;
      if (kept.length && event.isTrusted) {
        event.preventDefault();
        return keep(event.key);
      }
      const inCard = focus?.closest?.("[data-card]");
      const acts = {
        Escape: () => (document.querySelector(".sheet") ? sheet() : press("[data-act=close]")),
        c: () => press("[data-act=new]"),
        j: () => step(1),
        ArrowDown: () => step(1),
        k: () => step(-1),
        ArrowUp: () => step(-1),
        ArrowLeft: () => sideways(-1),
        ArrowRight: () => sideways(1),
        e: () => press("[data-act=execute]", document.querySelector(".panel") ?? inCard ?? document.createElement("i")),
        f: () => press("[data-act=full]"),
        "/": () => document.getElementById("filter")?.focus() ?? true,
        "?": sheet,
      };
      const act = acts[event.key];
      const scrolls = event.key.startsWith("Arrow") && focus?.closest?.(".panel");
      if (!act || scrolls) return;
      event.preventDefault();
      if (!act() && expected()) keep(event.key);
    };
    window.addEventListener("keydown", hear);
    return () => window.removeEventListener("keydown", hear);
  }, []);
  return null;
}
