// The keyboard: one listener for the page, acting on what has the focus.
import { useEffect, useRef } from "react";

const typing = (element) =>
  element?.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element?.tagName ?? "");
const cards = () => [...document.querySelectorAll("[data-card] .card-link")];
const press = (selector, inside = document) => inside.querySelector(selector)?.click();

function step(by) {
  const all = cards();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? 0 : Math.max(0, Math.min(all.length - 1, at + by))];
  next.focus();
  next.closest("[data-card]").scrollIntoView({ block: "nearest", inline: "nearest" });
}

function sideways(by) {
  const columns = [...document.querySelectorAll("[data-column]")];
  const here = document.activeElement?.closest("[data-column]");
  for (let at = columns.indexOf(here) + by; here && columns[at]; at += by) {
    const first = columns[at].querySelector(".card-link");
    if (first) return first.focus();
  }
  if (!here) step(1);
}

export function Keys({ onSheet }) {
  const handlers = useRef();
  handlers.current = { onSheet };
  useEffect(() => {
    const hear = (event) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      const focus = document.activeElement;
      if (event.key === "Escape") {
        if (typing(focus)) return focus.blur();
        const sheet = document.querySelector(".sheet");
        return sheet ? handlers.current.onSheet?.() : press("[data-act=close]");
      }
      if (typing(focus)) return;
      const inCard = focus?.closest?.("[data-card]");
      const acts = {
        c: () => press("[data-act=new]"),
        j: () => step(1),
        ArrowDown: () => step(1),
        k: () => step(-1),
        ArrowUp: () => step(-1),
        ArrowLeft: () => sideways(-1),
        ArrowRight: () => sideways(1),
        e: () => press("[data-act=execute]", document.querySelector(".panel") ?? inCard ?? document.createElement("i")),
        f: () => press("[data-act=full]"),
        "/": () => document.getElementById("filter")?.focus(),
        "?": () => handlers.current.onSheet?.(),
      };
      const act = acts[event.key];
      const scrolls = event.key.startsWith("Arrow") && focus?.closest?.(".panel");
      if (!act || scrolls) return;
      event.preventDefault();
      act();
    };
    window.addEventListener("keydown", hear);
    return () => window.removeEventListener("keydown", hear);
  }, []);
  return null;
}
